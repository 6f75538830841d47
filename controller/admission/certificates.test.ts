import { X509Certificate } from 'node:crypto';
import { expect } from 'chai';
import type { KubeClient } from '../kube/client.ts';
import { ApiError, type ApiErrorCode } from '../kube/errors.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import type { KubeObject, Resource, Secret } from '../kube/resources.ts';
import { silentLogger } from '../observability/log.ts';
import { authorityLifetimeMs, createAuthority, createLeaf, leafLifetimeMs } from './authority.ts';
import type { StoredTls, TlsMaterial } from './certificate-policies.ts';
import { caBundle, judgeCertificates, readTls, writeTls } from './certificate-policies.ts';
import { Certificates } from './certificates.ts';

const hour = 3_600_000;
const day = 24 * hour;
const start = Date.parse('2026-01-01T00:00:00Z');
const dnsNames = ['podsplit-webhook.podsplit-system.svc', 'podsplit-webhook.podsplit-system'];

async function fresh(now: number): Promise<TlsMaterial> {
  const authority = await createAuthority(now);
  return { authority, leaf: await createLeaf(authority, dnsNames, now) };
}

function stored(material: TlsMaterial): StoredTls {
  return { kind: 'tls', material };
}

const cases: readonly {
  readonly name: string;
  readonly given: () => Promise<StoredTls>;
  readonly at: number;
  /** Reason and action, or `nothing`. */
  readonly expect: string;
}[] = [
  {
    name: 'no Secret',
    given: () => Promise.resolve({ kind: 'missing' }),
    at: start,
    expect: 'SecretMissing: start-over',
  },
  {
    name: 'a Secret without entries',
    given: () => Promise.resolve(readTls({})),
    at: start,
    expect: 'SecretUnreadable: start-over',
  },
  {
    name: 'a Secret that somebody edited',
    given: async () => readTls({ ...writeTls(await fresh(start)), 'tls.crt': Buffer.from('hello').toString('base64') }),
    at: start,
    expect: 'SecretUnreadable: start-over',
  },
  { name: 'fresh', given: async () => stored(await fresh(start)), at: start, expect: 'nothing' },
  {
    name: 'read back as it was written',
    given: async () => readTls(writeTls(await fresh(start))),
    at: start,
    expect: 'nothing',
  },
  {
    name: 'a leaf just before two thirds of its life',
    given: async () => stored(await fresh(start)),
    at: start + (leafLifetimeMs * 2) / 3 - hour,
    expect: 'nothing',
  },
  {
    name: 'a leaf after two thirds of its life',
    given: async () => stored(await fresh(start)),
    at: start + (leafLifetimeMs * 2) / 3 + hour,
    expect: 'LeafRenewalDue: renew-leaf',
  },
  {
    name: 'a leaf that expired while nobody ran',
    given: async () => stored(await fresh(start)),
    at: start + leafLifetimeMs + day,
    expect: 'LeafRenewalDue: renew-leaf',
  },
  {
    name: 'a CA after two thirds of its life: the new one is made beside it',
    given: async () => stored(await fresh(start)),
    at: start + (authorityLifetimeMs * 2) / 3 + hour,
    expect: 'AuthorityRenewalDue: rotate-authority',
  },
  {
    name: 'a CA that expired while nobody ran',
    given: async () => stored(await fresh(start)),
    at: start + authorityLifetimeMs + day,
    expect: 'AuthorityExpired: start-over',
  },
  {
    name: 'a CA that was made by a clock which was ahead: the new one is made beside it',
    given: async () => stored(await fresh(start + hour)),
    at: start,
    expect: 'AuthorityNotYetValid: rotate-authority',
  },
  {
    name: 'a leaf of a previous CA that was made by a clock which was ahead',
    given: async () => {
      const early = await fresh(start + hour);
      const authority = await createAuthority(start);
      return stored({ authority, previousAuthority: early.authority.certificate, leaf: early.leaf });
    },
    at: start,
    expect: 'PreviousAuthorityNotYetValid: renew-leaf',
  },
  {
    name: 'a leaf that was made by a clock which was ahead',
    given: async () => {
      const { authority } = await fresh(start);
      return stored({ authority, leaf: await createLeaf(authority, dnsNames, start + hour) });
    },
    at: start,
    expect: 'LeafNotYetValid: renew-leaf',
  },
  {
    name: 'a leaf of another replica whose clock is a little ahead',
    given: async () => stored(await fresh(start + 60_000)),
    at: start,
    expect: 'nothing',
  },
  {
    name: "a CA with another one's key",
    given: async () => {
      const material = await fresh(start);
      const other = await createAuthority(start);
      return stored({ ...material, authority: { ...material.authority, key: other.key } });
    },
    at: start,
    expect: 'AuthorityKeyMismatch: start-over',
  },
  {
    name: "a leaf with another one's key",
    given: async () => {
      const material = await fresh(start);
      const other = await createLeaf(material.authority, dnsNames, start);
      return stored({ ...material, leaf: { ...material.leaf, key: other.key } });
    },
    at: start,
    expect: 'LeafKeyMismatch: renew-leaf',
  },
  {
    name: "a leaf of somebody else's CA",
    given: async () => stored({ ...(await fresh(start)), leaf: (await fresh(start)).leaf }),
    at: start,
    expect: 'LeafSignedByOther: renew-leaf',
  },
  {
    name: 'a leaf for other names',
    given: async () => {
      const { authority } = await fresh(start);
      return stored({ authority, leaf: await createLeaf(authority, ['webhook.elsewhere.svc'], start) });
    },
    at: start,
    expect: 'LeafNames: renew-leaf',
  },
  {
    name: 'a leaf of the previous CA is served on',
    given: async () => {
      const old = await fresh(start);
      const authority = await createAuthority(start + hour);
      return stored({ authority, previousAuthority: old.authority.certificate, leaf: old.leaf });
    },
    at: start + 2 * day,
    expect: 'nothing',
  },
  {
    name: 'the previous CA stays in the bundle while its leaf may still be served',
    given: async () => ({
      ...stored({ ...(await fresh(start)), previousAuthority: (await fresh(start)).authority.certificate }),
    }),
    at: start + 12 * hour,
    expect: 'nothing',
  },
  {
    name: 'the previous CA goes a day after the first leaf of the new one',
    given: async () =>
      stored({ ...(await fresh(start)), previousAuthority: (await fresh(start)).authority.certificate }),
    at: start + 25 * hour,
    expect: 'PreviousAuthorityUnused: drop-previous',
  },
  {
    name: 'a leaf of a previous CA that has expired',
    given: async () => {
      const old = await fresh(start);
      const now = start + authorityLifetimeMs + day;
      const authority = await createAuthority(now);
      return stored({
        authority,
        previousAuthority: old.authority.certificate,
        leaf: await createLeaf(old.authority, dnsNames, now),
      });
    },
    at: start + authorityLifetimeMs + 2 * day,
    expect: 'PreviousAuthorityExpired: renew-leaf',
  },
];

