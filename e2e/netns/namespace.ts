import { existsSync } from 'node:fs';
import { spawn, spawnSync } from 'node:child_process';
import { Agent, agentFile } from '../attack/agent.ts';

/** Everything these tests make is named so, and for the process that makes it: suites may run side by side. */
const testPrefix = 'pst-';
export const namePrefix = `${testPrefix}${process.pid}-`;

/** Runs a program and gives its stdout; throws with its stderr. */
export function run(command: readonly string[], input = ''): string {
  const [program = '', ...args] = command;
  const done = spawnSync(program, args, { input, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command.join(' ')}: ${done.stderr}\n${input}`);
  return done.stdout;
}

/** A network namespace and a process in it that opens sockets for us: Node cannot enter one (no setns). */
export class Namespace extends Agent {
  /** Without what makes its name unique. */
  readonly label: string;

  constructor(name: string) {
    const full = `${namePrefix}${name}`;
    run(['ip', 'netns', 'add', full]);
    // Without duplicate address detection: what has to be up is up at once.
    within(full, ['sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0']);
    within(full, ['ip', 'link', 'set', 'lo', 'up']);
    const agent = spawn('ip', ['netns', 'exec', full, 'python3', '-u', agentFile, name]);
    super(full, agent);
    this.label = name;
  }

  run(command: readonly string[], input = ''): string {
    return within(this.name, command, input);
  }

  override end(): void {
    super.end();
    run(['ip', 'netns', 'delete', this.name]);
  }
}

function within(namespace: string, command: readonly string[], input = ''): string {
  return run(['ip', 'netns', 'exec', namespace, ...command], input);
}

/** What killed runs left behind: the process that it is named for is not there any more. Their agents ended with them. */
export function heal(): void {
  const left = run(['ip', '-json', 'netns', 'list']).trim();
  const names = left === '' ? [] : (JSON.parse(left) as { name: string }[]);
  for (const { name } of names) {
    const pid = new RegExp(`^${testPrefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) run(['ip', 'netns', 'delete', name]);
  }
}
