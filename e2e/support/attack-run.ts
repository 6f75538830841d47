// Makes the attacks of e2e/attacks in an arena, and says what came of them.

import { setTimeout as pause } from 'node:timers/promises';
import { asAttacker, type Scene } from './attack-arena.ts';
import { filled, type ApiStep, type Attack, type Outcome, type ScriptStep } from './attack-catalogue.ts';
import { barePod } from './agents.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { inNetns, onNode } from './node.ts';

export interface Result {
  readonly outcome: Outcome;
  /** What the step that decided showed. */
  readonly seen: string;
}

interface Ran {
  readonly ok: boolean;
  readonly output: string;
}

type Values = Readonly<Record<string, string>>;

/** @throws Error where a precondition does not hold: nothing was tried then */
export async function attempt(attack: Attack, scene: Scene): Promise<Result> {
  // The sign by which the target knows this attack.
  const values = { ...scene.values, TOKEN: `${scene.mode}-${attack.id}` };
  try {
    let seen = '';
    for (const step of attack.steps) {
      if (step.kind === 'script' && step.only?.includes(scene.mode) === false) continue;
      const { ok, output } = await (step.kind === 'api' ? callApi(step, scene, values) : until(step, scene, values));
      if (!ok && step.kind === 'script' && step.must) {
        throw new Error(`${attack.id}, ${scene.mode}: not tried, for ${JSON.stringify(step.run)} said ${output}`);
      }
      const decides = step.kind === 'api' || step.shows !== undefined;
      if (decides && !ok) return { outcome: 'fails', seen: output };
      if (decides) seen = output;
    }
    return { outcome: 'succeeds', seen };
  } finally {
    for (const step of attack.after) await run(step, scene, values);
  }
}

/** Until it shows what it is to show, for as long as the step allows. */
async function until(step: ScriptStep, scene: Scene, values: Values): Promise<Ran> {
  const end = performance.now() + 1000 * step.within;
  for (;;) {
    const { ok, output } = await run(step, scene, values);
    if (step.shows === undefined) return { ok, output };
    const shown = new RegExp(filled(step.shows, values, escapeRegExp), 'm').test(output);
    if (shown || performance.now() > end) return { ok: shown, output };
    await pause(200);
  }
}

async function run(step: ScriptStep, scene: Scene, values: Values): Promise<Ran> {
  const seen = step.in === 'outside' ? scene.seenOutside : values['SEEN']!;
  const env = { ...values, SEEN: seen };
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const command = ['env', ...settings, 'timeout', '60', 'sh', '-c', step.run];
  const { app, neighbour } = scene.pods;
  switch (step.in) {
    case 'outside':
      return said(onNode('outside', command));
    case 'app-netns':
      return said(inNetns(app, command));
    case 'neighbour-netns':
      return said(inNetns(neighbour, command));
    default: {
      const shell = scene.shells[step.in as keyof typeof scene.shells];
      const { status, output } = (await shell.must('run', { script: step.run, env })) as Ended;
      return { ok: status === 0, output };
    }
  }
}

/** As shell.py answers. */
interface Ended {
  readonly status: number;
  readonly output: string;
}

/** Of a command that failed what it printed, and not what it was. */
async function said(output: Promise<string>): Promise<Ran> {
  try {
    return { ok: true, output: await output };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string };
    return { ok: false, output: stdout + stderr };
  }
}

async function callApi({ kubectl, input }: ApiStep, { namespace }: Scene, values: Values): Promise<Ran> {
  const args = kubectl.map((word) => filled(word, values));
  // A debug container cannot be tried without adding it; of the rest nothing stays.
  const dry = args[0] === 'debug' ? [] : ['--dry-run=server'];
  const [verb = '', ...rest] = args;
  const text = filled(JSON.stringify(completed(input)), values, (value) => JSON.stringify(value).slice(1, -1));
  const { status, output } = await namespace.try([...asAttacker(namespace), verb, ...dry, ...rest], text);
  return { ok: status === 0, output };
}

/** Of a Pod the catalogue says only what the attack is about. */
function completed(input: unknown): unknown {
  if (typeof input !== 'object' || input === null || !('kind' in input) || input.kind !== 'Pod') return input ?? {};
  const containers = [{ name: 'mine', image: imageReference('samples'), command: ['sleep', '1'] }];
  return { ...barePod('mine', { containers }), ...input };
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}
