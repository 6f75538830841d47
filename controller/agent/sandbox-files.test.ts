import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ownAnnotations, ownLabels, readinessGate } from '../api/names.ts';
import { KeyedLock } from '../kube/keyed-lock.ts';
import type { Pod } from '../kube/resources.ts';
import { silentLogger } from '../observability/log.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import { Registry } from './registry.ts';
import { rewire } from './rewire.ts';
import type { Sandbox } from './sandbox.ts';
import { sayUnread } from './say-unread.ts';
import { parseSandbox } from './parse-sandbox.ts';
import { SandboxFiles } from './sandbox-files.ts';

const id = '5c1d0f2a9b7e00112233';

const sandbox: Sandbox = {
  version: 1,
  id,
  network: 'podsplit-web-0a1b2c3d4e5f-node',
  netns: '/var/run/netns/cni-0a1b',
  pod: { namespace: 'shop', name: 'web-0', uid: '8c1f5a52-0000-4000-8000-000000000001' },
  split: 'shop/0a1b2c3d4e',
  piece: 'web',
  isPrimary: true,
  wiring: formatWiring({
    version: 1,
    split: '0a1b2c3d4e',
    piece: 'web',
    role: 'primary',
    release: 'go',
    self: { mac: '0a:58:c6:12:00:02', ipv4: '198.18.0.2' },
    peers: [{ name: 'cache', role: 'sibling', mac: '0a:58:c6:12:00:03', ipv4: '198.18.0.3' }],
    pool: { ipv4: '198.18.0.0/15' },
    flows: [{ from: 'web', to: 'cache', port: 6379, protocol: 'tcp' }],
    facade: [],
  }),
  local: { podIPs: ['10.244.1.7', 'fd00:244:1::7'], nodeIPs: ['172.30.0.11', 'fe80::1'], mtu: 1500 },
  host: { net1: 'veth1a2b3c4d', eth0: { device: 'veth5e6f7a8b', mac: '0a:58:0a:f4:01:07', linkLocal: ['fe80::7'] } },
  links: '0123456789abcdef',
  loaded: '0123456789abcdef',
};

describe('the files of sandboxes', () => {
  let folder: string;
  let registry: Registry<Sandbox>;

  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), 'podsplit-sandboxes-')), 'sandboxes');
    registry = new Registry(new SandboxFiles(folder, parseSandbox, silentLogger));
  });

  afterEach(() => {
    rmSync(join(folder, '..'), { recursive: true });
  });

  it('are read by the next agent as this one wrote them, and nobody else reads them', async () => {
    await registry.load();
    await registry.put(sandbox);
    expect(statSync(folder).mode & 0o777).to.equal(0o700);
    expect(statSync(join(folder, `${id}.json`)).mode & 0o777).to.equal(0o600);
    const next = await restarted();
    expect(next.list()).to.deep.equal([sandbox]);
    await next.remove(id);
    expect(readdirSync(folder)).to.deep.equal([]);
    expect((await restarted()).ids()).to.deep.equal([]);
  });

  it('that are half-written are removed: their ADD was answered with no yes', async () => {
    await registry.load();
    writeFileSync(join(folder, `${id}.json.new`), '{');
    expect((await restarted()).ids()).to.deep.equal([]);
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('of a later version are read without the fields that only it knows', async () => {
    await registry.load();
    const later = {
      ...sandbox,
      later: 1,
      pod: { ...sandbox.pod, later: 1 },
      local: { ...sandbox.local, later: [] },
      host: { ...sandbox.host, later: {}, eth0: { ...sandbox.host.eth0, later: null } },
    };
    writeFileSync(join(folder, `${id}.json`), JSON.stringify(later));
    const next = await restarted();
    expect(next.list()).to.deep.equal([sandbox]);
    expect(next.ids()).to.deep.equal([id]);
  });

  it('that do not read are said on their Pods, when the agent starts and when the wiring changes', async () => {
    await registry.load();
    const wiring = sandbox.wiring.replace('"version":1', '"version":1,"forbids":"all"');
    writeFileSync(join(folder, `${id}.json`), JSON.stringify({ ...sandbox, wiring }));
    writeFileSync(join(folder, 'other.json'), 'broken');
    const next = await restarted();
    const said: string[] = [];
    const events = {
      event: (target: { readonly uid?: string | undefined }, _: string, reason: string, message: string) => {
        said.push(`${target.uid} ${reason}: ${message}`);
      },
    };
    sayUnread(next.listUnread(), events);
    expect(said).to.have.length(1);
    expect(said[0]).to.match(new RegExp(`^${sandbox.pod.uid} SandboxUnread: .*forbids: is not a field`));

    const attachments = { lock: new KeyedLock(), renew: () => Promise.resolve(true) };
    const deps = { registry: next, attachments, events, log: silentLogger, applied: () => undefined };
    await rewire(podWith(wiring), deps);
    expect(said).to.have.length(1);
    await rewire(podWith(wiring.replace('6379', '6380')), deps);
    expect(said).to.have.length(2);
    expect(said[1]).to.match(new RegExp(`^${sandbox.pod.uid} WiringRefused: .*does not read what another version`));
  });

  const broken: Readonly<Record<string, string>> = {
    'no JSON': '{',
    'of a later version': JSON.stringify({ ...sandbox, version: 2 }),
    "another sandbox'": JSON.stringify({ ...sandbox, id: 'other' }),
    'without a field': JSON.stringify({ ...sandbox, local: undefined }),
    'with a device that nft would not take': JSON.stringify({ ...sandbox, host: { net1: 'a" accept' } }),
    "with a network namespace that is not a runtime's": JSON.stringify({ ...sandbox, netns: '/proc/1/ns/net' }),
    "with another piece's wiring": JSON.stringify({ ...sandbox, piece: 'cache' }),
    'with a wiring that says nothing': JSON.stringify({ ...sandbox, wiring: '{}' }),
  };
  for (const [how, text] of Object.entries(broken)) {
    it(`stay where they are ${how}, and their tables are nobody's strays until the sandbox ends`, async () => {
      await registry.load();
      const path = join(folder, `${id}.json`);
      writeFileSync(path, text);
      const next = await restarted();
      expect(next.list()).to.deep.equal([]);
      expect(next.ids()).to.deep.equal([id]);
      expect(readFileSync(path, 'utf8')).to.equal(text);
      await next.remove(id);
      expect(next.ids()).to.deep.equal([]);
      expect(existsSync(path)).to.equal(false);
    });
  }

  function podWith(wiring: string): Pod {
    return {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        ...sandbox.pod,
        labels: { [ownLabels.role]: 'primary', [ownLabels.container]: 'web' },
        annotations: { [ownAnnotations.wiring]: wiring },
      },
      spec: { containers: [{ name: 'web' }], readinessGates: [{ conditionType: readinessGate }] },
    };
  }

  async function restarted(): Promise<Registry<Sandbox>> {
    const next = new Registry(new SandboxFiles(folder, parseSandbox, silentLogger));
    await next.load();
    return next;
  }
});
