import { formatPoolError, maxContainers, type Pool, poolOf } from '../addresses/pool.ts';
import { defaultNetworkSpec } from '../api/default-network.ts';
import { installModes, isInstallMode } from '../api/install.ts';
import { isRecord } from '../api/json.ts';
import { readResourceDefaults, resourceDefaultsFaults } from '../api/resource-defaults.ts';
import { defaultSplitNetwork } from '../api/names.ts';
import type { SplitNetworkSpec } from '../api/resources.ts';
import { CliError } from './cli-error.ts';
import { type Io, readManifest } from './input.ts';

/** The SplitNetwork that addresses are taken from. */
export interface Network {
  readonly name: string;
  readonly spec: SplitNetworkSpec;
  readonly pool: Pool;
  /** The largest Pod that fits into a block. */
  readonly maxContainers: number;
}

/** From a file with a SplitNetwork, or what the controller makes where there is none. */
export async function readNetwork(file: string | undefined, io: Io): Promise<Network> {
  if (file === undefined) return networkOf(defaultSplitNetwork, defaultNetworkSpec, 'the default SplitNetwork');
  const { kind, name, object } = await readManifest(file, io);
  if (kind !== 'SplitNetwork') throw new CliError(`${file} has a ${kind}, and should have a SplitNetwork.`);
  return networkOf(name, specOf(object['spec'], file), file);
}

function networkOf(name: string, spec: SplitNetworkSpec, source: string): Network {
  const parsed = poolOf(spec);
  if (parsed.kind === 'invalid') throw new CliError(`${source}: ${parsed.errors.map(formatPoolError).join('\n')}`);
  return { name, spec, pool: parsed.pool, maxContainers: maxContainers(parsed.pool) };
}

function specOf(value: unknown, source: string): SplitNetworkSpec {
  if (!isRecord(value)) throw new CliError(`${source}: spec: is missing.`);
  const { ipv4, ipv6, blockSize = defaultNetworkSpec.blockSize, mtu, macSpoofCheck, install, resources } = value;
  const wrong = [
    ...(isOptional(ipv4, 'string') ? [] : ['ipv4']),
    ...(isOptional(ipv6, 'string') ? [] : ['ipv6']),
    ...(isOptional(mtu, 'number') ? [] : ['mtu']),
    ...(isOptional(macSpoofCheck, 'boolean') ? [] : ['macSpoofCheck']),
    ...(typeof blockSize === 'number' ? [] : ['blockSize']),
    ...(resources === undefined ? [] : resourceDefaultsFaults(resources).map((path) => `resources${path}`)),
  ];
  if (wrong.length > 0) throw new CliError(`${source}: spec.${wrong.join(', spec.')}: is of the wrong type.`);
  if (install !== undefined && !isInstallMode(install)) {
    throw new CliError(
      `${source}: spec.install: is ${JSON.stringify(install)}; allowed are ${installModes.join(', ')}.`,
    );
  }
  return {
    blockSize: Number(blockSize),
    ...(typeof ipv4 === 'string' ? { ipv4 } : {}),
    ...(typeof ipv6 === 'string' ? { ipv6 } : {}),
    ...(typeof mtu === 'number' ? { mtu } : {}),
    ...(typeof macSpoofCheck === 'boolean' ? { macSpoofCheck } : {}),
    ...(install === undefined ? {} : { install }),
    ...(resources === undefined ? {} : { resources: readResourceDefaults(resources) }),
  };
}

function isOptional(value: unknown, type: 'string' | 'number' | 'boolean'): boolean {
  return value === undefined || typeof value === type;
}
