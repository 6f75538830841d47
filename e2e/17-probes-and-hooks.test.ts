// Probes and hooks of a container do in a piece what they do in the whole Pod: the same Pod in both modes, side by side.

import { expect } from 'chai';
import { imageReference } from '../hack/images/recipes.ts';
import { spawnKubectl } from '../hack/demo/command.ts';
import { restricted, workload } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { containerStatus, type ContainerStatus } from './support/objects.ts';
import { both, inContainer, modes, podOf, type Mode } from './support/side-by-side.ts';

/** It lives as long as its file is there; /dev/shm is the sandbox's, so that whoever starts again makes it anew. */
const alive = (name: string): string => `/dev/shm/${name}`;
/** A busy machine answers late, and starts late: neither shall end a container that lives. */
const often = { periodSeconds: 1, timeoutSeconds: 10 };

const server = (port: number): string =>
  `python3 -m http.server ${port} --bind :: --directory /dev/shm >/dev/null 2>&1`;

const killedBy: Readonly<Record<string, { readonly script: string; readonly livenessProbe: object }>> = {
  'by-exec': {
    script: 'sleep infinity & wait',
    livenessProbe: { exec: { command: ['test', '-e', alive('by-exec')] } },
  },
  'by-http': {
    script: `${server(7001)} & wait`,
    livenessProbe: { httpGet: { path: '/by-http', port: 'http' } },
  },
  'by-tcp': {
    script: `${server(7002)} & while [ -e ${alive('by-tcp')} ]; do sleep 0.2; done; kill $!; sleep infinity & wait`,
    livenessProbe: { tcpSocket: { port: 7002 } },
  },
};

function container(name: string, script: string, more: object = {}) {
  return {
    name,
    image: imageReference('samples'),
    command: ['sh', '-c', `trap 'exit 0' TERM; touch ${alive(name)}; ${script}`],
    resources: { requests: { cpu: '5m', memory: '16Mi' } },
    securityContext: restricted,
    ...more,
  };
}

const podSpec = {
  automountServiceAccountToken: false,
  terminationGracePeriodSeconds: 20,
  containers: [
    container('app', 'sleep infinity & wait'),
    ...Object.entries(killedBy).map(([name, { script, livenessProbe }]) =>
      container(name, script, {
        startupProbe: { ...livenessProbe, ...often, failureThreshold: 120 },
        livenessProbe: { ...livenessProbe, ...often, failureThreshold: 1 },
        ...(name === 'by-http' && { ports: [{ containerPort: 7001, name: 'http' }] }),
      }),
    ),
    container('slow', 'sleep infinity & wait', {
      startupProbe: { exec: { command: ['test', '-e', alive('slow-is-up')] }, periodSeconds: 1, failureThreshold: 300 },
    }),
    container('hooked', 'while :; do sleep 0.1; done', {
      lifecycle: {
        postStart: { exec: { command: ['sh', '-c', 'echo postStart > /proc/1/fd/1'] } },
        preStop: { exec: { command: ['sh', '-c', 'sleep 1; echo preStop > /proc/1/fd/1'] } },
      },
    }),
  ],
};

describe('probes and hooks', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('probes');
    await namespace.apply(
      ...both.map((mode) => workload('Deployment', mode, podSpec, { replicas: 1, annotations: modes[mode] })),
    );
  });

  after(() => TestNamespace.deleteAll());

  for (const mode of both) {
    it(`${mode}: a startup probe holds a container back from ready until it passes`, async () => {
      await statusOf(mode, 'app', ({ ready }) => ready);
      await statusOf(mode, 'slow', ({ started, ready, state }) => {
        return state.running !== undefined && started === false && !ready;
      });
      await inContainer(namespace, [mode, 'slow'], `touch ${alive('slow-is-up')}`);
      await statusOf(mode, 'slow', ({ started, ready }) => started === true && ready);
    });

    for (const name of Object.keys(killedBy)) {
      it(`${mode}: a liveness probe ${name.replace('-', ' ')} starts its container again, and no other`, async () => {
        await statusOf(mode, name, ({ ready }) => ready);
        // Behind its back: the container may end before whoever asked for it hears that it was done.
        await inContainer(namespace, [mode, name], `{ sleep 0.5; rm ${alive(name)}; } > /dev/null 2>&1 &`);
        await statusOf(mode, name, ({ restartCount, ready }) => restartCount === 1 && ready);
        await statusOf(mode, 'app', ({ restartCount }) => restartCount === 0);
      });
    }

    it(`${mode}: the hooks run, after the start and before the end`, async () => {
      const { metadata } = await podOf(namespace, mode, 'hooked');
      await statusOf(mode, 'hooked', ({ ready }) => ready);
      const logs = spawnKubectl(['-n', namespace.name, 'logs', '-f', metadata.name, '-c', 'hooked']);
      let said = '';
      logs.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
      await eventually('postStart ran', () => {
        expect(said).to.equal('postStart\n');
      });
      await namespace.kubectl(['delete', 'deployment', mode]);
      await eventually('preStop ran', () => {
        expect(said).to.equal('postStart\npreStop\n');
      });
      logs.kill();
    });
  }

  it('leave nothing behind', () => invariantsHold());

  function statusOf(mode: Mode, name: string, holds: (status: ContainerStatus) => boolean | undefined): Promise<void> {
    return eventually(`${mode}: the status of ${name}`, async () => {
      const status = containerStatus(await podOf(namespace, mode, name), name);
      if (status === undefined || holds(status) !== true) throw new Error(JSON.stringify(status));
    });
  }
});
