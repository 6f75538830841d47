import { volumeDriver } from '../api/names.ts';
import { Environment, type Variables } from '../environment.ts';

/** The volume driver's environment, parsed once: what is wrong is said before anything starts. */
export interface VolumesConfig {
  readonly node: string;
  /** Unique among drivers: the Pod's name. */
  readonly instance: string;
  readonly folder: string;
  readonly podsFolder: string;
  readonly socket: string;
  readonly registrationSocket: string;
  /** Served on the node's loopback, for probes. */
  readonly port: number;
  readonly sizesMs: number;
  readonly collectMs: number;
}

const byManifest = 'the manifest sets it by the downward API.';

/** @throws ConfigError that names every variable that is wrong, what it is and what is allowed. */
export function readVolumesConfig(variables: Variables): VolumesConfig {
  const environment = new Environment(variables);
  // Hard-wired in most clusters; where it is not, the manifest's paths have to be changed with it.
  const kubelet = environment.text('PODSPLIT_KUBELET_FOLDER', '/var/lib/kubelet');
  const config: VolumesConfig = {
    node: environment.needed('NODE_NAME', byManifest),
    instance: environment.needed('POD_NAME', byManifest),
    folder: '/var/lib/podsplit/volumes',
    podsFolder: `${kubelet}/pods`,
    socket: `${kubelet}/plugins/${volumeDriver}/csi.sock`,
    registrationSocket: `${kubelet}/plugins_registry/${volumeDriver}-reg.sock`,
    port: environment.whole('PODSPLIT_LISTEN_VOLUMES', 9472),
    sizesMs: environment.seconds('PODSPLIT_SIZES_SECONDS', 30),
    collectMs: environment.seconds('PODSPLIT_COLLECT_SECONDS', 300),
  };
  environment.expectSound();
  return config;
}
