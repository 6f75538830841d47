import { X509Certificate } from 'node:crypto';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { sleep } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import type { KubeObject, Resource, Secret } from '../kube/resources.ts';
import { resources } from '../kube/resources.ts';
import type { Logger } from '../observability/log.ts';
import type { KeyedCertificate } from './authority.ts';
import { createAuthority, createLeaf } from './authority.ts';
import type { CertificateVerdict, StoredTls, TlsMaterial } from './certificate-policies.ts';
import { caBundle, judgeCertificates, readTls, writeTls } from './certificate-policies.ts';

export interface CertificatesOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace' | 'patch'>;
  readonly namespace: string;
  /** Default `podsplit-webhook-tls`. */
  readonly secretName?: string;
  /** The webhook's Service: the names that API servers call. Default `podsplit-webhook`. */
  readonly serviceName?: string;
  /** Kinds of webhook configurations to keep the caBundle of. Default: the mutating ones, RBAC gives no more. */
  readonly configurations?: readonly Resource<WebhookConfiguration>[];
  /** Their name. Default `podsplit`. */
  readonly configurationName?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Whenever there is another serving certificate than before. */
  readonly onLeaf: (leaf: KeyedCertificate) => void;
  readonly hooks?: CertificatesHooks;
}

export interface CertificatesHooks {
  acted?(reason: string): void;
  leafExpires?(epochMs: number): void;
}

export interface CertificatesStatus {
  /** Milliseconds since the epoch; undefined before there is one. */
  readonly leafExpiresAt: number | undefined;
  readonly lastError: string | undefined;
}

const passMs = 60_000;
/** start-over, renewal and drop may follow each other, and another replica may win each of them. */
const maxSteps = 8;

/** Where a caBundle stands: the API server calls nobody whose certificate it cannot verify. */
export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[];
}

/**
 * Keeps the webhook's certificates in a Secret that all replicas share. Every replica runs this: there is no leader, each
 * write is a compare-and-swap, and who comes second reads what the first one wrote.
 */
export class Certificates {
  private readonly options: CertificatesOptions;
  private readonly secretName: string;
  private readonly dnsNames: readonly string[];
  private readonly stopping = new AbortController();
  private served: string | undefined;
  private leafExpiresAt: number | undefined;
  private lastError: string | undefined;
  private running: Promise<void> | undefined;

  constructor(options: CertificatesOptions) {
    this.options = options;
    this.secretName = options.secretName ?? 'podsplit-webhook-tls';
    const host = `${options.serviceName ?? 'podsplit-webhook'}.${options.namespace}`;
    this.dnsNames = [`${host}.svc`, `${host}.svc.cluster.local`, host];
  }

  /** A pass at once and then one a minute. */
  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  status(): CertificatesStatus {
    return { leafExpiresAt: this.leafExpiresAt, lastError: this.lastError };
  }

  /** For readyz: why nobody could be served, or undefined. */
  problem(): string | undefined {
    if (this.leafExpiresAt === undefined) return this.lastError ?? 'no certificate yet';
    return this.options.clock.now() < this.leafExpiresAt ? undefined : `expired: ${this.lastError ?? 'not renewed'}`;
  }

  /** Brings Secret, served leaf and caBundles in line. Throws what the API server says. */
  async pass(): Promise<void> {
    const material = await this.settle();
    this.serve(material.leaf);
    const { configurations = [resources.mutatingWebhookConfigurations] } = this.options;
    for (const configuration of configurations) await this.publish(configuration, caBundle(material));
  }

  private async run(): Promise<void> {
    const { clock, log } = this.options;
    while (!this.stopping.signal.aborted) {
      try {
        await this.pass();
        this.lastError = undefined;
      } catch (error) {
        this.lastError = error instanceof Error ? error.message : String(error);
        log.warn({ err: error }, "the webhook's certificates could not be kept");
      }
      await sleep(clock, this.lastError === undefined ? passMs : passMs / 12, this.stopping.signal);
    }
  }

