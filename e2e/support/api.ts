// What suites ask the API server most, in process: a kubectl for each, which reads its configuration and the server's kinds
// first, is most of the processor time of a suite that waits.

import { Writable } from 'node:stream';
import { Exec, KubeConfig, type V1Status } from '@kubernetes/client-node';
import { connect } from '../../controller/kube/connect.ts';
import type { KubeClient, Selection } from '../../controller/kube/client.ts';
import { resources, type Resource } from '../../controller/kube/resources.ts';
import { kubeconfig, type Ended } from '../../hack/demo/command.ts';

/** As the controller's table of kinds names them. */
export type Kind = keyof typeof resources;

let connected: KubeClient | undefined;

/** Only once a test asks: what reads the names of suites needs no cluster. */
function client(): KubeClient {
  connected ??= connect({ kubeconfig });
  return connected;
}

/** @param selection without a namespace: of all */
export async function listAll<T>(kind: Kind, selection: Selection = {}): Promise<readonly T[]> {
  const { items } = await client().list(known(kind), selection);
  return items as unknown as readonly T[];
}

export async function get<T>(kind: Kind, name: string, namespace?: string): Promise<T> {
  return (await client().get(known(kind), { namespace, name })) as unknown as T;
}

/** Suites say themselves which fields they read. */
function known(kind: Kind): Resource {
  return resources[kind];
}

export interface Where {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

/** Runs a program in a container, as `kubectl exec` does: 1 too where there is no such container, or it ended with the program. */
export async function execIn({ namespace, pod, container }: Where, argv: readonly string[]): Promise<Ended> {
  const stdout: Buffer[] = [];
  const mixed: Buffer[] = [];
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  let said: V1Status | undefined;
  try {
    // The library's own type of it needs types that it does not bring.
    const socket = (await new Exec(config).exec(
      namespace,
      pod,
      container,
      [...argv],
      into(stdout, mixed),
      into(mixed),
      null,
      false,
      (status) => {
        said = status;
      },
    )) as EventTarget;
    await new Promise((resolve) => {
      // After an error too.
      socket.addEventListener('close', resolve);
    });
  } catch (error) {
    // Of a WebSocket it is an event.
    const { message } = error as { readonly message: string };
    return { status: 1, stdout: textOf(stdout), output: `${textOf(mixed)}${message}` };
  }
  return { status: exitCode(said), stdout: textOf(stdout), output: `${textOf(mixed)}${said?.message ?? ''}` };
}

function into(...lists: readonly Buffer[][]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const list of lists) list.push(chunk);
      done();
    },
  });
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString();
}

/** The kubelet's status at the end of a program: https://github.com/kubernetes/apimachinery, v1.StatusReasonNonZeroExitCode */
function exitCode(said: V1Status | undefined): number {
  if (said?.status === 'Success') return 0;
  const code = said?.details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message;
  return code === undefined ? 1 : Number(code);
}
