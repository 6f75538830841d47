// Requests through the Service, one after the other, while something else happens: does a client notice?

import { startKubectl } from './command.ts';

export interface Traffic {
  readonly requests: number;
  readonly failed: number;
}

/** Ends by itself, should nobody come to stop it. */
const client = `
rm -f /tmp/stop; requests=0; failed=0
while [ ! -e /tmp/stop ] && [ $SECONDS -lt 180 ]; do
  requests=$((requests + 1))
  curl -sS -f -m 3 -o /dev/null http://web/ || failed=$((failed + 1))
  sleep 0.05
done
echo "requests=$requests failed=$failed"
`;

export function steadyTraffic(namespace: string): { readonly stop: () => Promise<Traffic> } {
  const exec = (...argv: readonly string[]) => startKubectl(['-n', namespace, 'exec', 'client', '--', ...argv]).ended;
  const running = exec('bash', '-c', client);
  return {
    stop: async () => {
      await exec('touch', '/tmp/stop');
      const { output } = await running;
      const counts = /requests=(\d+) failed=(\d+)/.exec(output);
      if (counts === null) throw new Error(`the client did not count its requests: ${output.trim()}`);
      return { requests: Number(counts[1]), failed: Number(counts[2]) };
    },
  };
}
