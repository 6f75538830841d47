// The cluster's certificates: made anew at each boot, in memory, and worth nothing once the cluster is gone.

import 'reflect-metadata'; // @peculiar/x509 asks for it to be there first
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { X509Certificate } from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const hour = 3_600_000;
const year = 365 * 24 * hour;

/** A certificate and its key, both as PEM text. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Authority {
  readonly certificate: X509Certificate;
  readonly pem: KeyPair;
  readonly signingKey: webcrypto.CryptoKey;
}

export interface Identity {
  /** The user name that the API server sees. */
  readonly commonName: string;
  /** The groups that the API server sees. */
  readonly organizations?: readonly string[];
  /** Host names and addresses under which the holder serves; none for a pure client. */
  readonly serves?: { readonly dns?: readonly string[]; readonly ips: readonly string[] };
}

export async function createAuthority(commonName: string): Promise<Authority> {
  const keys = await generateKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [commonName] }],
    keys,
    ...validity(),
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  });
  return { certificate, pem: await toPem(certificate, keys.privateKey), signingKey: keys.privateKey };
}

export async function issue(authority: Authority, identity: Identity): Promise<KeyPair> {
  const keys = await generateKeys();
  const names = [
    ...(identity.serves?.dns ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(identity.serves?.ips ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  const certificate = await X509CertificateGenerator.create({
    subject: [{ CN: [identity.commonName] }, ...(identity.organizations ?? []).map((name) => ({ O: [name] }))],
    issuer: authority.certificate.subject,
    publicKey: keys.publicKey,
    signingKey: authority.signingKey,
    ...validity(),
    signingAlgorithm: algorithm,
    extensions: [
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(
        identity.serves ? [ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth] : [ExtendedKeyUsage.clientAuth],
      ),
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
    ],
  });
  return toPem(certificate, keys.privateKey);
}

/** A key pair without a certificate, as PEM texts: what signs ServiceAccount tokens and what checks them. */
export async function createSigningKey(): Promise<{ key: string; publicKey: string }> {
  const keys = await generateKeys();
  const spki = await webcrypto.subtle.exportKey('spki', keys.publicKey);
  return { key: await keyPem(keys.privateKey), publicKey: PemConverter.encode(spki, 'PUBLIC KEY') + '\n' };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}

/** From an hour ago, so that a clock set back a little does no harm. */
function validity(): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + year) };
}

async function toPem(certificate: X509Certificate, key: webcrypto.CryptoKey): Promise<KeyPair> {
  return { certificate: certificate.toString('pem') + '\n', key: await keyPem(key) };
}

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY') + '\n';
}
