import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { Intent } from '../api/annotations.ts';
import { userAnnotations } from '../api/names.ts';
import { allContainers } from './checks/subject.ts';
import type { Reason } from './plan.ts';
import { specOf } from './pod.ts';
import { isInjectedToken, tokenKeepers, tokenPath } from './token.ts';

/** Codes of what a user should hear of without asking. */
export const tokenNotes: readonly string[] = ['AsksForToken', 'TokenNotGuarded'];

type Wanted = Pick<Intent, 'guards' | 'token'>;

/** Who keeps the ServiceAccount's token, who does not, and who seems to want it. @param pod before it was guarded */
export function tokenReasons(pod: IPod, intent: Wanted, piece: string): readonly Reason[] {
  const keepers = tokenKeepers(intent);
  const path = `metadata.annotations[${userAnnotations.token}]`;
  if (keepers === undefined) {
    if (intent.token.length === 0) return [];
    const message = `It has no effect: the token is not guarded here, and every container has it (${userAnnotations.guards}).`;
    return [{ code: 'TokenNotGuarded', piece, path, message }];
  }
  const message =
    keepers.length === 0
      ? 'No container has the token of the ServiceAccount, unless it mounts one itself.'
      : `Of the containers these have the token of the ServiceAccount, and no others: ${keepers.join(', ')}.`;
  return [{ code: 'TokenGuarded', piece, path, message }, ...unanswered(pod, keepers)];
}

/** Containers that will miss the token, as far as the Pod tells. */
function unanswered(pod: IPod, keepers: readonly string[]): readonly Reason[] {
  const spec = specOf(pod);
  const volumes = new Map((spec.volumes ?? []).map((volume) => [volume.name, volume]));
  const hasOwn = ({ volumeMounts = [] }: IContainer): boolean =>
    volumeMounts.some(({ name }) => {
      const volume = volumes.get(name);
      return (
        volume !== undefined &&
        !isInjectedToken(volume) &&
        (volume.projected?.sources ?? []).some((source) => source.serviceAccountToken !== undefined)
      );
    });
  return allContainers(spec).flatMap(({ container, path }): Reason[] => {
    const sign = signOf(container);
    if (sign === undefined || keepers.includes(container.name) || hasOwn(container)) return [];
    return [
      {
        code: 'AsksForToken',
        piece: container.name,
        path,
        message:
          `Container ${container.name} names ${sign}, and has no token. If it calls the API of the cluster, list it in ` +
          `${userAnnotations.token}.`,
      },
    ];
  });
}

/** What only those write that call the API from within the cluster. Images and RBAC are not looked at. */
const signs: readonly (readonly [RegExp, string])[] = [
  [/\bkubernetes\.default\b/, 'kubernetes.default'],
  [/KUBERNETES_SERVICE_HOST/, 'KUBERNETES_SERVICE_HOST'],
  [/\/secrets\/kubernetes\.io\/serviceaccount/, tokenPath],
  [/\bin-?cluster\b/i, 'an in-cluster configuration'],
  [/(^|[\s/;&|(])kubectl\s/, 'kubectl'],
];

function signOf({ command = [], args = [], env = [] }: IContainer): string | undefined {
  const values: readonly unknown[] = [...env.flatMap(({ name, value }) => [name, value]), ...command, ...args];
  const texts = values.filter((text) => typeof text === 'string');
  // "kubectl" alone, as a word of a command, is the program.
  if (texts.includes('kubectl')) return 'kubectl';
  return signs.find(([pattern]) => texts.some((text) => pattern.test(text)))?.[1];
}
