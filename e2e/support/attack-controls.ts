// What has to work for an attack that fails to show anything: flows that are open, and, until a policy closes them, the ways out.

import type { Scene } from './attack-arena.ts';
import type { Attack, ScriptStep } from './attack-catalogue.ts';
import { policy } from './attack-pods.ts';
import { attempt, mustShow } from './attack-run.ts';
import { eventually, patienceMs } from './eventually.ts';
import { succeeded } from './agents.ts';

function control(place: 'app' | 'attacker' | 'helper', run: string, shows: string): ScriptStep {
  return { kind: 'script', in: place, run, shows, within: 10, must: true };
}

const flows = [
  control('attacker', '$A call tcp 127.0.0.1 7000 control', '^app '),
  control('attacker', '$A call udp 127.0.0.1 7004 control', '^app '),
  control('app', '$A call tcp 127.0.0.1 7101 control', '^helper '),
  // What sniffers are to hear is said.
  control('helper', 'grep -m 1 Authorization $SEEN', 'Authorization: Bearer $SECRET'),
];

const waysOut = (place: 'app' | 'attacker') => [
  control(place, '$A call tcp $OTHER_IP 7300 control', '^other '),
  control(place, '$A call tcp $OTHER_IP6 7300 control', '^other '),
  control(place, '$A call tcp $OUTSIDE_IP 7300 control', '^outside '),
  control(place, '$A call tcp $OUTSIDE_IP6 7300 control', '^outside '),
];

const refused = control('attacker', '$A call tcp $OTHER_IP 7300 control > /dev/null 2>&1 || echo refused', '^refused');

/** Until the app has all that attacks aim at, and no policy holds. */
export async function settled(scene: Scene): Promise<void> {
  await eventually(`the app of ${scene.mode} runs`, async () => {
    const script = ['sh', '-c', 'test -S /shared/app.sock && test -e /dev/shm/app-session'];
    succeeded(await scene.namespace.exec(scene.pods.app.metadata.name, 'app', script));
  });
  await working(scene);
  for (const step of waysOut('attacker')) await mustShow(step, scene);
}

/** @throws Error where the Pod's own network does not carry what it has to, with a policy or without */
export async function working(scene: Scene): Promise<void> {
  for (const step of [...flows, ...waysOut('app')]) await mustShow(step, scene);
}

/**
 * Until the attacker's container has its policy. What that is to close has to be open before, or nothing shows that it is what
 * closes it.
 */
export async function close(scene: Scene, attacks: readonly Attack[]): Promise<void> {
  const closed = attacks.filter((attack) => attack.closed.includes(scene.mode));
  if (scene.mode !== 'plain') {
    for (const attack of closed) {
      const { outcome, seen } = await attempt(attack, scene, false);
      if (outcome !== 'succeeds') throw new Error(`${attack.id}, ${scene.mode}: fails without a policy too: ${seen}`);
    }
  }
  await scene.namespace.apply(policy(scene.mode));
  if (scene.mode !== 'plain') await mustShow({ ...refused, within: patienceMs / 1000 }, scene);
  await working(scene);
}
