import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { agentProgram, agents, succeeded } from './agents.ts';
import { eventually } from './eventually.ts';
import type { TestNamespace } from './namespace.ts';

/** To be applied in the place of `agentProgram`. */
export const streamProgram = {
  ...agentProgram,
  data: { ...agentProgram.data, 'streams.py': readFileSync(join(import.meta.dirname, 'streams.py'), 'utf8') },
};

/** A Pod spec whose containers echo at these ports, none of them declared. */
export function echoes(containers: Readonly<Record<string, readonly string[]>>) {
  const spec = agents(Object.fromEntries(Object.keys(containers).map((name) => [name, []])));
  return {
    ...spec,
    containers: spec.containers.map((container) => ({
      ...container,
      command: ['python3', '/agent/streams.py', 'serve'],
      args: containers[container.name] ?? [],
    })),
  };
}

export interface Streamed {
  readonly sent: number;
  readonly answered: number;
  readonly error: string | null;
}

/** Connections of the container that are used until `stop`, which tells how each went. */
export function streams<Name extends string>(
  namespace: TestNamespace,
  pod: string,
  container: string,
  targets: Readonly<Record<Name, string>>,
): { readonly stop: () => Promise<Readonly<Record<Name, Streamed>>> } {
  const stopFile = `/tmp/stop-${randomBytes(3).toString('hex')}`;
  const specs = Object.entries(targets).map(([name, target]) => `${name}=${target as string}`);
  const running = namespace.exec(pod, container, ['python3', '/agent/streams.py', 'stream', stopFile, ...specs]);
  return {
    stop: async () => {
      await eventually('the streams are told to stop', async () => {
        succeeded(await namespace.exec(pod, container, ['touch', stopFile]));
      });
      return JSON.parse(succeeded(await running)) as Record<Name, Streamed>;
    },
  };
}