  private async settle(): Promise<TlsMaterial> {
    for (let step = 0; step < maxSteps; step++) {
      const secret = await this.readSecret();
      const stored: StoredTls = secret === undefined ? { kind: 'missing' } : readTls(secret.data);
      const now = this.options.clock.now();
      const verdict = judgeCertificates({ stored, dnsNames: this.dnsNames, now });
      if (verdict === undefined) {
        if (stored.kind === 'tls') return stored.material;
        throw new TypeError('A Secret without a verdict is a readable one.');
      }
      await this.act(verdict, secret, await this.carryOut(verdict, stored, now));
    }
    throw new Error(
      `The Secret ${this.secretName} changed ${maxSteps} times while it was read: is another writer at it?`,
    );
  }

  private async carryOut(verdict: CertificateVerdict, stored: StoredTls, now: number): Promise<TlsMaterial> {
    if (stored.kind !== 'tls' || verdict.action === 'start-over') {
      const authority = await createAuthority(now);
      return { authority, leaf: await createLeaf(authority, this.dnsNames, now) };
    }
    const { authority, previousAuthority, leaf } = stored.material;
    switch (verdict.action) {
      case 'rotate-authority':
        return { authority: await createAuthority(now), previousAuthority: authority.certificate, leaf };
      case 'renew-leaf': {
        const renewed = await createLeaf(authority, this.dnsNames, now);
        return { authority, leaf: renewed, ...(previousAuthority === undefined ? {} : { previousAuthority }) };
      }
      case 'drop-previous':
        return { authority, leaf };
    }
  }

  private async act(verdict: CertificateVerdict, secret: Secret | undefined, material: TlsMaterial): Promise<void> {
    const { client, namespace, log, hooks } = this.options;
    const data = writeTls(material);
    try {
      if (secret === undefined) {
        const metadata = { namespace, name: this.secretName };
        const object = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata, data } as const;
        await client.create(resources.secrets, object);
      } else {
        await client.replace(resources.secrets, { ...secret, data });
      }
      hooks?.acted?.(verdict.reason);
      log.info({ reason: verdict.reason, action: verdict.action, message: verdict.message }, 'certificates changed');
    } catch (error) {
      // Another replica was faster: what it wrote is as good, and is read next.
      if (!isApiError(error, 'AlreadyExists', 'Conflict')) throw error;
    }
  }

  private async readSecret(): Promise<Secret | undefined> {
    const { client, namespace } = this.options;
    try {
      return await client.get(resources.secrets, { namespace, name: this.secretName });
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  private serve(leaf: KeyedCertificate): void {
    if (leaf.certificate === this.served) return;
    this.options.onLeaf(leaf);
    this.served = leaf.certificate;
    this.leafExpiresAt = new X509Certificate(leaf.certificate).validToDate.getTime();
    this.options.hooks?.leafExpires?.(this.leafExpiresAt);
  }

  /** Only where it differs: a patch that changes nothing would still go through every admission. */
  private async publish(resource: Resource<WebhookConfiguration>, bundle: string): Promise<void> {
    const { client, configurationName = 'podsplit', log } = this.options;
    const encoded = Buffer.from(bundle).toString('base64');
    try {
      const { webhooks = [] } = await client.get(resource, { name: configurationName });
      const body = webhooks.flatMap(({ name, clientConfig }, index) =>
        clientConfig.caBundle === encoded
          ? []
          : [
              { op: 'test', path: `/webhooks/${index}/name`, value: name },
              { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value: encoded },
            ],
      );
      if (body.length === 0) return;
      await client.patch(resource, { name: configurationName }, { type: 'json', body });
      log.info({ kind: resource.kind, name: configurationName }, 'caBundle published');
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
      log.debug({ kind: resource.kind, name: configurationName }, 'no such webhook configuration');
    }
  }
}
