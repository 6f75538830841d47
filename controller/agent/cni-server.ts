import { chmod, mkdir } from 'node:fs/promises';
import net from 'node:net';
import { dirname } from 'node:path';
import type { Logger } from '../observability/log.ts';
import { placeSocket } from '../unix-socket.ts';
import { AgentError, cniErrorCode, type AgentErrorCode } from './agent-error.ts';
import { parseCniRequest, type CniRequest } from './cni-request.ts';

export interface CniServerOptions {
  readonly socket: string;
  /** ADD resolves to the CNI result. `signal` fires when nobody waits for the answer any more. */
  readonly handle: (request: CniRequest, signal: AbortSignal) => Promise<object | undefined>;
  readonly log: Logger;
  readonly hooks?: {
    answered?(request: CniRequest | undefined, code: AgentErrorCode | 'ok' | 'Internal', seconds: number): void;
  };
}

export interface CniServer {
  close(): Promise<void>;
}

/** The plugin takes configurations of up to 1 MiB, and wraps them. */
const maxRequestBytes = (1024 + 64) * 1024;

/**
 * The socket that the plugin calls: one request, one answer, both a line of JSON. Only root on the node can open it, since
 * it is made with mode 0600 in a folder with mode 0700.
 */
export async function startCniServer(options: CniServerOptions): Promise<CniServer> {
  const { socket } = options;
  await mkdir(dirname(socket), { recursive: true, mode: 0o700 });
  await chmod(dirname(socket), 0o700);
  const open = new Set<net.Socket>();
  const served = new Set<Promise<void>>();
  const server = net.createServer((connection) => {
    open.add(connection);
    connection.on('close', () => open.delete(connection));
    connection.on('error', (error) => {
      options.log.debug({ err: error }, 'a plugin went away');
    });
    const call = serve(connection, options).catch((error: unknown) => {
      options.log.error({ err: error }, 'a call of the plugin could not be served');
      connection.destroy();
    });
    served.add(call);
    void call.then(() => served.delete(call));
  });
  const placed = await placeSocket(socket, async (path) => {
    const mask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(path, resolve);
      });
    } finally {
      process.umask(mask);
    }
  });
  return {
    close: async () => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      });
      // Whoever waits is told by the cut connection to try again; the kubelet does. What was begun is taken back.
      for (const connection of open) connection.destroy();
      await Promise.all([closed, ...served]);
      await placed.remove();
    },
  };
}

async function serve(connection: net.Socket, options: CniServerOptions): Promise<void> {
  const { log, hooks } = options;
  const gone = new AbortController();
  connection.on('close', () => {
    gone.abort();
  });
  const started = performance.now();
  let request: CniRequest | undefined;
  try {
    const text = await readLine(connection);
    if (text === undefined) return;
    request = parseCniRequest(text);
    const result = await options.handle(request, gone.signal);
    reply(connection, result === undefined ? {} : { result });
    hooks?.answered?.(request, 'ok', (performance.now() - started) / 1000);
  } catch (error) {
    const { code, msg, name } = described(error);
    const { command, pod, containerID } = request ?? {};
    const fields = { command, pod, containerID, code: name };
    if (error instanceof AgentError) log.warn(fields, error.message);
    else log.error({ ...fields, err: error }, 'a call of the plugin failed');
    reply(connection, { error: { code, msg } });
    hooks?.answered?.(request, name, (performance.now() - started) / 1000);
  }
}

function described(error: unknown): {
  readonly code: number;
  readonly msg: string;
  readonly name: AgentErrorCode | 'Internal';
} {
  if (error instanceof AgentError) {
    return { code: cniErrorCode(error.code), msg: `${error.message} (${error.code})`, name: error.code };
  }
  // Fails closed: a piece starts with its rules or not at all, also when podsplit has a mistake.
  const what = error instanceof Error ? error.message : String(error);
  return { code: 11, msg: `the agent failed: ${what} (Internal)`, name: 'Internal' };
}

function reply(connection: net.Socket, message: object): void {
  if (!connection.destroyed) connection.end(`${JSON.stringify(message)}\n`);
}

/**
 * Up to the first newline; undefined where the caller went away before that. The connection is read on after it: its end is
 * how the agent learns that nobody waits.
 */
function readLine(connection: net.Socket): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve, reject) => {
    connection.on('close', () => {
      resolve(undefined);
    });
    connection.on('data', (chunk) => {
      if (size > maxRequestBytes) return;
      size += chunk.length;
      chunks.push(chunk);
      if (size > maxRequestBytes) {
        reject(new AgentError('BadRequest', `the request is larger than ${maxRequestBytes} bytes`));
      } else if (chunk.includes(0x0a)) {
        const whole = Buffer.concat(chunks);
        resolve(whole.subarray(0, whole.indexOf(0x0a)).toString('utf8'));
      }
    });
  });
}
