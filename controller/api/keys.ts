import { shortHash } from './identity.ts';
import { group, originalAnnotationDomain, originalLabelDomain } from './names.ts';

/** Label and annotation keys are `name` or `domain/name`, the domain at most 253 characters. */
const maxDomainLength = 253;

/** Whether only podsplit has a say in what the key means: `podsplit.io/x`, and `x.podsplit.io/y` for the original labels. */
export function isReservedKey(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash < 0) return false;
  const domain = key.slice(0, slash);
  return domain === group || domain.endsWith(`.${group}`);
}

/**
 * Where a sibling keeps the primary's label `key`: under another domain, because no selector of the workload may find a
 * sibling. A domain too long to be extended is replaced by its hash.
 */
export function originalLabelKey(key: string): string {
  return underDomain(key, originalLabelDomain);
}

/** A Pod's labels as its siblings keep them. */
export function keptLabels(labels: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [originalLabelKey(key), value]));
}

export function isKeptLabel(key: string): boolean {
  const [domain = ''] = key.split('/', 1);
  return domain === originalLabelDomain || domain.endsWith(`.${originalLabelDomain}`);
}

/** The same for annotations that a downward API volume of the sibling reads: they must not mean anything on the sibling. */
export function originalAnnotationKey(key: string): string {
  return underDomain(key, originalAnnotationDomain);
}

function underDomain(key: string, parent: string): string {
  const slash = key.indexOf('/');
  if (slash < 0) return `${parent}/${key}`;
  const domain = key.slice(0, slash);
  const name = key.slice(slash + 1);
  const whole = `${domain}.${parent}`;
  return whole.length <= maxDomainLength ? `${whole}/${name}` : `${shortHash(domain, 12)}.${parent}/${name}`;
}
