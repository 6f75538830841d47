// A mesh of one Pod: clients enter by the proxy, the app leaves by it, and a third container that nobody trusts reaches the
// app by no address. The proxy is a real one, transparent by SO_ORIGINAL_DST, and says by the PROXY protocol who called.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { imageReference } from '../hack/images/recipes.ts';
import { agentProgram, agents, barePod, call, restricted, succeeded, workload, type Target } from './support/agents.ts';
import type { Agent } from './attack/agent.ts';
import { eventually, patience } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { addressesOutside, agentOnNode } from './support/node.ts';
import { containerStatus, podIPs, type Pod } from './support/objects.ts';
import { addressesOf, isReady, readySplitPods, type SplitPod } from './support/pieces.ts';

const appPort = 8080;
/** Nobody declares it, and the app listens there. */
const hiddenPort = 9000;
const probePort = 8081;
const outsidePort = 8466;

const source = 'mesh-source';
const meshProgram = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: source },
  data: { 'mesh.py': readFileSync(join(import.meta.dirname, 'support/mesh.py'), 'utf8') },
};

const stages = {
  'without podsplit': {},
  'with a proxy that is a sibling': {
    'podsplit.io/mode': 'split',
    'podsplit.io/flows': `proxy->app:${appPort}`,
    'podsplit.io/ingress-via': 'proxy:15006',
    'podsplit.io/egress-via': 'app->proxy:15001',
  },
  'with a proxy that is the primary': {
    'podsplit.io/mode': 'split',
    'podsplit.io/primary': 'proxy',
    'podsplit.io/flows': `proxy->app:${appPort}`,
    'podsplit.io/ingress-via': 'proxy:15006',
    'podsplit.io/egress-via': 'app->proxy:15001',
  },
} as const;

type Stage = keyof typeof stages;

