import { X509Certificate } from 'node:crypto';
import { systemNamespace } from '../api/names.ts';
import type { MutatingWebhookConfiguration, Secret } from '../kube/resources.ts';
import { few, ok, type Outcome, problem, seenOr, unknown, warning, whereSeen } from './check-outcome.ts';
import { isPodReady } from './check-nodes.ts';
import { certificateSecret, type Snapshot, webhookName } from './check-snapshot.ts';
import { counted } from './table.ts';

/** What becomes of a request while no replica answers, by webhook, as in templates/40-webhooks.yaml; a test holds the two together. */
export const failurePolicies: Readonly<Record<string, string>> = {
  'pods.podsplit.io': 'Fail',
  'labelled-pods.podsplit.io': 'Fail',
  'workloads.podsplit.io': 'Fail',
  'labelled-workloads.podsplit.io': 'Ignore',
};

const again = 'Apply the manifests of this version again.';
const logs = `The controller makes it: kubectl logs -n ${systemNamespace} deployment/podsplit`;
const startOver = `Delete it, and the controller starts over: kubectl delete secret ${certificateSecret} -n ${systemNamespace}`;

/** A leaf lasts a week, and is renewed when two days and a third are left. */
const soonMs = 24 * 3_600_000;

export function checkWebhook({ webhooks }: Snapshot): readonly Outcome[] {
  return whereSeen(webhooks, (all) => {
    const own = all.find(({ metadata }) => metadata.name === webhookName)?.webhooks;
    if (own === undefined) {
      return [
        problem(`There is no MutatingWebhookConfiguration ${webhookName}: annotated Pods would run whole.`, again),
      ];
    }
    const missing = Object.keys(failurePolicies).filter((name) => !own.some((each) => each.name === name));
    const open = own
      .filter(({ name, failurePolicy }) => failurePolicies[name] === 'Fail' && failurePolicy === 'Ignore')
      .map(({ name }) => name);
    if (missing.length > 0)
      return [
        problem(
          `${few(missing)} ${missing.length === 1 ? 'is' : 'are'} missing from the webhook configuration.`,
          again,
        ),
      ];
    if (open.length > 0) {
      return [
        problem(
          `${few(open)} ${open.length === 1 ? 'has' : 'have'} failurePolicy Ignore: while podsplit is away, annotated Pods run whole.`,
          again,
        ),
      ];
    }
    return [ok('Pods and workloads that opt in meet the webhook, and wait where it does not answer.')];
  });
}

export function checkCertificate(snapshot: Snapshot): readonly Outcome[] {
  return whereSeen(snapshot.webhooks, (all) => {
    const own = all.find(({ metadata }) => metadata.name === webhookName);
    if (own === undefined) return [];
    const authorities = authoritiesOf(own);
    if (authorities === undefined) {
      return [problem('The API server has no CA to verify the webhook with, or one that does not read.', logs)];
    }
    if (snapshot.certificate.kind === 'hidden') return withoutSecret(snapshot, snapshot.certificate.right);
    return judge(snapshot.certificate.value, authorities, snapshot.now);
  });
}

/** Of each webhook; undefined where one has none. */
function authoritiesOf({
  webhooks = [],
}: MutatingWebhookConfiguration): readonly (readonly X509Certificate[])[] | undefined {
  const bundles = webhooks.map(({ clientConfig }) => readPem(clientConfig.caBundle));
  return bundles.some((bundle) => bundle.length === 0) ? undefined : bundles;
}

/** Of base64; none where it does not read. */
function readPem(data: string | undefined): readonly X509Certificate[] {
  const text = Buffer.from(data ?? '', 'base64').toString('utf8');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return [];
  }
}

function judge(
  secret: Secret | undefined,
  authorities: readonly (readonly X509Certificate[])[],
  now: number,
): readonly Outcome[] {
  if (secret === undefined) return [problem(`There is no Secret ${certificateSecret} yet.`, logs)];
  const [leaf] = readPem(secret.data?.['tls.crt']);
  if (leaf === undefined) return [problem(`Secret ${certificateSecret} holds no certificate that reads.`, startOver)];
  const left = leaf.validToDate.getTime() - now;
  const end = leaf.validToDate.toISOString();
  if (left <= 0) return [problem(`The webhook's certificate ended on ${end}.`, startOver)];
  if (leaf.validFromDate.getTime() > now) {
    return [
      problem(
        `The webhook's certificate is of a time to come, ${leaf.validFromDate.toISOString()}.`,
        `Is the clock of this machine right? If so: ${startOver}`,
      ),
    ];
  }
  const fits = authorities.every((bundle) => bundle.some((ca) => leaf.verify(ca.publicKey)));
  if (!fits) return [problem("The API server's CA is not that of the webhook's certificate.", logs)];
  if (left < soonMs) {
    return [warning(`The webhook's certificate ends on ${end}, and should have been renewed days ago.`, logs)];
  }
  return [ok(`The webhook's certificate is good until ${end}, and the API server has its CA.`)];
}

/** A replica is ready only with a valid certificate whose CA the API server has. */
function withoutSecret({ controllerPods }: Snapshot, right: string): readonly Outcome[] {
  const ready = seenOr(controllerPods, []).filter(isPodReady);
  return [
    ready.length > 0
      ? ok(
          `${counted(ready.length, 'replica')} of the controller ${ready.length === 1 ? 'is' : 'are'} ready, which none is without a valid certificate.`,
        )
      : unknown(`You may not ${right}.`, `Let somebody look who may ${right}.`),
  ];
}
