import { readFile } from 'node:fs/promises';

/** A write of somebody, as the API server's audit log has it. */
export interface Write {
  readonly verb: string;
  /** With its subresource: `pods/status`. */
  readonly resource: string;
  readonly at: number;
  /** The user name that the API server knows its author by. */
  readonly user: string;
}

interface AuditEvent {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly requestReceivedTimestamp: string;
  readonly responseStatus?: { readonly code?: number };
  readonly objectRef?: { readonly resource?: string; readonly subresource?: string };
}

/** Only who is asked for, and only what it writes: the log of everything would be a load of its own. */
export function auditPolicy(...users: readonly string[]): string {
  return JSON.stringify({
    apiVersion: 'audit.k8s.io/v1',
    kind: 'Policy',
    omitStages: ['RequestReceived', 'ResponseStarted'],
    rules: [{ level: 'Metadata', users, verbs: ['create', 'update', 'patch', 'delete'] }, { level: 'None' }],
  });
}

export async function writesSince(log: string, since: number): Promise<readonly Write[]> {
  const lines = (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '');
  return lines
    .map((line) => JSON.parse(line) as AuditEvent)
    .map(({ verb, user, requestReceivedTimestamp, objectRef }) => ({
      verb,
      user: user.username,
      resource: [objectRef?.resource ?? '', objectRef?.subresource ?? ''].filter((part) => part !== '').join('/'),
      at: Date.parse(requestReceivedTimestamp),
    }))
    .filter(({ at }) => at >= since);
}

/** `create pods`, and how often, most frequent first. */
export function byKind(writes: readonly Write[]): readonly (readonly [kind: string, count: number])[] {
  const groups = Map.groupBy(writes, ({ verb, resource }) => `${verb} ${resource}`);
  return [...groups].map(([kind, all]) => [kind, all.length] as const).toSorted((one, other) => other[1] - one[1]);
}
