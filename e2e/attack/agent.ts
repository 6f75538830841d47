import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const agentFile = fileURLToPath(new URL('agent.py', import.meta.url));
/** For where the file is not: `python3 -u -c SOURCE NAME`. */
export const agentSource = readFileSync(agentFile, 'utf8');

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
  /** The interface that the socket is bound to. */
  readonly device?: string;
  readonly mptcp?: boolean;
}

interface Reply {
  readonly result?: unknown;
  readonly error?: string;
}

/** A process that opens sockets for us, somewhere: agent.py, driven by JSON lines. It ends with its standard input. */
export class Agent {
  readonly name: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #last = 0;

  constructor(name: string, child: ChildProcessWithoutNullStreams) {
    this.name = name;
    this.#process = child;
    child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
    child.stdin.on('error', () => undefined);
    createInterface(child.stdout).on('line', (line) => {
      const { id, ...reply } = JSON.parse(line) as Reply & { readonly id: number };
      this.#answer(id, reply);
    });
    child.on('close', (status) => {
      for (const id of this.#waiting.keys()) this.#answer(id, { error: `the agent has ended (${status ?? 'signal'})` });
    });
  }

  async ask(op: string, args: object): Promise<Reply> {
    const id = ++this.#last;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#waiting.set(id, resolve);
    this.#process.stdin.write(`${JSON.stringify({ id, op, args })}\n`);
    return promise;
  }

  /** Throws where the operation itself must not fail. */
  async must(op: string, args: object): Promise<unknown> {
    const { result, error } = await this.ask(op, args);
    if (error !== undefined) throw new Error(`${this.name}: ${op} ${JSON.stringify(args).slice(0, 500)}: ${error}`);
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
    this.#process.stdin.end();
    this.#process.kill('SIGKILL');
  }

  #answer(id: number, reply: Reply): void {
    this.#waiting.get(id)?.(reply);
    this.#waiting.delete(id);
  }
}

function answer({ result, error }: Reply): Answer {
  if (error !== undefined) return { error };
  const { server, peer, local } = result as { server: string; peer: [string, number]; local: [string, number] };
  return { server, peer: peer[0], local: local[0] };
}
