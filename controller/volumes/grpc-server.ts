import { chmod, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  Server,
  ServerCredentials,
  status,
  type handleUnaryCall,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from '../observability/log.ts';
import { placeSocket } from '../unix-socket.ts';
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

/** Serves on a unix socket that only root can open, in the place of one that an earlier process left or still serves. */
export async function serveOn(socket: string, services: readonly Service[], log: Logger): Promise<GrpcServer> {
  const server = new Server();
  for (const { definition, handlers } of services) server.addService(definition, implementation(handlers, log));
  await mkdir(dirname(socket), { recursive: true, mode: 0o750 });
  const placed = await placeSocket(socket, async (path) => {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
    await chmod(path, 0o600);
  });
  return {
    close: async () => {
      const { promise, resolve } = Promise.withResolvers<unknown>();
      const timer = setTimeout(resolve, drainMs);
      server.tryShutdown(resolve);
      await promise;
      clearTimeout(timer);
      server.forceShutdown();
      await placed.remove();
    },
  };
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