describe('certificate policies', () => {
  for (const { name, given, at, expect: wanted } of cases) {
    it(name, async () => {
      const verdict = judgeCertificates({ stored: await given(), dnsNames, now: at });
      expect(verdict === undefined ? 'nothing' : `${verdict.reason}: ${verdict.action}`).to.equal(wanted);
    });
  }

  it('makes leaves that a verifier takes for these names, this use and this CA only', async () => {
    const { authority, leaf } = await fresh(start);
    const certificate = new X509Certificate(leaf.certificate);
    const issuer = new X509Certificate(authority.certificate);
    expect(certificate.checkIssued(issuer)).to.equal(true);
    expect(certificate.verify(issuer.publicKey)).to.equal(true);
    expect(issuer.ca).to.equal(true);
    expect(certificate.ca).to.equal(false);
    expect(certificate.keyUsage).to.deep.equal(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.subjectAltName).to.equal(dnsNames.map((name) => `DNS:${name}`).join(', '));
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).to.equal('prime256v1');
    expect(certificate.validToDate.getTime() - start).to.equal(leafLifetimeMs);
    expect(issuer.validToDate.getTime() - start).to.equal(authorityLifetimeMs);
  });

  it('puts the old CA behind the new one into the bundle', async () => {
    const old = await fresh(start);
    const material = { ...(await fresh(start)), previousAuthority: old.authority.certificate };
    expect(caBundle(material).match(/BEGIN CERTIFICATE/g)).to.have.length(2);
    expect(caBundle(material).startsWith(material.authority.certificate.trimEnd())).to.equal(true);
  });
});

