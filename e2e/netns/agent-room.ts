import { expect } from 'chai';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostTableName } from '../../controller/rules/host.ts';
import { idOf, patience, pieces } from './agent-pods.ts';
import { LabAgent } from './lab-agent.ts';
import { Lab, type PieceName } from './lab.ts';

/** The node agent's parts on a node made of network namespaces: real tables, real traffic; only the API server is not there. */
export class AgentRoom {
  readonly lab: Lab;
  agent!: LabAgent;
  folder!: string;

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  static async open(): Promise<AgentRoom> {
    const lab = Lab.start();
    for (const port of [6301, 6305, 7001]) {
      await lab.cache.listen('tcp', '::', port, true);
      await lab.cache.listen('udp', '::', port, true);
    }
    await lab.statsd.listen('udp', '::', 8125, true);
    await lab.web.listen('tcp', '::', 9200, true);
    return new AgentRoom(lab);
  }

  /** Before each test. */
  async enter(): Promise<void> {
    this.folder = join(mkdtempSync(join(tmpdir(), 'podsplit-agent-')), 'sandboxes');
    this.agent = await this.restarted();
  }

  /** After each test. */
  async leave(): Promise<void> {
    this.agent.running = () => undefined;
    for (const id of this.agent.registry.ids()) await this.agent.attachments.detach(id);
    for (const each of [this.lab.node, ...pieces.map((piece) => this.lab[piece])])
      each.run(['nft', 'flush', 'ruleset']);
    rmSync(join(this.folder, '..'), { recursive: true });
  }

  close(): void {
    this.lab.end();
  }

  /** The agent that runs after a restart: another one on the same folder. */
  restarted(): Promise<LabAgent> {
    return LabAgent.start(this.lab, this.folder);
  }

  loopback(port: number, proto: 'tcp' | 'udp' = 'tcp'): Promise<unknown> {
    return this.lab.web.call({ proto, host: '127.0.0.1', port, timeout: patience });
  }

  tables(): readonly string[] {
    const listed = this.lab.node.run(['nft', 'list', 'tables', 'netdev']);
    return [...listed.matchAll(/table netdev (\S+)/g)].map(([, name]) => name!).sort();
  }

  files(): readonly string[] {
    return existsSync(this.folder) ? readdirSync(this.folder).sort() : [];
  }

  tableOf(piece: PieceName): string {
    return hostTableName(idOf(piece).slice(0, 12));
  }

  /** Everything but what counts; elements in order, and the marker last, wherever an update has put them. */
  ruleset(piece: PieceName): string {
    const inside = this.lab[piece].run(['nft', 'list', 'table', 'inet', 'podsplit']);
    const outside = this.lab.node.run(['nft', 'list', 'table', 'netdev', this.tableOf(piece)]);
    const marker = /counter wiring \{[^}]*\}/g;
    const plain = `${inside}${outside}`
      .replace(/packets \d+ bytes \d+/g, '')
      .replace(/set (tried|conns)\d \{[^]*?\n\t\}/g, '')
      .replace(/elements = \{([^}]*)\}/g, (_, some: string) =>
        some
          .split(',')
          .map((each) => each.trim())
          .sort()
          .join(),
      )
      .replace(/\s+/g, ' ');
    return `${plain.replace(marker, '')} ${(plain.match(marker) ?? []).join(' ')}`.replace(/\s+/g, ' ');
  }

  /** Chains keep their handles as long as nobody replaces the table. */
  handles(piece: PieceName): string {
    const listed = this.lab[piece].run(['nft', '-a', 'list', 'table', 'inet', 'podsplit']);
    return (listed.match(/(table|chain) .*# handle \d+/g) ?? []).join();
  }

  expectNothingLeft(): void {
    expect({ tables: this.tables(), files: this.files() }).to.deep.equal({ tables: [], files: [] });
  }
}

/** One room for a suite of mocha's; each test has an agent of its own there. */
export function inAgentRoom(
  entered: (room: AgentRoom) => void,
  opened: (lab: Lab) => Promise<void> = () => Promise.resolve(),
): void {
  let room: AgentRoom;

  before(async () => {
    room = await AgentRoom.open();
    await opened(room.lab);
  });

  after(() => {
    room.close();
  });

  beforeEach(async () => {
    await room.enter();
    entered(room);
  });

  afterEach(() => room.leave());
}
