import { connect, contextNamespace } from '../kube/connect.ts';
import { version } from '../version.ts';
import { CliError } from './cli-error.ts';
import type { Cluster, ClusterOptions } from './flows-command.ts';

/** By a kubeconfig, as kubectl does. Imported when a command needs it: the client is most of the program's size. */
export function connectCluster({ kubeconfig, context, as }: ClusterOptions): Cluster {
  const options = {
    version,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
    ...(as === undefined ? {} : { as }),
  };
  try {
    return { client: connect(options), namespace: contextNamespace(options) };
  } catch (error) {
    // Whatever is wrong with the file: nothing was asked yet.
    const reason = error instanceof Error ? error.message : String(error);
    throw new CliError(
      `The kubeconfig does not lead to a cluster: ${reason.replace(/\.$/, '')}. Check it with: kubectl config view`,
      { cause: error },
    );
  }
}
