import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { succeeded } from './agents.ts';
import type { TestNamespace } from './namespace.ts';

const program = readFileSync(join(import.meta.dirname, 'traffic.py'), 'utf8');

export interface Traffic {
  readonly requests: number;
  readonly failures: readonly string[];
}

/** Requests from the Pod `client` go on until `stop`, which tells how they went. */
export function steadyTraffic(namespace: TestNamespace, url: string): { readonly stop: () => Promise<Traffic> } {
  const stopFile = `/tmp/stop-${randomBytes(3).toString('hex')}`;
  const running = namespace.exec('client', 'client', ['python3', '-c', program, url, stopFile]);
  return {
    stop: async () => {
      succeeded(await namespace.exec('client', 'client', ['touch', stopFile]));
      return JSON.parse(succeeded(await running)) as Traffic;
    },
  };
}
