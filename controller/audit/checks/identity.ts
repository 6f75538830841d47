import { indexed } from '../../split/checks/subject.ts';
import { tokenVolumeName, userAnnotations } from '../../api/names.ts';
import { annotationsOf } from '../../split/pod.ts';
import { isInjectedToken, tokenPath } from '../../split/token.ts';
import { type Atom, closed, type Effect, type Evidence, stays } from '../finding.ts';
import type { Outcome } from '../modes.ts';
import type { Member, Subject } from '../subject.ts';

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
        evidence: [{ path: evidence.path, says: evidence.says }],
        isolate: effectOf(subject, subject.modes.isolate, { actor, evidence }),
        split: effectOf(subject, subject.modes.split, { actor, evidence }),
      },
    ];
  });
}

interface Holder {
  readonly actor: Member;
  readonly evidence: Token;
}

function effectOf({ pod, facts }: Subject, { tokenKeepers }: Outcome, { actor, evidence }: Holder): Effect {
  const { guards, mode, token } = userAnnotations;
  if (evidence.byHand) return stays('It mounts the token itself, and what is mounted by hand stays.');
  if (tokenKeepers === undefined) return stays(`The token is not guarded: see ${guards}.`);
  if (tokenKeepers.includes(actor.name)) return stays(`${token} lets it keep the token.`);
  // It opted in and has the token all the same.
  if (facts.admitted && Object.hasOwn(annotationsOf(pod), mode)) {
    return stays('The Pod was made before tokens were guarded: one that is made now gives it none.');
  }
  return closed(`It is given no token: ${token} does not name it.`);
}

interface Token extends Evidence {
  readonly byHand: boolean;
}

function named(name: string | undefined): string | undefined {
  return name === '' ? undefined : name;
}

/** A projected token without an audience is for the API server; with one it is for somebody else. */
function mountedToken({ spec }: Subject, { container, path }: Member): Token | undefined {
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  const mount = indexed(container.volumeMounts, `${path}.volumeMounts`).find(({ item }) =>
    volumes
      .get(item.name)
      ?.projected?.sources?.some(
        ({ serviceAccountToken: token }) => token !== undefined && forApiServer(token.audience),
      ),
  );
  if (mount === undefined) return undefined;
  const volume = volumes.get(mount.item.name);
  const given = volume !== undefined && (volume.name === tokenVolumeName || isInjectedToken(volume));
  const byHand = !given || mount.item.mountPath !== tokenPath;
  return { path: mount.path, says: 'a ServiceAccount token is mounted', byHand };
}

function forApiServer(audience: string | undefined): boolean {
  return audience === undefined || audience === '' || /^https:\/\/kubernetes\.default(\.|$|:)/.test(audience);
}

/** What the ServiceAccount admission plugin will mount: the Pod's word counts before the account's. */
function automaticToken({ spec, facts }: Subject, { container }: Member): Token | undefined {
  if (facts.admitted) return undefined;
  const taken = container.volumeMounts?.some(({ mountPath }) => mountPath === tokenPath) === true;
  const wanted = spec.automountServiceAccountToken ?? facts.accountMountsToken;
  if (!wanted || taken) return undefined;
  return {
    byHand: false,
    path: 'spec.automountServiceAccountToken',
    says: spec.automountServiceAccountToken === true ? 'true' : 'is not set, so that every container gets the token',
  };
}