/** A Secret and a webhook configuration behind compare-and-swap; e2e/kube runs the same on a real API server. */
class Cluster {
  secret: Secret | undefined;
  configuration = {
    metadata: { name: 'podsplit', resourceVersion: '0' },
    webhooks: [
      { name: 'pods.podsplit.io', clientConfig: {} as { caBundle?: string } },
      { name: 'workloads.podsplit.io', clientConfig: {} as { caBundle?: string } },
    ],
  };
  patches = 0;
  /** Runs once, before the next write: what another replica does in between. */
  meanwhile: (() => Promise<void>) | undefined;
  private version = 0;

  client(): Pick<KubeClient, 'get' | 'create' | 'replace' | 'patch'> {
    return {
      get: async (resource: Resource) => {
        await Promise.resolve();
        if (resource.kind === 'Secret') return this.secret ?? fail('NotFound');
        return this.configuration;
      },
      create: async (_resource: Resource, object: KubeObject) => {
        await this.interfere();
        if (this.secret !== undefined) fail('AlreadyExists');
        return this.write(object);
      },
      replace: async (_resource: Resource, object: KubeObject) => {
        await this.interfere();
        if (this.secret?.metadata.resourceVersion !== object.metadata.resourceVersion) fail('Conflict');
        return this.write(object);
      },
      patch: async (
        _resource: Resource,
        _ref: unknown,
        patch: { body: { op: string; path: string; value: string }[] },
      ) => {
        await Promise.resolve();
        this.patches++;
        for (const { op, path, value } of patch.body) {
          const webhook = this.configuration.webhooks[Number(path.split('/')[2])]!;
          if (op === 'test') expect(webhook.name).to.equal(value);
          else webhook.clientConfig.caBundle = value;
        }
      },
    } as unknown as Pick<KubeClient, 'get' | 'create' | 'replace' | 'patch'>;
  }

  material(): TlsMaterial {
    const tls = readTls(this.secret?.data);
    if (tls.kind !== 'tls') throw new Error('not readable');
    return tls.material;
  }

  bundles(): string[] {
    return this.configuration.webhooks.map(({ clientConfig }) =>
      Buffer.from(clientConfig.caBundle ?? '', 'base64').toString('utf8'),
    );
  }

  private async interfere(): Promise<void> {
    const { meanwhile } = this;
    this.meanwhile = undefined;
    await meanwhile?.();
  }

  private write(object: KubeObject): Secret {
    const metadata = { ...object.metadata, resourceVersion: String(++this.version) };
    this.secret = { ...object, metadata } as Secret;
    return this.secret;
  }
}

function fail(code: ApiErrorCode): never {
  throw new ApiError({ code, status: 409, message: code, path: 'secret', maybeHappened: false });
}

function replica(cluster: Cluster, clock: FakeClock): { certificates: Certificates; served: string[] } {
  const served: string[] = [];
  const certificates = new Certificates({
    client: cluster.client(),
    namespace: 'podsplit-system',
    clock,
    log: silentLogger,
    onLeaf: (leaf) => served.push(leaf.certificate),
  });
  return { certificates, served };
}

