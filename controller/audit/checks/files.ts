import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { RefusalCode } from '../../api/refusal.ts';
import { indexed } from '../../split/checks/subject.ts';
import { isEmptyDir, isReadOnlyVolume } from '../../split/pod.ts';
import { type Atom, type Effect, type Severity, stays } from '../finding.ts';
import { type Outcome, refuses } from '../modes.ts';
import type { Member, Subject } from '../subject.ts';

interface Mount {
  readonly path: string;
  readonly mountPath: string;
  /** Within the volume; undefined where it is computed at run time. */
  readonly subPath: string | undefined;
  readonly writes: boolean;
}

/** Names that people give to what should not be read by everybody. */
const secretName = /secret|token|cred|passw|vault|cert|tls|private|key/i;

const refusedForSharing: readonly RefusalCode[] = ['SharedEmptyDir', 'SharedEphemeralVolume', 'SharedReadWriteOncePod'];

export function sharedFiles(subject: Subject): readonly Atom[] {
  const { members, spec, modes } = subject;
  const mounted = byVolume(members);
  return indexed(spec.volumes, 'spec.volumes').flatMap(({ item: volume, path }) => {
    const mounts = mounted.get(volume.name);
    if (mounts === undefined || mounts.size < 2 || isReadOnlyVolume(volume)) return [];
    const effects = {
      isolate: effectOf(modes.isolate, [], path, volume),
      split: effectOf(modes.split, refusedForSharing, path, volume),
    };
    return [...mounts].flatMap(([actor, own]) =>
      [...mounts].flatMap(([victim, others]): Atom[] => {
        // An init container ends before anybody could do something to it, and acts by what it leaves.
        if (victim === actor || victim.kind === 'init') return [];
        const what = powerOver(own, others);
        if (what === undefined) return [];
        const telling = [volume.name, ...own.map(({ mountPath }) => mountPath)].some((name) => secretName.test(name));
        return [
          {
            severity: severityOf(actor, telling || (what === 'writes to' && victim.powers.privileged)),
            actor: actor.name,
            victim: { kind: 'container', name: victim.name, detail: `${what} volume ${volume.name}` },
            techniques: [what === 'writes to' ? 'T1080' : 'T1005', ...(telling ? ['T1552.001', 'MS-TA9027'] : [])],
            evidence: [
              { path, says: `${kindOf(volume)} ${volume.name}` },
              ...own.map((mount) => ({
                path: mount.path,
                says: `${actor.name} mounts it${mount.writes ? '' : ' read-only'}`,
              })),
            ],
            ...effects,
          },
        ];
      }),
    );
  });
}

/** What a privileged container reads, or serves at a socket, is the way to its powers. */
function severityOf(actor: Member, grave: boolean): Severity {
  if (actor.kind === 'init') return 'low';
  return grave ? 'high' : 'medium';
}

function byVolume(members: readonly Member[]): ReadonlyMap<string, ReadonlyMap<Member, readonly Mount[]>> {
  const volumes = new Map<string, Map<Member, Mount[]>>();
  for (const member of members) {
    for (const { item, path } of indexed(member.container.volumeMounts, `${member.path}.volumeMounts`)) {
      const users = volumes.get(item.name) ?? new Map<Member, Mount[]>();
      const mounts = users.get(member) ?? [];
      mounts.push({
        path,
        mountPath: item.mountPath,
        subPath: item.subPathExpr === undefined ? normal(item.subPath ?? '') : undefined,
        writes: item.readOnly !== true,
      });
      volumes.set(item.name, users.set(member, mounts));
    }
  }
  return volumes;
}

function normal(path: string): string {
  return path.replace(/^(\.?\/)+|\/+$/g, '');
}

/** The strongest that one of its mounts gives it over what the other has mounted. */
function powerOver(own: readonly Mount[], others: readonly Mount[]): 'writes to' | 'reads' | undefined {
  const meeting = own.flatMap((one) => others.filter((other) => overlap(one, other)).map((other) => ({ one, other })));
  if (meeting.some(({ one }) => one.writes)) return 'writes to';
  return meeting.some(({ other }) => other.writes) ? 'reads' : undefined;
}

function overlap({ subPath: one }: Mount, { subPath: other }: Mount): boolean {
  if (one === undefined || other === undefined) return true;
  return one === other || one === '' || other === '' || one.startsWith(`${other}/`) || other.startsWith(`${one}/`);
}

function kindOf(volume: IVolume): string {
  if (volume.emptyDir?.medium === 'Memory') return 'emptyDir in memory';
  if (isEmptyDir(volume)) return 'emptyDir';
  return Object.keys(volume).find((field) => field !== 'name') ?? 'volume';
}

function effectOf(mode: Outcome, codes: readonly RefusalCode[], path: string, volume: IVolume): Effect {
  if (refuses(mode, codes, path)) {
    return { effect: 'refused', reason: 'This volume cannot be given to several pieces.' };
  }
  const what = isEmptyDir(volume) ? 'one directory for all that mount it' : 'the same for all that mount it';
  return stays(`The volume stays ${what}, and sockets in it are ways that no rule judges.`);
}
