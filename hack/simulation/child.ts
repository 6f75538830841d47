import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

/** A program that runs beside this process and never outlives it: the kernel ends it when this one ends, however. */
export class Child {
  readonly name: string;
  readonly pid: number;
  private readonly process: ChildProcess;
  private readonly ended: Promise<void>;

  private constructor(name: string, process: ChildProcess) {
    this.name = name;
    this.process = process;
    this.pid = process.pid ?? 0;
    this.ended = new Promise((resolve) => {
      process.once('close', () => {
        resolve();
      });
      process.once('error', () => {
        resolve();
      });
    });
  }

  /** @param log gets what it prints, at its end */
  static start(name: string, argv: readonly string[], log: string, env?: NodeJS.ProcessEnv): Child {
    const output = openSync(log, 'a');
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...argv], {
      stdio: ['ignore', output, output],
      ...(env === undefined ? {} : { env }),
    });
    closeSync(output);
    return new Child(name, child);
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.process.kill(signal);
  }

  /** At once, without a word. Returns when it is gone. */
  async kill(): Promise<void> {
    if (this.running) this.process.kill('SIGKILL');
    await this.ended;
  }
}
