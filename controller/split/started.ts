import { parseJson, record } from '../api/json.ts';

/** The annotation `podsplit.io/started`: which native sidecars have started, for a primary that waits for them. */
export interface Started {
  /**
   * Of the sandbox that it was written for: in the next one, after a restart of the node, the same names say nothing. Left
   * out where nobody will write it again.
   */
  readonly podIP?: string;
  readonly containers: readonly string[];
}

export function formatStarted({ podIP, containers }: Started): string {
  return JSON.stringify({ ...(podIP === undefined ? {} : { podIP }), containers: containers.toSorted() });
}

/** What `formatStarted` wrote; undefined for anything else, an annotation that is not there among it. */
export function parseStarted(text: string): Started | undefined {
  const { podIP, containers } = record(parseJson(text));
  if (podIP !== undefined && typeof podIP !== 'string') return undefined;
  if (!Array.isArray(containers) || !containers.every((name) => typeof name === 'string')) return undefined;
  return { ...(podIP === undefined ? {} : { podIP }), containers };
}

/** Does the annotation say so, to the sandbox that has this Pod IP? */
export function saysStarted(text: string, sidecar: string, podIP: string): boolean {
  const started = parseStarted(text);
  return started !== undefined && (started.podIP ?? podIP) === podIP && started.containers.includes(sidecar);
}
