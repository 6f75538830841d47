import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { KeyedCertificate } from './authority.ts';

/** What the Secret holds once it has been read; the texts in it are somebody's input. */
export interface TlsMaterial {
  readonly authority: KeyedCertificate;
  /** The CA before this one, while a leaf of it may still be served. */
  readonly previousAuthority?: string;
  readonly leaf: KeyedCertificate;
}

export type StoredTls =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'tls'; readonly material: TlsMaterial };

export interface CertificateInput {
  readonly stored: StoredTls;
  readonly dnsNames: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** `start-over`: a new CA and a leaf of it. `rotate-authority`: a new CA beside the old one, the leaf stays. */
export type CertificateAction = 'start-over' | 'rotate-authority' | 'renew-leaf' | 'drop-previous';

export interface CertificateVerdict {
  readonly reason: string;
  readonly message: string;
  readonly action: CertificateAction;
}

type Policy = (material: TlsMaterial, input: CertificateInput) => CertificateVerdict | undefined;

/** An API server that runs reads a changed caBundle within seconds; a day is for the one that was cut off. */
const previousAuthorityKeptMs = 24 * 3_600_000;

/** Renewal at two thirds of the life leaves a third for everything that may go wrong with it. */
function renewalDue(certificate: X509Certificate, now: number): boolean {
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  return now >= from + ((to - from) * 2) / 3;
}

function expired(certificate: X509Certificate, now: number): boolean {
  return now >= certificate.validToDate.getTime();
}

/** Made by a clock that was ahead: nobody accepts it before its time. */
function isEarly(certificate: X509Certificate, now: number): boolean {
  return now < certificate.validFromDate.getTime();
}

function signedBy(leaf: X509Certificate, authority: string | undefined): boolean {
  if (authority === undefined) return false;
  return leaf.verify(new X509Certificate(authority).publicKey);
}

/** In order: the first that is violated says what is to be done, then everything is looked at again. */
const policies: readonly Policy[] = [
  /** Nothing that this CA signed is accepted any more. */
  ({ authority }, { now }) =>
    expired(new X509Certificate(authority.certificate), now)
      ? { reason: 'AuthorityExpired', message: 'The CA has expired.', action: 'start-over' }
      : undefined,

  /** Without its key the CA can sign nothing more. */
  ({ authority }) =>
    keyFits(authority)
      ? undefined
      : { reason: 'AuthorityKeyMismatch', message: 'ca.key is not the key of ca.crt.', action: 'start-over' },

  /** The leaf of the old CA is served on, and the new CA is in every caBundle long before its first leaf is. */
  ({ authority }, { now }) =>
    renewalDue(new X509Certificate(authority.certificate), now)
      ? {
          reason: 'AuthorityRenewalDue',
          message: 'Two thirds of the life of the CA are over.',
          action: 'rotate-authority',
        }
      : undefined,

  /** Beside the old one, as in any rotation: what it signed is served until there is a leaf of the new one. */
  ({ authority }, { now }) =>
    isEarly(new X509Certificate(authority.certificate), now)
      ? { reason: 'AuthorityNotYetValid', message: 'The CA is of a time to come.', action: 'rotate-authority' }
      : undefined,

  ({ leaf }) =>
    keyFits(leaf)
      ? undefined
      : { reason: 'LeafKeyMismatch', message: 'tls.key is not the key of tls.crt.', action: 'renew-leaf' },

  /** Somebody put a leaf there that no caBundle of ours verifies. */
  ({ authority, previousAuthority, leaf }) => {
    const certificate = new X509Certificate(leaf.certificate);
    return [authority.certificate, previousAuthority].some((candidate) => signedBy(certificate, candidate))
      ? undefined
      : { reason: 'LeafSignedByOther', message: 'The serving certificate is not of our CA.', action: 'renew-leaf' };
  },

  /** A leaf of the previous CA must not outlive it. */
  ({ authority, previousAuthority, leaf }, { now }) => {
    if (signedBy(new X509Certificate(leaf.certificate), authority.certificate)) return undefined;
    if (previousAuthority === undefined) return undefined;
    const previous = new X509Certificate(previousAuthority);
    if (expired(previous, now))
      return { reason: 'PreviousAuthorityExpired', message: 'The CA of the leaf has expired.', action: 'renew-leaf' };
    return isEarly(previous, now)
      ? {
          reason: 'PreviousAuthorityNotYetValid',
          message: 'The CA of the leaf is of a time to come.',
          action: 'renew-leaf',
        }
      : undefined;
  },

  /** The Service was renamed, or the Secret was copied from another namespace. */
  ({ leaf }, { dnsNames }) => {
    const certificate = new X509Certificate(leaf.certificate);
    const missing = dnsNames.filter((name) => certificate.checkHost(name) === undefined);
    return missing.length === 0
      ? undefined
      : { reason: 'LeafNames', message: `The leaf does not name ${missing.join(', ')}.`, action: 'renew-leaf' };
  },

  ({ leaf }, { now }) =>
    isEarly(new X509Certificate(leaf.certificate), now)
      ? { reason: 'LeafNotYetValid', message: 'The leaf is of a time to come.', action: 'renew-leaf' }
      : undefined,

  ({ leaf }, { now }) =>
    renewalDue(new X509Certificate(leaf.certificate), now)
      ? { reason: 'LeafRenewalDue', message: 'Two thirds of the life of the leaf are over.', action: 'renew-leaf' }
      : undefined,

  /** Both replicas serve the new leaf for a day: nobody needs the old CA. */
  ({ authority, previousAuthority, leaf }, { now }) => {
    if (previousAuthority === undefined) return undefined;
    const certificate = new X509Certificate(leaf.certificate);
    const since = now - certificate.validFromDate.getTime();
    return signedBy(certificate, authority.certificate) && since > previousAuthorityKeptMs
      ? { reason: 'PreviousAuthorityUnused', message: 'No leaf of the old CA is served.', action: 'drop-previous' }
      : undefined;
  },
];

/** What has to be done next with the Secret, or undefined when it is as it should be. */
export function judgeCertificates(input: CertificateInput): CertificateVerdict | undefined {
  const { stored } = input;
  if (stored.kind === 'missing') {
    return { reason: 'SecretMissing', message: 'There is no Secret yet.', action: 'start-over' };
  }
  if (stored.kind === 'unreadable') return { reason: 'SecretUnreadable', message: stored.why, action: 'start-over' };
  for (const policy of policies) {
    const verdict = policy(stored.material, input);
    if (verdict !== undefined) return verdict;
  }
  return undefined;
}

function keyFits(pair: KeyedCertificate): boolean {
  return new X509Certificate(pair.certificate).checkPrivateKey(createPrivateKey(pair.key));
}

/** PEM of every CA that a leaf in service may be of: what API servers verify with. */
export function caBundle(material: TlsMaterial): string {
  return [material.authority.certificate, material.previousAuthority]
    .filter((pem) => pem !== undefined)
    .map((pem) => pem.trimEnd())
    .join('\n')
    .concat('\n');
}

const entries = ['ca.crt', 'ca.key', 'tls.crt', 'tls.key'] as const;
const previousEntry = 'ca-previous.crt';

/** From the base64 `data` of the Secret. */
export function readTls(data: Readonly<Record<string, string>> | undefined): StoredTls {
  const text = (name: string): string => Buffer.from(data?.[name] ?? '', 'base64').toString('utf8');
  const missing = entries.filter((name) => text(name) === '');
  if (missing.length > 0) return { kind: 'unreadable', why: `The Secret lacks ${missing.join(', ')}.` };
  const previous = text(previousEntry);
  const material: TlsMaterial = {
    authority: { certificate: text('ca.crt'), key: text('ca.key') },
    leaf: { certificate: text('tls.crt'), key: text('tls.key') },
    ...(previous === '' ? {} : { previousAuthority: previous }),
  };
  const fault = pemFault(material);
  return fault === undefined ? { kind: 'tls', material } : { kind: 'unreadable', why: fault };
}

/** From here on every PEM parses: the policies need not ask. */
function pemFault(material: TlsMaterial): string | undefined {
  const { authority, leaf, previousAuthority } = material;
  try {
    for (const pem of [authority.certificate, leaf.certificate, previousAuthority]) {
      if (pem !== undefined) new X509Certificate(pem);
    }
    for (const pem of [authority.key, leaf.key]) createPrivateKey(pem);
    return undefined;
  } catch (error) {
    return `The Secret does not parse: ${error instanceof Error ? error.message : String(error)}`;
  }
}

export function writeTls(material: TlsMaterial): Record<string, string> {
  const { authority, leaf, previousAuthority } = material;
  const texts: Record<string, string> = {
    'ca.crt': authority.certificate,
    'ca.key': authority.key,
    'tls.crt': leaf.certificate,
    'tls.key': leaf.key,
    ...(previousAuthority === undefined ? {} : { [previousEntry]: previousAuthority }),
  };
  return Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, Buffer.from(text).toString('base64')]));
}
