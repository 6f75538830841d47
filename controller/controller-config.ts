import { canonicalAddress } from './rules/addresses.ts';
import { formatPoolError, maxContainers, poolOf } from './addresses/pool.ts';
import { defaultNetworkSpec } from './api/default-network.ts';
import { installModes, type InstallMode } from './api/install.ts';
import { systemNamespace } from './api/names.ts';
import type { SplitNetworkSpec } from './api/resources.ts';

/** The controller's environment, parsed once: what is wrong is said before anything starts. */
export interface ControllerConfig {
  /** The init container's image: the same as the controller's. */
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly namespace: string;
  /** Unique among replicas: the Pod's name. */
  readonly instance: string;
  readonly ports: { readonly webhook: number; readonly metrics: number; readonly health: number };
  readonly workers: number;
  /** How rules are loaded where neither the Pod nor its SplitNetwork says. */
  readonly install: InstallMode;
  /** Of the cluster's DNS, where the cluster shall not be asked for them. */
  readonly clusterDns: readonly string[] | undefined;
  /** What the SplitNetwork `default` is made with where there is none. */
  readonly defaultNetwork: SplitNetworkSpec;
  /** What fits into any of its blocks: admission promises no more, and asks nobody. */
  readonly maxContainers: number;
}

export class ConfigError extends Error {
  readonly code = 'InvalidConfiguration';
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws ConfigError that names every variable that is wrong, what it is and what is allowed. */
export function readControllerConfig(environment: Environment): ControllerConfig {
  const problems: string[] = [];
  const image = environment['PODSPLIT_IMAGE'] ?? '';
  if (image === '') problems.push('PODSPLIT_IMAGE: is missing; set it to the image that this container runs.');
  const config: ControllerConfig = {
    image,
    imagePullPolicy: oneOf(environment, 'PODSPLIT_IMAGE_PULL_POLICY', pullPolicies, problems),
    namespace: environment['POD_NAMESPACE'] ?? systemNamespace,
    instance: environment['POD_NAME'] ?? 'podsplit-outside',
    ports: {
      webhook: whole(environment, 'PODSPLIT_LISTEN_WEBHOOK', 9443, problems),
      metrics: whole(environment, 'PODSPLIT_LISTEN_METRICS', 8080, problems),
      health: whole(environment, 'PODSPLIT_LISTEN_HEALTH', 8081, problems),
    },
    workers: whole(environment, 'PODSPLIT_WORKERS', 8, problems),
    install: oneOf(environment, 'PODSPLIT_INSTALL', installModes, problems),
    clusterDns: addresses(environment, 'PODSPLIT_CLUSTER_DNS', problems),
    ...defaultNetwork(environment, problems),
  };
  if (problems.length > 0) throw new ConfigError(problems.join('\n'));
  return config;
}

function addresses(environment: Environment, name: string, problems: string[]): readonly string[] | undefined {
  const text = environment[name] ?? '';
  if (text === '') return undefined;
  return text.split(',').flatMap((each) => {
    const address = canonicalAddress(each.trim());
    if (address === undefined) problems.push(`${name}: is ${JSON.stringify(each)}; list IP addresses.`);
    return address ?? [];
  });
}

/** A variable that is empty leaves its family out. */
function defaultNetwork(
  environment: Environment,
  problems: string[],
): Pick<ControllerConfig, 'defaultNetwork' | 'maxContainers'> {
  const range = (name: string, otherwise: string | undefined) => {
    const text = environment[name] ?? otherwise ?? '';
    return text === '' ? undefined : text;
  };
  const ipv4 = range('PODSPLIT_DEFAULT_IPV4', defaultNetworkSpec.ipv4);
  const ipv6 = range('PODSPLIT_DEFAULT_IPV6', defaultNetworkSpec.ipv6);
  const spec: SplitNetworkSpec = {
    ...(ipv4 === undefined ? {} : { ipv4 }),
    ...(ipv6 === undefined ? {} : { ipv6 }),
    blockSize: defaultNetworkSpec.blockSize,
  };
  const parsed = poolOf(spec);
  if (parsed.kind === 'invalid') {
    problems.push(`PODSPLIT_DEFAULT_IPV4, PODSPLIT_DEFAULT_IPV6: ${parsed.errors.map(formatPoolError).join(' ')}`);
    return { defaultNetwork: spec, maxContainers: 0 };
  }
  return { defaultNetwork: spec, maxContainers: maxContainers(parsed.pool) };
}

const pullPolicies = ['IfNotPresent', 'Always', 'Never'] as const;

/** The first is the default. */
function oneOf<T extends string>(
  environment: Environment,
  name: string,
  allowed: readonly [T, ...(readonly T[])],
  problems: string[],
): T {
  const text = environment[name] ?? allowed[0];
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  problems.push(`${name}: is ${JSON.stringify(text)}; allowed are ${allowed.join(', ')}.`);
  return allowed[0];
}

function whole(environment: Environment, name: string, otherwise: number, problems: string[]): number {
  const text = environment[name];
  if (text === undefined) return otherwise;
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 65535) return number;
  problems.push(`${name}: is ${JSON.stringify(text)}; a whole number from 1 to 65535 is needed.`);
  return otherwise;
}
