// Makes the attacks of e2e/attacks in an arena, and says what came of them.

import { setTimeout as pause } from 'node:timers/promises';
import type { Scene } from './attack-arena.ts';
import {
  decides,
  filled,
  type ApiStep,
  type Attack,
  type Mode,
  type Outcome,
  type ScriptStep,
} from './attack-catalogue.ts';
import { asAttacker } from './attack-pods.ts';
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

/**
 * @param closed whether the policy selects the attacker's container by now, for the sign by which the target knows this attempt
 * @throws Error where a precondition does not hold: nothing was tried then
 */
export async function attempt(
  attack: Attack,
  scene: Scene,
  closed = attack.closed.includes(scene.mode),
): Promise<Result> {
  const values = { ...scene.values, TOKEN: `${scene.mode}-${attack.id}-${closed ? 'closed' : 'open'}` };
  try {
    let seen = '';
    for (const step of attack.steps) {
      if (step.only?.includes(scene.mode) === false) continue;
      const ran = await (step.kind === 'api' ? callApi(step, scene, values) : scripted(step, scene, values));
      if (typeof ran === 'string') throw new Error(`${attack.id}, ${scene.mode}: not tried, for ${ran}`);
      if (!decides(step)) continue;
      if (!ran.ok) return { outcome: 'fails', seen: ran.output };
      seen = ran.output;
    }
    return { outcome: 'succeeds', seen };
  } finally {
    for (const step of attack.after) await run(step, scene, values);
  }
}

/** A text says why nothing was tried. */
type Tried = Ran | string;

async function scripted(step: ScriptStep, scene: Scene, values: Values): Promise<Tried> {
  const ran = await until(step, scene, values);
  return step.must && !ran.ok ? `${JSON.stringify(step.run)} said ${ran.output}` : ran;
}

/** Until it shows what it is to show, for as long as the step allows. */
async function until(step: ScriptStep, scene: Scene, values: Values): Promise<Ran> {
  const end = performance.now() + 1000 * step.within;
  for (;;) {
    const { ok, output } = await run(step, scene, values);
    const shown =
      step.shows === undefined ? ok : new RegExp(filled(step.shows, values, escapeRegExp), 'm').test(output);
    if (shown || performance.now() > end) return { ok: shown, output };
    await pause(200);
  }
}

/** @throws Error where it does not show what it has to */
export async function mustShow(step: ScriptStep, scene: Scene): Promise<void> {
  const { ok, output } = await until(step, scene, scene.values);
  if (!ok) throw new Error(`${scene.mode}: in ${step.in} ${JSON.stringify(step.run)} said ${output}`);
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

async function callApi(step: ApiStep, scene: Scene, values: Values): Promise<Tried> {
  return judged(step, scene.mode, values, await called(step, scene, values));
}

/** A call that ended in some other error than the refusal was not tried. */
export function judged(step: ApiStep, mode: Mode, values: Values, ran: Ran): Tried {
  const command = `kubectl ${step.kubectl.join(' ')}`;
  if (ran.ok) return step.mustBeRefused ? `${command} was accepted` : ran;
  const says = step.refused[mode];
  if (says !== undefined && new RegExp(filled(says, values, escapeRegExp), 'm').test(ran.output)) return ran;
  return `${command} was not refused by ${says ?? 'what is expected, for that is nothing'}: ${ran.output}`;
}

async function called({ kubectl, input, victim }: ApiStep, scene: Scene, values: Values): Promise<Ran> {
  const { namespace } = scene;
  const args = kubectl.map((word) => filled(word, values));
  // A debug container cannot be tried without adding it; of the rest nothing stays.
  const dry = args[0] === 'debug' ? [] : ['--dry-run=server'];
  const [verb = '', ...rest] = args;
  const object = victim === undefined ? completed(input) : scene.victim(victim);
  const text = filled(JSON.stringify(object), values, (value) => JSON.stringify(value).slice(1, -1));
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
