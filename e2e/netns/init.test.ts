import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { formatWiring, wiringHash } from '../../controller/rules/wiring-json.ts';
import type { Wiring } from '../../controller/rules/wiring.ts';
import type { NetnsErrorCode } from '../../controller/netns/netns-error.ts';
import type { Namespace } from './namespace.ts';
import { Lab, node, wiringOf, type PieceName } from './lab.ts';

const program = fileURLToPath(new URL('run-init.ts', import.meta.url));
/** As the init container runs: root with these capabilities and nothing else. */
function confined(capabilities: string): readonly string[] {
  return ['setpriv', `--bounding-set=-all${capabilities}`, `--inh-caps=-all${capabilities}`, '--no-new-privs'];
}

interface Surroundings {
  readonly hostIPs?: string;
  readonly capabilities?: string;
  /** Whether the volume of the wiring is mounted: in a piece it always is. */
  readonly volume?: boolean;
}

/** One run of `podsplit init` in a piece, its files as the kubelet makes them. */
class InitRun {
  readonly #directory = mkdtempSync(join(tmpdir(), 'podsplit-init-'));
  readonly #child: ChildProcess;
  readonly #lines: Interface;
  readonly logged: string[] = [];
  readonly exit: Promise<number | null>;
  #version = 0;

  constructor(
    namespace: Namespace,
    { hostIPs = `${node.ipv4},${node.ipv6}`, capabilities = ',+net_admin', volume = true }: Surroundings,
  ) {
    const environment = ['env', `HOST_IPS=${hostIPs}`];
    const command = [
      'netns',
      'exec',
      namespace.name,
      ...environment,
      ...confined(capabilities),
      process.execPath,
      program,
    ];
    // The kubelet mounts the volume before the container starts; an annotation that is not there is an empty file.
    if (volume) this.annotate('');
    const files = ['--wiring', join(this.#directory, 'wiring.json'), '--termination-log', this.#message];
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.exit = promise;
    this.#child = spawn('ip', [...command, ...files, '--poll-interval', '20', '--report-interval', '100']);
    this.#child.stderr?.pipe(process.stderr);
    this.#child.on('close', resolve);
    this.#lines = createInterface(this.#child.stdout!).on('line', (line) => this.logged.push(line));
  }

  get #message(): string {
    return join(this.#directory, 'message');
  }

  /** A new directory and a renamed symlink to it, as in the kubelet's atomic writer. */
  annotate(text: string): void {
    const data = join(this.#directory, `data${++this.#version}`);
    writeFileSync(data, text);
    symlinkSync(data, `${data}.link`);
    renameSync(`${data}.link`, join(this.#directory, 'wiring.json'));
  }

  /** Resolves when a line of the log includes this text. */
  async logs(text: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const look = (): void => {
      if (this.logged.some((line) => line.includes(text))) resolve(undefined);
    };
    this.#lines.on('line', look).on('close', () => {
      reject(new Error(`ended without "${text}":\n${this.logged.join('\n')}`));
    });
    look();
    await promise;
  }

  message(): string {
    return readFileSync(this.#message, 'utf8');
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  end(): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true });
  }
}

describe('podsplit init', function () {
  this.timeout(300_000);
  let lab: Lab;
  const runs: InitRun[] = [];

  function start(piece: PieceName | 'other' | 'node', surroundings: Surroundings = {}): InitRun {
    const run = new InitRun(lab[piece], surroundings);
    runs.push(run);
    return run;
  }

  before(async () => {
    lab = Lab.start();
    await lab.cache.listen('tcp', '::', 6303, true);
    await lab.cache.listen('tcp', '::', 7000, true);
    await lab.outside.listen('tcp', '::', 80, true);
  });
  beforeEach(() => {
    lab.unwireAll();
  });
  afterEach(() => {
    for (const run of runs.splice(0)) run.end();
  });
  after(() => {
    lab.end();
  });

  it('is closed while it waits, tells what it waits for, then opens what the wiring says', async () => {
    const init = start('cache');
    await init.logs('waiting for the annotation');
    for (const host of ['198.18.0.3', '10.77.0.3', 'fd77::3']) {
      const caller = host.startsWith('198') ? lab.web : lab.node;
      expect(await caller.call({ proto: 'tcp', host, port: 7000, timeout: 0.2 }), host).to.deep.equal({
        error: 'ETIMEDOUT',
      });
    }
    expect(await lab.cache.call({ proto: 'tcp', host: '192.0.2.9', port: 80, timeout: 0.2 })).to.have.property('error');
    expect(await lab.cache.call({ proto: 'tcp', host: '127.0.0.1', port: 7000 })).to.have.property('server', 'cache');

    init.annotate(formatWiring(wiringOf('cache', { release: 'hold' })));
    await init.logs('waiting for the release');
    const earlier = wiringOf('cache').self;
    init.annotate(formatWiring(wiringOf('cache', { self: { ...earlier, podIPs: ['10.77.0.99'] } })));
    await init.logs('waiting for a wiring of this sandbox: its Pod IPs are 10.77.0.3, fd77::3, not 10.77.0.99');

    const text = formatWiring(wiringOf('cache'));
    init.annotate(text);
    expect(await init.exit, init.logged.join('\n')).to.equal(0);
    expect(init.message()).to.equal(wiringHash(text));
    lab.wire('web');
    expect(await lab.web.call({ proto: 'tcp', host: '127.0.0.1', port: 6303 })).to.have.property('server', 'cache');
    expect(await lab.node.call({ proto: 'tcp', host: '10.77.0.3', port: 7000 })).to.have.property('server', 'cache');
  });

  it('may run again in the same sandbox, with the same result', async () => {
    const state = (): string =>
      ['-4', '-6']
        .flatMap((family) => [
          lab.cache.run(['ip', family, 'rule']),
          lab.cache.run(['ip', family, 'route', 'show', 'table', 'all']),
          lab.cache.run(['ip', family, 'neighbour', 'show', 'dev', 'net1', 'nud', 'permanent']),
        ])
        .join('\n');
    const seen: string[] = [];
    for (let round = 0; round < 2; round++) {
      const init = start('cache');
      init.annotate(formatWiring(wiringOf('cache')));
      expect(await init.exit, init.logged.join('\n')).to.equal(0);
      seen.push(state());
    }
    expect(seen[1]).to.equal(seen[0]);
  });

  it('leads clients of the Pod to the proxy by which they enter, however often it runs', async () => {
    const entering = {
      facade: [{ piece: 'cache', port: 7000, protocol: 'tcp' }],
      ingressVia: { to: 'cache', port: 6303, direct: [7000], probes: [] },
    } as const;
    await lab.web.listen('tcp', '::', 9110, true);
    for (let round = 0; round < 2; round++) {
      for (const piece of ['web', 'cache'] as const) {
        const init = start(piece);
        init.annotate(formatWiring(wiringOf(piece, entering)));
        expect(await init.exit, init.logged.join('\n')).to.equal(0);
      }
      for (const host of ['10.77.0.2', 'fd77::2']) {
        const answer = await lab.outside.must('call', { proto: 'tcp', host, port: 9110 });
        expect(answer).to.deep.include({ server: 'cache', meant: [host, 9110] });
      }
    }
    const rules = lab.web.run(['ip', 'rule', 'show', 'pref', '0']);
    expect(rules, 'the Pod would be local first').to.equal('');
  });

  it("touches no network namespace that is not a piece's, and says so: NotAPiece", async () => {
    const tables = (): string => lab.node.run(['nft', 'list', 'tables']);
    const before = tables();
    const init = start('node', { volume: false });
    expect(await init.exit, init.logged.join('\n')).to.equal(1);
    expect(init.message()).to.match(/^NotAPiece: no file /);
    expect(tables()).to.equal(before);
  });

  it('ends at SIGTERM, at once', async () => {
    const init = start('web');
    await init.logs('waiting for the annotation');
    init.signal('SIGTERM');
    expect(await init.exit).to.equal(143);
  });

  const refused: readonly Refused[] = [
    {
      code: 'InvalidWiring',
      what: 'a wiring that does not read',
      wiring: formatWiring(wiringOf('web')).replace('"go"', '"now"'),
      message: /\$\.release: is "now", not hold or go/,
    },
    {
      code: 'PeerInterfaceMismatch',
      what: "another piece's wiring, even before the release",
      wiring: formatWiring(held('cache')),
      message: /promises 0a:58:c6:12:00:03 and 198\.18\.0\.3 and fd99:18::3, but net1 has 0a:58:c6:12:00:02/,
    },
    {
      code: 'PeerInterfaceMissing',
      what: 'a Pod that Multus did not attach',
      where: 'other',
      message: /no net1 among lo, eth0: is Multus on this node/,
    },
    {
      code: 'SysctlMissing',
      what: 'a NAD without the sysctls',
      prepare: () => lab.statsd.run(['sysctl', '-qw', 'net.ipv4.conf.net1.route_localnet=0']),
      where: 'statsd',
      wiring: formatWiring(wiringOf('statsd')),
      message: /net\.ipv4\.conf\.net1\.route_localnet is 0, not 1/,
    },
  ];
  for (const { code, what, where = 'web', prepare, wiring, message } of refused) {
    it(`refuses ${what}, stays closed, and says so: ${code}`, async () => {
      prepare?.();
      const init = start(where);
      if (wiring !== undefined) init.annotate(wiring);
      expect(await init.exit, init.logged.join('\n')).to.equal(1);
      expect(init.message())
        .to.match(new RegExp(`^${code}: `))
        .and.to.match(message);
      expect(init.logged.at(-1)).to.include(`"code":"${code}"`);
      expect(lab[where].run(['nft', 'list', 'counter', 'inet', 'podsplit', 'wiring'])).to.include('closed');
    });
  }

  it('refuses to start where it may not load rules: NftFailed', async () => {
    const init = start('web', { capabilities: '' });
    expect(await init.exit).to.equal(1);
    expect(init.message()).to.match(/^NftFailed: nft -f: .*Operation not permitted/s);
  });

  it('refuses a HOST_IPS that does not read', async () => {
    const init = start('web', { hostIPs: 'node-1' });
    expect(await init.exit).to.equal(1);
    expect(init.message()).to.equal('InvalidEnvironment: HOST_IPS: node-1 is no IP address');
  });

  it('waits for ever: wirings come when they come', async () => {
    const init = start('statsd');
    init.annotate(formatWiring(held('statsd')));
    await init.logs('"seconds":1');
    expect(init.logged.filter((line) => line.includes('waiting for the release')).length).to.be.greaterThan(3);
  });
});

interface Refused {
  readonly code: NetnsErrorCode;
  readonly what: string;
  readonly where?: PieceName | 'other';
  readonly prepare?: () => unknown;
  readonly wiring?: string;
  readonly message: RegExp;
}

function held(piece: PieceName): Wiring {
  return wiringOf(piece, { release: 'hold' });
}
