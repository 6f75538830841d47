import { indexed } from '../../split/checks/subject.ts';
import { type Atom, type Evidence, stays } from '../finding.ts';
import type { Member, Subject } from '../subject.ts';

const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Init containers too: what they hold they can keep. */
export function tokens(subject: Subject): readonly Atom[] {
  const { serviceAccountName, serviceAccount } = subject.spec;
  const account = named(serviceAccountName) ?? named(serviceAccount) ?? 'default';
  return subject.members.flatMap((actor): Atom[] => {
    const evidence = mountedToken(subject, actor) ?? automaticToken(subject, actor);
    if (evidence === undefined) return [];
    return [
      {
        // RBAC gives `default` nothing unless somebody bound it.
        severity: account === 'default' ? 'low' : 'medium',
        actor: actor.name,
        victim: { kind: 'api', detail: `as ServiceAccount ${account}` },
        evidence: [evidence],
        isolate: stays('Only the network is isolated: all containers that mount the token have it.'),
        split: stays(
          'Each piece has a token of the same ServiceAccount. Set automountServiceAccountToken: false, and mount a projected token where it is needed.',
        ),
      },
    ];
  });
}

function named(name: string | undefined): string | undefined {
  return name === '' ? undefined : name;
}

/** A projected token without an audience is for the API server; with one it is for somebody else. */
function mountedToken({ spec }: Subject, { container, path }: Member): Evidence | undefined {
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  const mount = indexed(container.volumeMounts, `${path}.volumeMounts`).find(({ item }) =>
    volumes
      .get(item.name)
      ?.projected?.sources?.some(
        ({ serviceAccountToken: token }) => token !== undefined && forApiServer(token.audience),
      ),
  );
  return mount === undefined ? undefined : { path: mount.path, says: 'a ServiceAccount token is mounted' };
}

function forApiServer(audience: string | undefined): boolean {
  return audience === undefined || audience === '' || /^https:\/\/kubernetes\.default(\.|$|:)/.test(audience);
}

/** What the ServiceAccount admission plugin will mount: the Pod's word counts before the account's. */
function automaticToken({ spec, facts }: Subject, { container }: Member): Evidence | undefined {
  if (facts.admitted) return undefined;
  const taken = container.volumeMounts?.some(({ mountPath }) => mountPath === tokenPath) === true;
  const wanted = spec.automountServiceAccountToken ?? facts.accountMountsToken;
  if (!wanted || taken) return undefined;
  return {
    path: 'spec.automountServiceAccountToken',
    says: spec.automountServiceAccountToken === true ? 'true' : 'is not set, so that every container gets the token',
  };
}
