import type { PolicySubject } from '../policies/directory.ts';
import type { Party, PolicyQuestion } from '../policies/explain-pod.ts';
import { canonicalAddress } from '../rules/addresses.ts';
import { CliError } from './cli-error.ts';

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
