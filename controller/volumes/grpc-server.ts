import { randomUUID } from 'node:crypto';
import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  Server,
  ServerCredentials,
  status,
  type handleUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from '../observability/log.ts';
import { VolumeError, volumeErrorCodes } from './volume-error.ts';

/** The answer to one message. What it throws is the caller's error. */
export type Handler = (request: unknown) => Promise<object> | object;

export interface Service {
  readonly definition: ServiceDefinition;
  /** By method; others are answered UNIMPLEMENTED. */
  readonly handlers: Readonly<Record<string, Handler>>;
}

export interface GrpcServer {
  close(): Promise<void>;
}

/** Without a limit a call of a volume that hangs would hold up the end of the process. */
const drainMs = 5_000;

/**
 * Serves on a unix socket that only root can open, in the place of one that an earlier process left or still serves.
 *
 * It is bound by another name, and put there by rename: when a server ends, libuv deletes the name that it was bound by, and
 * by then that may be the next one's. The kubelet passes over files that begin with a dot, and takes the rename for a new
 * socket (pkg/kubelet/pluginmanager/pluginwatcher).
 */
export async function serveOn(socket: string, services: readonly Service[], log: Logger): Promise<GrpcServer> {
  const server = new Server();
  for (const { definition, handlers } of services) server.addService(definition, implementation(handlers, log));
  await mkdir(dirname(socket), { recursive: true, mode: 0o750 });
  // A path of a socket may have 107 characters.
  const bound = join(dirname(socket), `.${basename(socket)}.${randomUUID().slice(0, 8)}`);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${bound}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
  await chmod(bound, 0o600);
  const own = await fileAt(bound);
  await rename(bound, socket);
  return {
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const timer = setTimeout(resolve, drainMs);
      server.tryShutdown(resolve);
      await promise;
      clearTimeout(timer);
      server.forceShutdown();
      if ((await fileAt(socket)) === own) await rm(socket, { force: true });
    },
  };
}

/** Which file it is, as long as that exists. */
async function fileAt(path: string): Promise<string | undefined> {
  const found = await lstat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev} ${found.ino}`;
}

function implementation(handlers: Service['handlers'], log: Logger): UntypedServiceImplementation {
  return Object.fromEntries(Object.entries(handlers).map(([name, handler]) => [name, unary(name, handler, log)]));
}

function unary(name: string, handler: Handler, log: Logger): handleUnaryCall<unknown, object> {
  return ({ request }, answer) => {
    settle(handler, request).then(
      (response) => {
        answer(null, response);
      },
      (error: unknown) => {
        answer(described(name, error, log));
      },
    );
  };
}

/** A handler that throws is one whose promise is rejected. */
async function settle(handler: Handler, request: unknown): Promise<object> {
  return handler(request);
}

function described(call: string, error: unknown, log: Logger) {
  if (error instanceof VolumeError) {
    log.warn({ call, code: error.code }, error.message);
    return { code: volumeErrorCodes[error.code].status, details: `${error.message} (${error.code})` };
  }
  log.error({ call, err: error }, 'a call of the kubelet failed');
  const what = error instanceof Error ? error.message : String(error);
  return { code: status.INTERNAL, details: `the volume driver failed: ${what}` };
}
