import { quote, refusal, unknownContainer, type Context, type Parsed } from './annotation-context.ts';
import { userAnnotations } from './names.ts';
import type { Refusal } from './refusal.ts';

/** `podsplit.io/ingress-via`: TCP that comes from outside to the Pod enters by this container, at this port of it. */
export interface IntendedIngressVia {
  readonly to: string;
  readonly port: number;
}

const grammar = 'PROXY:PORT: all TCP that comes to the Pod is carried there';

export function parseIngressVia(at: Context): Parsed<IntendedIngressVia | undefined> {
  const text = at.values.get(userAnnotations.ingressVia);
  if (text === undefined) return { value: undefined };
  const path = at.path(userAnnotations.ingressVia);
  const invalid = (message: string, action: string): Refusal => refusal('InvalidIngressVia', path, message, action);
  const { to, port } = /^(?<to>[^\s:>,]+):(?<port>[^:,]*)$/.exec(text.trim())?.groups ?? {};
  if (to === undefined || port === undefined) {
    return { refusals: [invalid(`${quote(text)} names no way in.`, `Write ${grammar}.`)] };
  }
  const number = /^[1-9][0-9]{0,4}$/.test(port) ? Number(port) : 0;
  const refusals = [
    ...(at.containers.includes(to) ? [] : [unknownContainer(at, path, to)]),
    ...(number >= 1 && number <= 65535
      ? []
      : [invalid(`${quote(text)} has port ${quote(port)}.`, 'Use a number from 1 to 65535.')]),
  ];
  return refusals.length > 0 ? { refusals } : { value: { to, port: number } };
}
