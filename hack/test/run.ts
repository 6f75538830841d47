import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Step, Work } from './steps.ts';

const root = join(import.meta.dirname, '../..');

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** For the end of the whole run: a reader of hours of output, or of its tail alone, looks there. */
  readonly failures: readonly Failure[];
  /** A needed step failed: what comes after in turn is left out. */
  readonly ends: boolean;
}

export interface Failure {
  readonly step: string;
  /** What mocha says of the tests that failed, else the last lines. */
  readonly said: string;
}

export type Print = (text: string) => void;

/** @param others whether something else runs at the same time: output is then kept until a step ends */
export async function run(work: Work, print: Print, others = false): Promise<Outcome> {
  if ('command' in work) return runStep(work, print, others);
  if ('sideBySide' in work) return sum(await Promise.all(work.sideBySide.map((each) => run(each, print, true))));
  const outcomes: Outcome[] = [];
  for (const each of work.inTurn) {
    const outcome = await run(each, print, others);
    outcomes.push(outcome);
    if (outcome.ends) break;
  }
  return sum(outcomes);
}

function sum(outcomes: readonly Outcome[]): Outcome {
  return {
    passed: outcomes.reduce((all, { passed }) => all + passed, 0),
    failed: outcomes.reduce((all, { failed }) => all + failed, 0),
    failures: outcomes.flatMap(({ failures }) => failures),
    ends: outcomes.some(({ ends }) => ends),
  };
}

/** Runs one step and counts: mocha says how many, everything else is one. */
async function runStep(step: Step, print: Print, others: boolean): Promise<Outcome> {
  const title = `\n=== ${step.name}: ${step.command.join(' ')}\n`;
  print(others ? `\n... ${step.name}\n` : title);
  const started = Date.now();
  const { code, output } = await execute(step.command, others ? () => undefined : print);
  // In one piece: what others print comes before or after it.
  if (others) print(title + output);
  const passing = lastNumber(output, /^\s*(\d+) passing/gm);
  const failing = lastNumber(output, /^\s*(\d+) failing/gm);
  const passed = passing ?? (code === 0 ? 1 : 0);
  // A suite that dies before its summary, or runs nothing at all, has failed.
  const failed = Math.max(failing ?? 0, code === 0 && passed > 0 ? 0 : 1);
  const seconds = Math.round((Date.now() - started) / 1000);
  print(`=== ${step.name}: ${failed === 0 ? 'passed' : 'FAILED'} in ${seconds} s\n`);
  const failures = failed === 0 ? [] : [{ step: step.name, said: whatFailed(output) }];
  return { passed, failed, failures, ends: failed > 0 && step.needed === true };
}

const lastLines = 30;

function whatFailed(output: string): string {
  const start = [...output.matchAll(/^\s*\d+ failing/gm)].at(-1)?.index;
  return (start === undefined ? output.trimEnd().split('\n').slice(-lastLines).join('\n') : output.slice(start)).trim();
}

const shortest = 300;

/** One line for each test that failed: its name, and the first words of why. */
export function inShort({ step, said }: Failure): readonly string[] {
  // As mocha's reporters number them: name, colon, reason.
  const tests = [...said.matchAll(/^ {2}\d+\) ([^]*?):\n\s*(.*)$/gm)].map(
    ([, name = '', why = '']) => `${name}: ${why}`,
  );
  const lines = tests.length > 0 ? tests : [said.split('\n').at(-1) ?? ''];
  return lines.map((line) => `failed: ${step}: ${line.replaceAll(/\s+/g, ' ')}`.slice(0, shortest));
}

function execute(command: readonly string[], show: Print): Promise<{ readonly code: number; readonly output: string }> {
  const [program = '', ...args] = command;
  const bin = join(root, 'node_modules', '.bin');
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      show(text);
      output += text;
    });
  }
  return new Promise((resolve) => {
    child.on('error', (error) => {
      resolve({ code: 1, output: `${output}${error.message}\n` });
    });
    child.on('close', (code) => {
      resolve({ code: code ?? 1, output });
    });
  });
}

function lastNumber(text: string, pattern: RegExp): number | undefined {
  const found = [...text.matchAll(pattern)].at(-1)?.[1];
  return found === undefined ? undefined : Number(found);
}