describe('Certificates', () => {
  it('makes a Secret, serves its leaf and publishes the CA, once', async () => {
    const cluster = new Cluster();
    const { certificates, served } = replica(cluster, new FakeClock(start));
    expect(certificates.problem()).to.equal('no certificate yet');
    await certificates.pass();
    await certificates.pass();
    expect(served).to.deep.equal([cluster.material().leaf.certificate]);
    expect(new Set(cluster.bundles())).to.deep.equal(new Set([caBundle(cluster.material())]));
    expect(cluster.patches).to.equal(1);
    expect(certificates.problem()).to.equal(undefined);
  });

  it('takes what another replica made a moment before', async () => {
    const cluster = new Cluster();
    const clock = new FakeClock(start);
    const [a, b] = [replica(cluster, clock), replica(cluster, clock)];
    cluster.meanwhile = () => b.certificates.pass();
    await a.certificates.pass();
    expect(a.served).to.deep.equal(b.served);
    expect(cluster.patches).to.equal(1);
  });

  it('renews once though both replicas see that it is due', async () => {
    const cluster = new Cluster();
    const clock = new FakeClock(start);
    const [a, b] = [replica(cluster, clock), replica(cluster, clock)];
    await a.certificates.pass();
    await b.certificates.pass();
    await clock.advance(5 * day);
    cluster.meanwhile = () => b.certificates.pass();
    await a.certificates.pass();
    expect(a.served).to.have.length(2);
    expect(a.served).to.deep.equal(b.served);
  });

  it('repairs a caBundle that was taken away', async () => {
    const cluster = new Cluster();
    const { certificates } = replica(cluster, new FakeClock(start));
    await certificates.pass();
    cluster.configuration.webhooks[1]!.clientConfig = {};
    await certificates.pass();
    expect(cluster.bundles()[1]).to.equal(caBundle(cluster.material()));
  });

  for (const away of [hour, -hour, 400 * day, -400 * day]) {
    it(`serves what is valid now, and what its bundle verifies, after a clock was ${away / hour} hours off`, async () => {
      const cluster = new Cluster();
      const clock = new FakeClock(start);
      const { certificates, served } = replica(cluster, clock);
      clock.jump(away);
      await certificates.pass();
      clock.jump(-away);
      await certificates.pass();
      const valid = (certificate: X509Certificate): boolean =>
        certificate.validFromDate.getTime() <= start && start < certificate.validToDate.getTime();
      const leaf = new X509Certificate(served.at(-1)!);
      expect(valid(leaf)).to.equal(true);
      const issuer = new X509Certificate(cluster.material().authority.certificate);
      expect([leaf.verify(issuer.publicKey), valid(issuer)]).to.deep.equal([true, true]);
      expect(cluster.bundles()[0]).to.contain(cluster.material().authority.certificate.trimEnd());
      const patches = cluster.patches;
      await certificates.pass();
      expect(cluster.patches, 'it is settled').to.equal(patches);
    });
  }

  it('is verified on every day of two years, by the bundle of that day and by that of the day before', async () => {
    const cluster = new Cluster();
    const clock = new FakeClock(start);
    const { certificates, served } = replica(cluster, clock);
    await certificates.pass();
    const authorities = new Set<string>();
    for (let today = 0; today < 730; today++) {
      const yesterday = cluster.bundles()[0]!;
      await clock.advance(day);
      await certificates.pass();
      const leaf = new X509Certificate(served.at(-1)!);
      expect(leaf.validToDate.getTime()).to.be.above(clock.now() + day);
      for (const bundle of [yesterday, cluster.bundles()[0]!]) {
        const pems = bundle.match(/-----BEGIN[^]+?END CERTIFICATE-----/g) ?? [];
        const issuers = pems.map((pem) => new X509Certificate(pem)).filter((issuer) => leaf.verify(issuer.publicKey));
        expect(issuers, `day ${today}`).to.have.length(1);
        expect(issuers[0]!.validToDate.getTime()).to.be.above(clock.now());
      }
      authorities.add(cluster.material().authority.certificate);
    }
    expect(authorities.size).to.equal(3);
  }).timeout(60_000);
});
