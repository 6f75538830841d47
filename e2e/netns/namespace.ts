import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const agentFile = fileURLToPath(new URL('agent.py', import.meta.url));

/** Everything these tests make is named so: what a killed run left is found by it and removed. */
export const namePrefix = 'pst-';

export type Answer =
  { readonly error: string } | { readonly server: string; readonly peer: string; readonly local: string };

export interface Target {
  readonly proto: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  readonly timeout?: number;
  readonly source?: string;
  readonly sport?: number;
  readonly freebind?: boolean;
  readonly transparent?: boolean;
}

/** Runs a program and gives its stdout; throws with its stderr. */
export function run(command: readonly string[], input = ''): string {
  const [program = '', ...args] = command;
  const done = spawnSync(program, args, { input, encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command.join(' ')}: ${done.stderr}\n${input}`);
  return done.stdout;
}

/** A network namespace and a process in it that opens sockets for us. */
export class Namespace {
  readonly name: string;
  readonly #agent: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, (reply: { result?: unknown; error?: string }) => void>();
  #last = 0;

  constructor(name: string) {
    this.name = `${namePrefix}${name}`;
    run(['ip', 'netns', 'add', this.name]);
    // Without duplicate address detection: what has to be up is up at once.
    this.run(['sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0']);
    this.run(['ip', 'link', 'set', 'lo', 'up']);
    this.#agent = spawn('ip', ['netns', 'exec', this.name, 'python3', '-u', agentFile, name]);
    this.#agent.stderr.pipe(process.stderr);
    createInterface(this.#agent.stdout).on('line', (line) => {
      const reply = JSON.parse(line) as { id: number; result?: unknown; error?: string };
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  run(command: readonly string[], input = ''): string {
    return run(['ip', 'netns', 'exec', this.name, ...command], input);
  }

  async ask(op: string, args: object): Promise<{ result?: unknown; error?: string }> {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<{ result?: unknown; error?: string }>();
    this.#waiting.set(id, resolve);
    this.#agent.stdin.write(`${JSON.stringify({ id, op, args })}\n`);
    return promise;
  }

  /** Throws where the operation itself must not fail. */
  async must(op: string, args: object): Promise<unknown> {
    const { result, error } = await this.ask(op, args);
    if (error !== undefined) throw new Error(`${this.name}: ${op} ${JSON.stringify(args)}: ${error}`);
    return result;
  }

  listen(proto: 'tcp' | 'udp', host: string, port: number, dual = false): Promise<unknown> {
    return this.must('listen', { proto, host, port, dual });
  }

  async call(target: Target): Promise<Answer> {
    return answer(await this.ask('call', { ...target }));
  }

  /** Opens a connection that stays open; `again` uses it. */
  async open(key: string, target: Target): Promise<Answer> {
    return answer(await this.ask('open', { key, ...target }));
  }

  async again(key: string, timeout: number): Promise<Answer> {
    return answer(await this.ask('again', { key, timeout }));
  }

  /** The clients that the server at this port has seen. */
  async seen(port: number): Promise<readonly (readonly [string, number])[]> {
    return (await this.must('seen', { port })) as [string, number][];
  }

  end(): void {
    this.#agent.stdin.end();
    this.#agent.kill('SIGKILL');
    run(['ip', 'netns', 'delete', this.name]);
  }
}

function answer({ result, error }: { result?: unknown; error?: string }): Answer {
  if (error !== undefined) return { error };
  const { server, peer, local } = result as { server: string; peer: [string, number]; local: [string, number] };
  return { server, peer: peer[0], local: local[0] };
}

/** What a killed run left behind. Its agents ended with it. */
export function heal(): void {
  const left = run(['ip', '-json', 'netns', 'list']).trim();
  const names = left === '' ? [] : (JSON.parse(left) as { name: string }[]);
  for (const { name } of names.filter((each) => each.name.startsWith(namePrefix))) run(['ip', 'netns', 'delete', name]);
}
