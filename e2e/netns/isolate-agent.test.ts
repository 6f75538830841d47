// The node agent's part for isolated Pods, with a real network namespace: only the API server is not there.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Flow } from '../../controller/api/flow.ts';
import { splitId } from '../../controller/api/identity.ts';
import { ownAnnotations, ownLabels } from '../../controller/api/names.ts';
import { AgentError } from '../../controller/agent/agent-error.ts';
import type { CniRequest } from '../../controller/agent/cni-request.ts';
import { readRecords } from '../../controller/agent/denials.ts';
import { isolateDenialOf } from '../../controller/agent/isolate-denials.ts';
import { IsolateEnforcer } from '../../controller/agent/isolate-enforcer.ts';
import { parseIsolatedSandbox, type IsolatedSandbox } from '../../controller/agent/isolate-sandbox.ts';
import { Registry } from '../../controller/agent/registry.ts';
import { SandboxFiles } from '../../controller/agent/sandbox-files.ts';
import { IsolatedPods } from '../../controller/agent/isolated-pods.ts';
import type { Pod } from '../../controller/kube/resources.ts';
import { host } from '../../controller/netns/host.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import { readPod } from '../../controller/reconcile/piece-pod.ts';
import { formatIsolateWiring, parseIsolateWiring } from '../../controller/rules/isolate-wiring.ts';
import { IsolateLab, node, wiring } from './isolate-lab.ts';

const uid = 'uid-isolated';
const network = 'podsplit-shop-0a1b2c3d4e5f-isolate';
const denied = { error: 'ETIMEDOUT' };
const target = { proto: 'tcp', host: '127.0.0.1', port: 6379, timeout: 0.3 } as const;
const opened: readonly Flow[] = [...wiring.flows, { from: 'attacker', to: 'cache', port: 6379, protocol: 'tcp' }];

function podOf(flows = wiring.flows, containers = wiring.containers): Pod {
  const text = formatIsolateWiring({ ...wiring, split: splitId(uid), flows, containers });
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'shop',
      name: 'web',
      uid,
      labels: { [ownLabels.role]: 'isolated', [ownLabels.split]: splitId(uid) },
      annotations: { [ownAnnotations.wiring]: text },
    },
    spec: { containers: [{ name: 'web' }] },
  };
}

/** An agent of this node; another one on the same folder is the one that runs after a restart. */
class NodeAgent {
  readonly registry: Registry<IsolatedSandbox>;
  readonly pods: IsolatedPods;
  readonly events: string[] = [];
  pod = podOf();
  watched: string | undefined;
  notReady: string | undefined;
  behind = 0;
  private readonly lab: IsolateLab;

  private constructor(lab: IsolateLab, folder: string) {
    this.lab = lab;
    this.registry = new Registry(new SandboxFiles(folder, parseIsolatedSandbox, silentLogger));
    this.pods = new IsolatedPods({
      host,
      registry: this.registry,
      enforcer: new IsolateEnforcer(host),
      verify: () => {
        const pod = readPod(this.pod)!;
        return Promise.resolve({ pod, wiring: parseIsolateWiring(wiringText(this.pod)) });
      },
      watchedWiring: () => this.watched,
      hostIPs: [node.ipv4, node.ipv6],
      notReady: () => this.notReady,
      behind: () => this.behind++,
      events: { event: (_object, _type, reason) => this.events.push(reason) },
      applied: () => undefined,
      repaired: () => undefined,
      log: silentLogger,
    });
  }

  static async start(lab: IsolateLab, folder: string): Promise<NodeAgent> {
    const agent = new NodeAgent(lab, folder);
    await agent.registry.load();
    await agent.pods.audit();
    return agent;
  }

  call(command: CniRequest['command'], id = 'one', signal = new AbortController().signal, validIds: string[] = []) {
    return this.pods.handle(
      {
        command,
        containerID: id,
        netns: `/run/netns/${this.lab.pod.name}`,
        ifname: 'podsplit0',
        pod: { namespace: 'shop', name: 'web', uid },
        config: {
          cniVersion: '1.0.0',
          name: network,
          phase: 'isolate',
          prevResult: undefined,
          validAttachments: validIds.map((containerID) => ({ containerID, ifname: 'podsplit0' })),
        },
      },
      signal,
    );
  }
}

