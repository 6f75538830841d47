import type { Directory, DirectoryPod, PolicySubject } from '../policies/directory.ts';
import type { Party, PolicyQuestion } from '../policies/explain-pod.ts';
import { canonicalAddress } from '../rules/addresses.ts';
import { CliError } from './cli-error.ts';
import { printable } from './table.ts';

export interface QuestionText {
  readonly from: string | undefined;
  readonly to: string | undefined;
}

const forms = 'a container of the Pod, an IP address, NAMESPACE/POD, or NAMESPACE/POD/CONTAINER';

/**
 * `--from web --to cache:6379/udp`; an IPv6 address with a port is in brackets.
 *
 * @throws CliError
 */
export function parseQuestion({ from, to }: QuestionText, subject: PolicySubject): PolicyQuestion {
  if (from === undefined || to === undefined) throw new CliError('Give both ends: --from WHO --to WHOM:PORT[/udp].');
  const {
    whom = '',
    port = '',
    protocol = 'tcp',
  } = /^(?<whom>.+):(?<port>\d{1,5})(\/(?<protocol>tcp|udp|sctp))?$/.exec(to)?.groups ?? {};
  const number = Number(port);
  if (whom === '' || number < 1 || number > 65535) {
    throw new CliError(
      `--to ${to} is not WHOM:PORT, or WHOM:PORT/udp (tcp, udp or sctp), with a port from 1 to 65535.`,
    );
  }
  const question = {
    from: party('--from', from, subject),
    to: party('--to', whom.replace(/^\[(.*)\]$/, '$1'), subject),
    port: number,
    protocol: protocolOf(protocol),
  };
  if (question.from.kind === 'container' || question.to.kind === 'container') return question;
  throw new CliError(`One end has to be a container of Pod ${subject.name}: ${namesOf(subject)}.`);
}

/** Of all that there is, as far as the user may see it. */
export interface Seen {
  readonly directory: Directory;
  /** Plurals of what could not be listed in all namespaces. */
  readonly unseen: readonly string[];
}

/**
 * About somebody who is not there nothing is denied, and nothing allowed.
 *
 * @throws CliError where an end is a Pod, or a container of one, that the cluster has not
 */
export function requireKnown({ from, to }: PolicyQuestion, subject: PolicySubject, seen: Seen): void {
  requireParty('--from', from, subject, seen);
  requireParty('--to', to, subject, seen);
}

function requireParty(option: string, party: Party, subject: PolicySubject, { directory, unseen }: Seen): void {
  if (party.kind !== 'pod') return;
  const { namespace, name, container } = party;
  const asked = `${option} ${printable([namespace, name, container].filter((each) => each !== undefined).join('/'))}`;
  const within = directory.pods.filter((pod) => pod.namespace === namespace);
  const pod = within.find((each) => each.name === name);
  if (pod === undefined) {
    const unknown =
      unseen.includes('pods') && namespace !== subject.namespace
        ? `You may not list the Pods of namespace ${printable(namespace)}, so whose address that is cannot be told. Name the address.`
        : `There is no Pod ${printable(name)} in namespace ${printable(namespace)}. ${instead(name, within)}`;
    throw new CliError(`${asked}: ${unknown} An end is ${forms}. Its containers are ${namesOf(subject)}.`);
  }
  const containers = pod.containers.map((each) => each.name);
  if (container !== undefined && !containers.includes(container)) {
    throw new CliError(`${asked}: That Pod has no such container. It has: ${containers.map(printable).join(', ')}.`);
  }
  const calling = option === '--from' ? pod.containers.find((each) => each.name === container) : undefined;
  if ((calling ?? pod).podIPs.length > 0) return;
  throw new CliError(
    `${asked}: That Pod has no address of its own: it is not started yet, has ended, or is of the node's network. ` +
      'Name an address.',
  );
}

/** Pods of workloads are named for them. */
function instead(name: string, pods: readonly DirectoryPod[]): string {
  const alike = pods.find((pod) => pod.name.startsWith(`${name}-`));
  return alike === undefined
    ? 'A Service is named by its address.'
    : `Is it ${printable(`${alike.namespace}/${alike.name}`)}? Name a Pod, not what it belongs to.`;
}

function party(option: string, text: string, subject: PolicySubject): Party {
  if (subject.containers.some(({ name }) => name === text)) return { kind: 'container', name: text };
  const address = canonicalAddress(text.toLowerCase());
  if (address !== undefined) return { kind: 'address', address };
  const [namespace = '', name = '', container, ...more] = text.split('/');
  if (namespace !== '' && name !== '' && more.length === 0) {
    return { kind: 'pod', namespace, name, ...(container === undefined ? {} : { container }) };
  }
  throw new CliError(`${option} ${text} is not ${forms}. Its containers are ${namesOf(subject)}.`);
}

function namesOf({ containers }: PolicySubject): string {
  return containers.map(({ name }) => name).join(', ');
}

function protocolOf(text: string): PolicyQuestion['protocol'] {
  return text === 'udp' || text === 'sctp' ? text : 'tcp';
}
