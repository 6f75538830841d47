import { record } from '../api/json.ts';
import { userAnnotations } from '../api/names.ts';
import type { ObjectMeta } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { sleep } from '../kube/clock.ts';
import { Reflector, type ReflectorHooks, watchedMetadata } from '../kube/reflector.ts';
import { resources, type Namespace } from '../kube/resources.ts';
import type { Check } from '../observability/health.ts';
import type { Logger } from '../observability/log.ts';
import type { Labels } from '../split/namespace-defaults.ts';
import type { AdmissionRequest, Answer, Denied } from './review.ts';

export interface WatchedNamespacesOptions {
  readonly client: Pick<KubeClient, 'pages' | 'watch'>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks?: ReflectorHooks;
}

/** Far below the webhook's timeout. The watch is behind by some milliseconds, as a rule. */
const patienceMs = 2_000;
const pauseMs = 20;
/** The API server sends a bookmark each minute: a watch that has missed two may hang, and hear of no label. */
const silentMs = 150_000;

/** Whose labels the API server has looked at before it called. */
export type Selected = 'any' | 'mode';

/**
 * What namespaces say by their labels, watched by every replica: admission answers without asking the API server. The watch
 * may be behind: a request from a namespace that it has not heard of waits a little, and is denied then, for its labels might
 * have asked for more. So is one that the API server sent because of a label which the watch does not have, and each one while
 * the watch hangs.
 */
export class WatchedNamespaces {
  readonly watch: Reflector<Namespace, Slim>;
  readonly check: Check;
  private readonly clock: Clock;

  constructor({ client, clock, log, hooks }: WatchedNamespacesOptions) {
    this.clock = clock;
    this.watch = new Reflector<Namespace, Slim>({
      client,
      resource: resources.namespaces,
      slim,
      clock,
      log: log.child({ resource: resources.namespaces.plural, of: 'admission' }),
      ...(hooks === undefined ? {} : { hooks }),
    });
    this.check = { name: 'namespaces', check: () => this.problem() };
  }

  /** Answers with `review`, which is given podsplit's labels of the request's namespace. */
  async review(request: AdmissionRequest, selected: Selected, review: (labels: Labels) => Answer): Promise<Answer> {
    const end = this.clock.monotonic() + patienceMs;
    for (;;) {
      const labels = this.isSilent() ? undefined : this.watch.store.get(request.namespace)?.metadata.labels;
      if (labels !== undefined && (selected === 'any' || labels[userAnnotations.mode] !== undefined)) {
        return review(labels);
      }
      if (this.clock.monotonic() >= end) return notSeen(request.namespace);
      await sleep(this.clock, pauseMs);
    }
  }

  private isSilent(): boolean {
    return (this.watch.status().silentMs ?? 0) > silentMs;
  }

  private problem(): string | undefined {
    const { silentMs, lastError = 'no answer' } = this.watch.status();
    if (!this.watch.hasSynced()) return `the namespaces are not listed yet: ${lastError}`;
    return this.isSilent() ? `nothing was heard of namespaces for ${silentMs ?? 0} ms: ${lastError}` : undefined;
  }
}

function notSeen(namespace: string): Denied {
  return {
    kind: 'denied',
    decision: 'error',
    codes: ['NamespaceNotSeen'],
    status: 500,
    message: `podsplit: the labels of namespace ${namespace} are not known here yet, and might ask for more. Try again. (NamespaceNotSeen)`,
  };
}

interface Slim {
  readonly metadata: ObjectMeta & { readonly labels: Labels };
}

function slim({ metadata }: Namespace): Slim {
  const labels = record(metadata.labels);
  const own = [userAnnotations.mode, userAnnotations.guards].flatMap((key): [string, string][] => {
    const value = labels[key];
    return typeof value === 'string' ? [[key, value]] : [];
  });
  return { metadata: { ...watchedMetadata(metadata), labels: Object.fromEntries(own) } };
}
