import { canonicalAddress } from './rules/addresses.ts';
import { formatPoolError, maxContainers, poolOf } from './addresses/pool.ts';
import { defaultNetworkSpec } from './api/default-network.ts';
import { installModes, type InstallMode } from './api/install.ts';
import { systemNamespace } from './api/names.ts';
import type { SplitNetworkSpec } from './api/resources.ts';
import { Environment, type Variables } from './environment.ts';

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

/** @throws ConfigError that names every variable that is wrong, what it is and what is allowed. */
export function readControllerConfig(variables: Variables): ControllerConfig {
  const environment = new Environment(variables);
  const config: ControllerConfig = {
    image: environment.needed('PODSPLIT_IMAGE', 'set it to the image that this container runs.'),
    imagePullPolicy: environment.oneOf('PODSPLIT_IMAGE_PULL_POLICY', ['IfNotPresent', 'Always', 'Never']),
    namespace: environment.text('POD_NAMESPACE', systemNamespace),
    instance: environment.text('POD_NAME', 'podsplit-outside'),
    ports: {
      webhook: environment.whole('PODSPLIT_LISTEN_WEBHOOK', 9443),
      metrics: environment.whole('PODSPLIT_LISTEN_METRICS', 8080),
      health: environment.whole('PODSPLIT_LISTEN_HEALTH', 8081),
    },
    workers: environment.whole('PODSPLIT_WORKERS', 16),
    install: environment.oneOf('PODSPLIT_INSTALL', installModes),
    clusterDns: addresses(environment, 'PODSPLIT_CLUSTER_DNS'),
    ...defaultNetwork(environment),
  };
  environment.expectSound();
  return config;
}

function addresses(environment: Environment, name: string): readonly string[] | undefined {
  const text = environment.text(name, '');
  if (text === '') return undefined;
  return text.split(',').flatMap((each) => {
    const address = canonicalAddress(each.trim());
    if (address === undefined) environment.problems.push(`${name}: is ${JSON.stringify(each)}; list IP addresses.`);
    return address ?? [];
  });
}

/** A variable that is empty leaves its family out. */
function defaultNetwork(environment: Environment): Pick<ControllerConfig, 'defaultNetwork' | 'maxContainers'> {
  const range = (name: string, otherwise: string | undefined) => {
    const text = environment.text(name, otherwise ?? '');
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
    const errors = parsed.errors.map(formatPoolError).join(' ');
    environment.problems.push(`PODSPLIT_DEFAULT_IPV4, PODSPLIT_DEFAULT_IPV6: ${errors}`);
    return { defaultNetwork: spec, maxContainers: 0 };
  }
  return { defaultNetwork: spec, maxContainers: maxContainers(parsed.pool) };
}