describe('the agent and an isolated Pod', function () {
  this.timeout(300_000);
  let lab: IsolateLab;
  let folder: string;
  let agent: NodeAgent;

  before(async () => {
    lab = new IsolateLab();
    folder = mkdtempSync(join(tmpdir(), 'podsplit-isolated-'));
    await lab.cache.listen('tcp', '::', 6379, true);
  });

  after(() => {
    rmSync(folder, { recursive: true });
    lab.end();
  });

  beforeEach(async () => {
    agent = await NodeAgent.start(lab, folder);
  });

  afterEach(async () => {
    for (const { id } of agent.registry.list()) await agent.call('DEL', id);
    lab.unwire();
  });

  it('loads the rules with one call, and reports no interface', async () => {
    expect(await lab.attacker.call(target)).to.include({ server: 'cache' });
    expect(await agent.call('ADD')).to.deep.equal({ cniVersion: '1.0.0', dns: {} });
    expect(await lab.attacker.call(target)).to.deep.equal(denied);
    expect(await lab.web.call(target)).to.include({ server: 'cache' });
    await agent.call('CHECK');
    expect(readdirSync(folder)).to.deep.equal(['one.json']);
  });

  it('refuses where it is not ready', async () => {
    agent.notReady = 'it has just started';
    expect(await codeOf(agent.call('ADD'))).to.equal('NotReady');
    expect(await codeOf(agent.call('STATUS'))).to.equal('NotReady');
    expect(agent.registry.list()).to.deep.equal([]);
  });

  it('does nothing for whoever has gone, or has ended', async () => {
    expect(await codeOf(agent.call('ADD', 'one', AbortSignal.abort()))).to.equal('Cancelled');
    await agent.call('DEL', 'two');
    expect(await codeOf(agent.call('ADD', 'two'))).to.equal('Cancelled');
    expect(agent.registry.list()).to.deep.equal([]);
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it('takes flows that changed while it was being added', async () => {
    const verified = podOf();
    agent.pod = podOf(opened);
    agent.watched = 'another';
    await agent.call('ADD');
    expect(await lab.attacker.call(target)).to.include({ server: 'cache' });
    agent.pod = verified;
  });

  it('follows changed flows by elements, and connections that stay stay', async () => {
    await agent.call('ADD');
    expect(await lab.web.open('stays', target)).to.include({ server: 'cache' });
    await agent.pods.rewire(podOf(opened));
    expect(await lab.attacker.open('new', target)).to.include({ server: 'cache' });
    await agent.pods.rewire(podOf());
    expect(await lab.attacker.again('new', 0.3)).to.deep.equal(denied);
    expect(await lab.web.again('stays', 1)).to.include({ server: 'cache' });
    expect(lab.counter('denied_out')).to.be.above(0);
    await agent.call('CHECK');
  });

  it('takes no wiring that makes other users of the containers', async () => {
    await agent.call('ADD');
    const swapped = wiring.containers.map((each) => ({
      ...each,
      uid: each.uid === 1003 ? 1001 : each.uid === 1001 ? 1003 : 1002,
    }));
    await agent.pods.rewire(podOf(wiring.flows, swapped));
    await agent.pods.rewire({
      ...podOf(),
      metadata: { ...podOf().metadata, annotations: { [ownAnnotations.wiring]: '{}' } },
    });
    expect(agent.events).to.deep.equal(['WiringRefused', 'WiringRefused']);
    expect(await lab.attacker.call(target)).to.deep.equal(denied);
  });

  it('finds and mends what somebody changed', async () => {
    await agent.call('ADD');
    await agent.pods.audit();
    expect(agent.events).to.deep.equal([]);
    for (const change of [
      ['flush', 'ruleset'],
      ['insert', 'rule', 'inet', 'podsplit', 'filter_out', 'accept'],
      ['add', 'element', 'inet', 'podsplit', 'flows', '{ 515 . tcp . 6379 }'],
      // As many rules as before, and another meaning.
      ['replace', 'rule', 'inet', 'podsplit', 'forward', 'handle', 'THE LAST', 'accept'],
    ]) {
      lab.pod.run(['nft', ...change.map((part) => (part === 'THE LAST' ? handleOf('forward') : part))]);
      expect(await codeOf(agent.call('CHECK')), change.join(' ')).to.equal('RulesDiffer');
      await agent.pods.audit();
      expect(agent.events.splice(0), change.join(' ')).to.deep.equal(['RulesRepaired']);
      await agent.call('CHECK');
      expect(await lab.attacker.call(target)).to.deep.equal(denied);
    }
  });

  it('goes on after a restart, whatever was changed meanwhile', async () => {
    await agent.call('ADD');
    const next = await NodeAgent.start(lab, folder);
    expect(next.events).to.deep.equal([]);
    await next.pods.rewire(podOf(opened));
    expect(await lab.attacker.call(target)).to.include({ server: 'cache' });
    lab.unwire();
    agent = await NodeAgent.start(lab, folder);
    expect(agent.events).to.deep.equal(['RulesRepaired']);
    await agent.call('CHECK');
  });

  it('leaves alone a file that it does not read', async () => {
    writeFileSync(join(folder, 'other.json'), '{"version":2}');
    writeFileSync(join(folder, 'half.json.new'), '{');
    const next = await NodeAgent.start(lab, folder);
    expect(next.registry.list()).to.deep.equal([]);
    expect(readdirSync(folder)).to.deep.equal(['other.json']);
    rmSync(join(folder, 'other.json'));
  });

  it('forgets a sandbox at DEL, at GC, when the Pod has another, and when its namespace is gone', async () => {
    await agent.call('ADD');
    await agent.call('ADD', 'two');
    expect(agent.registry.list().map(({ id }) => id)).to.deep.equal(['two']);
    await agent.call('GC', '', undefined, ['two']);
    expect(agent.registry.list()).to.have.length(1);
    await agent.call('GC', '', undefined, []);
    expect(agent.registry.list()).to.have.length(0);
    await agent.call('ADD', 'three');
    await agent.call('DEL', 'three');
    await agent.call('DEL', 'three');
    expect(readdirSync(folder)).to.deep.equal([]);
    await agent.call('ADD', 'four');
    await agent.registry.put({ ...agent.registry.get('four')!, netns: '/run/netns/gone' });
    await agent.pods.audit();
    expect(agent.registry.list()).to.deep.equal([]);
  });

  it('reads who was denied what', async () => {
    await agent.call('ADD');
    await lab.attacker.call(target);
    const sandbox = agent.registry.get('one')!;
    const { attempts, counters } = await readRecords(sandbox, host);
    expect(counters['denied_out']).to.be.above(0);
    const told = attempts.map((attempt) => isolateDenialOf(attempt, sandbox, '2026-01-01T00:00:00Z'));
    // Twice where a connection that an earlier test cut tries again: there cache had answered once.
    expect(new Set(told.map(({ from, to, port, network: by }) => `${from} ${to} ${port} ${by}`))).to.deep.equal(
      new Set(['attacker cache 6379 loopback']),
    );
  });

  /** Of the last rule of a chain. */
  function handleOf(chain: string): string {
    const listed = lab.pod.run(['nft', '-a', 'list', 'chain', 'inet', 'podsplit', chain]);
    return [...listed.matchAll(/drop # handle (\d+)/g)].at(-1)?.[1] ?? '';
  }
});

function wiringText(pod: Pod): string {
  return pod.metadata.annotations![ownAnnotations.wiring]!;
}

async function codeOf(calling: Promise<unknown>): Promise<string> {
  try {
    await calling;
    return 'ok';
  } catch (error) {
    if (error instanceof AgentError) return error.code;
    throw error;
  }
}