describe('a mesh in one Pod', () => {
  let namespace: TestNamespace;
  let outside: Agent;
  let host: readonly string[];
  let pod: SplitPod;
  let client: Pod;

  before(async () => {
    namespace = await TestNamespace.create('mesh');
    outside = agentOnNode('outside');
    await outside.listen('tcp', '::', outsidePort, true);
    host = Object.values(await addressesOutside()).filter((address) => address !== '');
    await namespace.apply(
      agentProgram,
      meshProgram,
      barePod('client', agents({ client: [] })),
      workload('Deployment', 'mesh', meshPod(), { replicas: 1, annotations: stages['without podsplit'] }),
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'mesh' },
        spec: {
          selector: { app: 'mesh' },
          ipFamilyPolicy: 'PreferDualStack',
          ports: [
            { name: 'app', port: 80, targetPort: 'http' },
            { name: 'hidden', port: 90, targetPort: hiddenPort },
          ],
        },
      },
    );
    client = await eventually('the client is ready', async () => {
      const found = await namespace.get<Pod>('pods', 'client');
      expect(isReady(found)).to.equal(true);
      return found;
    });
  });

  after(async () => {
    outside.end();
    await TestNamespace.deleteAll();
  });

  for (const stage of Object.keys(stages) as readonly Stage[]) {
    const split = stage !== 'without podsplit';
    describe(stage, () => {
      before(async () => {
        await become(stage);
      });

      it(
        split ? 'clients reach the app by the proxy alone, at every port' : 'clients reach the app itself',
        async () => {
          const targets = podIPs(pod.primary).flatMap((address) =>
            [appPort, hiddenPort, 1234].map((port): Target => ['tcp', address, port]),
          );
          const answers = await call(namespace, 'client', 'client', targets);
          for (const [i, [, address, port]] of targets.entries()) {
            const from = clientAddress(address);
            // The proxy says what it was asked for, by whom; what it has no flow for it cannot reach.
            const entered = `proxy meant ${address} ${port} for ${from}`;
            const wanted = split
              ? port === appPort
                ? `${entered}; app called by ${from}`
                : `${entered}; nobody`
              : port === 1234
                ? undefined
                : `app called by ${from}`;
            expect(answers[i], `${address} ${port}`).to.equal(wanted);
          }
        },
      );

      it('serves its Service, whatever port that has, over IPv4 and IPv6', async () => {
        const { spec } = await namespace.get<{ spec: { clusterIPs: readonly string[] } }>('services', 'mesh');
        expect(spec.clusterIPs).to.have.length(2);
        for (const address of spec.clusterIPs) {
          const [answer, hidden] = await eventually(`the Service at ${address}`, async () => {
            const found = await call(namespace, 'client', 'client', [
              ['tcp', address, 80],
              ['tcp', address, 90],
            ]);
            expect(found[0]).to.be.a('string');
            return found;
          });
          expect(answer?.startsWith('proxy meant ')).to.equal(split);
          expect(answer).to.contain(`app called by ${clientAddress(address)}`);
          expect(hidden).to.match(split ? /^proxy meant .* nobody$/ : /^app called by /);
        }
      });

      it(`${split ? 'keeps the third container from the app' : 'leaves the app to the third container'}, at any address`, async () => {
        const addresses = ['127.0.0.1', '::1', ...new Set([...pod.pieces.values()].flatMap(addressesOf))];
        const targets = addresses.flatMap((address) =>
          [appPort, probePort, hiddenPort].map((port): Target => ['tcp', address, port]),
        );
        const answers = await call(namespace, pieceOf('attacker').metadata.name, 'attacker', targets);
        for (const [i, answer] of answers.entries()) {
          if (split) expect(answer, targets[i]?.join(' ')).to.equal(undefined);
          else expect(answer, targets[i]?.join(' ')).to.contain('app called by ');
        }
      });

      it(`${split ? 'closes' : 'leaves open'} its Service as a way from the third container to the app`, async () => {
        const { spec } = await namespace.get<{ spec: { clusterIPs: readonly string[] } }>('services', 'mesh');
        const targets = spec.clusterIPs.map((address): Target => ['tcp', address, 80]);
        const answers = await call(namespace, pieceOf('attacker').metadata.name, 'attacker', targets);
        for (const answer of answers) {
          if (split) expect(answer ?? '').not.to.match(/^app called/);
          else expect(answer).to.contain('app called by ');
        }
      });

      it('the app leaves by the proxy, where there is one', async () => {
        expect(host).to.have.length(2);
        for (const address of host) {
          const command = ['python3', '/mesh/mesh.py', 'call', address, String(outsidePort)];
          const answer = succeeded(await namespace.exec(pieceOf('app').metadata.name, 'app', command));
          expect(answer).to.contain('"server": "outside"');
          expect(answer.startsWith(`proxy let out to ${address} ${outsidePort}; `)).to.equal(split);
        }
      });

      it('is probed at the app, around the proxy, and no container was restarted', async () => {
        for (const [name, { metadata }] of pod.pieces) {
          const live = await namespace.get<Pod>('pods', metadata.name);
          expect(containerStatus(live, name)?.restartCount, name).to.equal(0);
        }
        const log = await namespace.kubectl(['logs', pieceOf('app').metadata.name, '-c', 'app']);
        expect(log).to.match(new RegExp(`^${probePort} probed by `, 'm'));
      });
    });
  }

  it('says at admission what gets around the proxy', async () => {
    const changes = ['podsplit.io/mode=split', 'podsplit.io/ingress-via=proxy:15006'];
    const { output } = await namespace.try([
      'annotate',
      'deployment/mesh',
      '--overwrite',
      '--dry-run=server',
      ...changes,
    ]);
    expect(output).to.contain('IngressAroundProxy').and.contain(`app:${appPort}`);
    expect(output).to.contain('IngressProbes').and.contain(`${probePort}`);
  });

  function meshPod() {
    const container = (name: string, args: readonly string[], more: object = {}): object => ({
      name,
      image: imageReference('samples'),
      command: ['python3', '-u', '/mesh/mesh.py'],
      args,
      resources: { requests: { cpu: '5m', memory: '16Mi' } },
      securityContext: restricted,
      volumeMounts: [
        { name: source, mountPath: '/mesh' },
        { name: 'agent-source', mountPath: '/agent' },
      ],
      ...more,
    });
    return {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 2,
      containers: [
        container('app', ['app', String(appPort), String(hiddenPort), `probe:${probePort}`], {
          ports: [{ name: 'http', containerPort: appPort }],
          // Python may take its time to start: what is judged is who probes, not how fast the machine is.
          startupProbe: { tcpSocket: { port: probePort }, periodSeconds: 1, failureThreshold: 60 },
          readinessProbe: { tcpSocket: { port: probePort }, periodSeconds: 1 },
          livenessProbe: { tcpSocket: { port: probePort }, periodSeconds: 1, failureThreshold: 3 },
        }),
        container('proxy', ['proxy', 'in:15006', 'out:15001'], { ports: [{ containerPort: 15021 }] }),
        container('attacker', ['idle']),
      ],
      volumes: [
        { name: source, configMap: { name: source } },
        { name: 'agent-source', configMap: { name: 'agent-source' } },
      ],
    };
  }

  function pieceOf(container: string): Pod {
    return pod.pieces.get(container) ?? pod.primary;
  }

  function clientAddress(called: string): string {
    return podIPs(client).find((address) => address.includes(':') === called.includes(':')) ?? '';
  }

  async function become(stage: Stage): Promise<void> {
    const keys = new Set(Object.values(stages).flatMap((each) => Object.keys(each)));
    const wanted: Readonly<Record<string, string>> = stages[stage];
    const changes = [...keys].map((key) => (key in wanted ? `${key}=${wanted[key] ?? ''}` : `${key}-`));
    await namespace.kubectl(['annotate', '--overwrite', 'deployment/mesh', ...changes]);
    await namespace.kubectl(['rollout', 'status', 'deployment/mesh', patience]);
    await eventually('the Pods before are gone', async () => {
      expect(await namespace.list<Pod>('pods', { labelSelector: 'app=mesh' })).to.have.length(1);
    });
    if (stage === 'without podsplit') {
      const [primary] = await namespace.list<Pod>('pods', { labelSelector: 'app=mesh' });
      pod = { primary: primary!, pieces: new Map(primary!.spec.containers.map(({ name }) => [name, primary!])) };
    } else {
      [pod = pod] = await readySplitPods(namespace, 'mesh', 1, ['app', 'proxy', 'attacker']);
    }
  }
});
