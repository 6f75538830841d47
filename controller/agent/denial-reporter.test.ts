import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { podSplitName } from '../api/identity.ts';
import type { Denial } from '../api/resources.ts';
import type { KubeClient, ObjectRef, Patch, WriteOptions } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import { resources, type Resource } from '../kube/resources.ts';
import type { Host } from '../netns/host.ts';
import { silentLogger } from '../observability/log.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import type { Peer } from '../rules/wiring.ts';
import { DenialReporter } from './denial-reporter.ts';
import { denialOf } from './denials.ts';
import { Registry } from './registry.ts';
import { parseSandbox } from './parse-sandbox.ts';
import { SandboxFiles } from './sandbox-files.ts';
import type { Sandbox } from './sandbox.ts';

const roundMs = 15_000;
const ends = { web: 2, cache: 3 } as const;
type Piece = keyof typeof ends;

function peer(name: Piece): Peer {
  const role = name === 'web' ? 'primary' : 'sibling';
  return { name, role, mac: `0a:58:c6:12:00:0${ends[name]}`, ipv4: `198.18.0.${ends[name]}` };
}

function sandbox(piece: Piece, other: Piece): Sandbox {
  const { name, role, ...self } = peer(piece);
  return {
    version: 1,
    id: `${piece}0123456789`,
    network: 'podsplit-web-0123456789ab-node',
    netns: `/run/netns/cni-${piece}`,
    pod: { namespace: 'shop', name: piece, uid: `uid-${piece}` },
    split: 'shop/0a1b2c3d4e',
    piece,
    isPrimary: role === 'primary',
    wiring: formatWiring({
      version: 1,
      split: '0a1b2c3d4e',
      piece: name,
      role,
      release: 'go',
      self,
      peers: [peer(other)],
      pool: { ipv4: '198.18.0.0/15' },
      flows: [],
      facade: [],
    }),
    local: { podIPs: [`10.244.1.2${ends[piece]}`], nodeIPs: ['10.244.1.1'] },
    host: { net1: `veth${piece}` },
    links: '',
  };
}

/** Port to packets of what cache tried of web, as its table has it. */
type Tried = Readonly<Record<number, number>>;

/** As nft 1.0.6 lists it. */
function listing(tried: Tried, counters: Readonly<Record<string, number>> = {}): string {
  const elem = Object.entries(tried).map(([port, packets]) => ({
    elem: {
      val: { concat: ['net1', '198.18.0.3', '198.18.0.2', 'tcp', Number(port)] },
      timeout: 3600,
      expires: 3600,
      counter: { packets, bytes: packets * 60 },
    },
  }));
  return JSON.stringify({
    nftables: [
      ...Object.entries(counters).map(([name, packets]) => ({ counter: { name, packets, bytes: 0 } })),
      { set: { name: 'tried4', ...(elem.length === 0 ? {} : { elem }) } },
    ],
  });
}

interface Told {
  readonly name: string;
  readonly options: WriteOptions | undefined;
  readonly denied: readonly Denial[];
}

describe('the reporter of what was denied', () => {
  let folder: string;
  let clock: FakeClock;
  let registry: Registry<Sandbox>;
  let reporter: DenialReporter;
  /** What `nft list table` says in each network namespace; undefined where there is none any more. */
  let tables: Record<Piece, string | undefined>;
  let told: Told[];
  let counted: string[];
  let apiIsDown: boolean;
  let flushed: string[];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'podsplit-denials-'));
    clock = new FakeClock();
    registry = new Registry(new SandboxFiles(join(folder, 'sandboxes'), parseSandbox, silentLogger));
    await registry.load();
    tables = { web: listing({}), cache: listing({}) };
    told = [];
    counted = [];
    apiIsDown = false;
    flushed = [];
    reporter = newReporter();
    await registry.put(sandbox('web', 'cache'));
    await registry.put(sandbox('cache', 'web'));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function newReporter(): DenialReporter {
    const host: Pick<Host, 'run'> = {
      run: ([, netns = ''], input) => {
        if (input !== undefined) flushed.push(input);
        const piece = (Object.keys(ends) as Piece[]).find((name) => netns.endsWith(name));
        const stdout = piece === undefined ? undefined : tables[piece];
        if (stdout !== undefined) return Promise.resolve({ status: 0, stdout, stderr: '' });
        return Promise.resolve({ status: 1, stdout: '', stderr: 'nsenter: cannot open: No such file or directory' });
      },
    };
    const patch = (resource: Resource, { name }: ObjectRef, { body }: Patch, options?: WriteOptions) => {
      expect(resource).to.equal(resources.podSplits);
      if (apiIsDown) {
        const failure = {
          code: 'Unreachable',
          message: 'no',
          path: 'PATCH /',
          status: 0,
          maybeHappened: true,
        } as const;
        return Promise.reject(new ApiError(failure));
      }
      expect(Object.keys(body)).to.deep.equal(['status']);
      const { status } = body as { readonly status: { readonly denied: readonly Denial[] } };
      expect(Object.keys(status)).to.deep.equal(['denied']);
      told.push({ name, options, denied: status.denied });
      return Promise.resolve({});
    };
    const peersOf = ({ id, split }: Sandbox) => registry.ofSplit(split).filter((other) => other.id !== id);
    // It runs one program, makes one call and asks one question: of the rest it needs nothing.
    return new DenialReporter({
      client: { patch } as unknown as KubeClient,
      host: host as Host,
      denialOf: (attempt, sandbox, lastSeen) => denialOf(attempt, sandbox, peersOf(sandbox), lastSeen),
      clock,
      registry,
      log: silentLogger,
      counted: (counter, packets) => counted.push(`${counter} ${packets}`),
    });
  }

  async function round(): Promise<void> {
    await reporter.report();
    await clock.advance(roundMs);
  }

  const ports = ({ denied }: Told): readonly number[] => denied.map(({ port }) => port);
  const times = ({ denied }: Told): readonly string[] => denied.map(({ lastSeen }) => lastSeen.slice(14, 19));

  it('tells it in the status of the PodSplit, as the agents’ own field', async () => {
    tables.cache = listing({ 9000: 3 });
    await round();
    expect(told).to.deep.equal([
      {
        name: podSplitName('web', 'uid-web'),
        options: { subresource: 'status', fieldManager: 'podsplit-agent' },
        denied: [
          {
            from: 'cache',
            to: 'web',
            address: '198.18.0.2',
            port: 9000,
            protocol: 'tcp',
            network: 'peer',
            seenBy: 'cache',
            packets: 3,
            lastSeen: '2026-01-01T00:00:00Z',
          },
        ],
      },
    ]);
  });

  it('writes nothing where nothing was denied, and nothing where nothing is new', async () => {
    await round();
    expect(told).to.deep.equal([]);
    tables.cache = listing({ 9000: 3 });
    for (let rounds = 0; rounds < 4; rounds++) await round();
    expect(told).to.have.length(1);
  });

  it('writes once a round at most, whatever is tried', async () => {
    for (let rounds = 1; rounds <= 4; rounds++) {
      tables.cache = listing({ 9000: rounds * 100_000, [9000 + rounds]: 1 });
      tables.web = listing({ 8000: rounds });
      await round();
      expect(told).to.have.length(rounds);
    }
  });

  it('has the newest first: what goes on before what was tried once', async () => {
    tables.cache = listing({ 9000: 3, 9001: 1 });
    await round();
    expect(ports(told[0]!)).to.deep.equal([9000, 9001]);
    tables.cache = listing({ 9000: 3, 9001: 2, 9002: 1 });
    await round();
    expect(ports(told[1]!)).to.deep.equal([9001, 9002, 9000]);
    expect(times(told[1]!)).to.deep.equal(['00:15', '00:15', '00:00']);
  });

  it('tells 64 rows of the hundreds that the tables hold, the newest', async () => {
    const range = (start: number, packets: number) =>
      Object.fromEntries(Array.from({ length: 128 }, (_, index) => [start + index, packets]));
    tables.cache = listing(range(1000, 1));
    await round();
    expect(told[0]!.denied).to.have.length(64);
    tables.cache = listing({ ...range(1000, 1), ...range(2000, 1) });
    await round();
    expect(told[1]!.denied).to.have.length(64);
    expect(ports(told[1]!).every((port) => port >= 2000)).to.equal(true);
  });

  it('remembers for an hour what the tables no longer hold', async () => {
    tables.cache = listing({ 9000: 3 });
    await round();
    tables.cache = listing({});
    await round();
    expect(told.map(({ denied }) => denied.length)).to.deep.equal([1]);
    await clock.advance(3_600_000);
    await round();
    expect(told.map(({ denied }) => denied.length)).to.deep.equal([1, 0]);
  });

  for (const hours of [2, -2]) {
    const how = hours > 0 ? 'forward' : 'back';
    it(`tells what it remembers by the clock that was set ${how}, and forgets when it would have`, async () => {
      tables.cache = listing({ 9000: 3 });
      await round();
      tables.cache = listing({});
      clock.jump(hours * 3_600_000);
      tables.web = listing({ 8000: 1 });
      await round();
      const by = (iso: string): string => new Date(Date.parse(iso) + hours * 3_600_000).toISOString().slice(0, 19);
      expect(told.at(-1)!.denied.map(({ port, packets, lastSeen }) => [port, packets, lastSeen])).to.deep.equal([
        [8000, 1, `${by('2026-01-01T00:00:15Z')}Z`],
        [9000, 3, `${by('2026-01-01T00:00:00Z')}Z`],
      ]);
      await clock.advance(3_580_000);
      await round();
      expect(ports(told.at(-1)!)).to.deep.equal([8000]);
      expect(told).to.have.length(3);
    });
  }

  it('empties a full set, and goes on to record', async () => {
    const nonsense = Object.fromEntries(Array.from({ length: 256 }, (_, index) => [10_000 + index, 1]));
    tables.cache = listing(nonsense);
    await round();
    expect(flushed).to.deep.equal(['flush set inet podsplit tried4\n']);
    tables.cache = listing({ 9000: 1 });
    await round();
    expect(ports(told.at(-1)!)[0]).to.equal(9000);
    expect(flushed).to.have.length(1);
  });

  describe('of an agent that was there before', () => {
    it('counts only what comes, tells when it was, and takes back what nobody holds any more', async () => {
      tables.cache = listing({ 9000: 3 }, { denied_out: 3 });
      reporter = newReporter();
      await round();
      expect(counted).to.deep.equal([]);
      expect(told.map(ports)).to.deep.equal([[9000]]);
      tables.cache = listing({}, { denied_out: 1 });
      reporter = newReporter();
      await round();
      expect(told.map(ports)).to.deep.equal([[9000], []]);
      tables.cache = listing({}, { denied_out: 4 });
      await round();
      expect(counted).to.deep.equal(['denied_out 3']);
    });
  });

  it('tells later what the API server did not take, and counts it once', async () => {
    tables.cache = listing({ 9000: 3 }, { denied_out: 3 });
    apiIsDown = true;
    await round();
    await round();
    expect(told).to.deep.equal([]);
    apiIsDown = false;
    await round();
    expect(told.map(ports)).to.deep.equal([[9000]]);
    expect(times(told[0]!)).to.deep.equal(['00:00']);
    expect(counted).to.deep.equal(['denied_out 3']);
  });

  it('counts what each counter gained', async () => {
    tables.cache = listing({}, { denied_out: 3, spoofed: 0 });
    tables.web = listing({}, { denied_out: 1 });
    await round();
    tables.cache = listing({}, { denied_out: 10, spoofed: 2 });
    await round();
    expect(counted).to.have.members(['denied_out 3', 'denied_out 1', 'denied_out 7', 'spoofed 2']);
    await round();
    expect(counted).to.have.length(4);
  });

  it('goes on with the other pieces where one is ending', async () => {
    tables.cache = listing({ 9000: 3 });
    tables.web = undefined;
    await round();
    expect(told.map(ports)).to.deep.equal([[9000]]);
  });

  it('says nothing of a Pod whose primary is gone, and nothing at all once its pieces are', async () => {
    tables.cache = listing({ 9000: 3 });
    await registry.remove(sandbox('web', 'cache').id);
    await round();
    await registry.remove(sandbox('cache', 'web').id);
    await round();
    expect(told).to.deep.equal([]);
  });

  it('takes a new sandbox of a piece for what it is: its table counts and records from nothing', async () => {
    tables.cache = listing({ 9000: 3 }, { denied_out: 3 });
    await round();
    await registry.remove(sandbox('cache', 'web').id);
    await round();
    await registry.put({ ...sandbox('cache', 'web'), id: 'cache-again' });
    tables.cache = listing({ 9000: 3 }, { denied_out: 3 });
    await round();
    expect(counted).to.deep.equal(['denied_out 3', 'denied_out 3']);
    expect(times(told.at(-1)!)).to.deep.equal(['00:30']);
  });
});
