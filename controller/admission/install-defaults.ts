import type { InstallMode } from '../api/install.ts';
import { readResourceDefaults, type ResourceDefaults } from '../api/resource-defaults.ts';
import type { ObjectMeta, SplitNetwork } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { Reflector, type ReflectorHooks, watchedMetadata } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { Check } from '../observability/health.ts';
import type { Logger } from '../observability/log.ts';
import type { InstallDefaults } from '../split/plan.ts';

export interface InstallDefaultsOptions {
  readonly client: Pick<KubeClient, 'pages' | 'watch'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** The controller's own default. */
  readonly otherwise: InstallMode;
  readonly hooks?: ReflectorHooks;
}

/**
 * What the SplitNetworks say of install modes and resources, watched by every replica: admission answers without asking the API server.
 * A replica that has not seen them yet is not ready, since what it answers is recorded on Pods for good.
 */
export class WatchedInstallDefaults {
  readonly watch: Reflector<SplitNetwork, Slim>;
  readonly check: Check;
  private readonly otherwise: InstallMode;

  constructor({ client, clock, log, otherwise, hooks }: InstallDefaultsOptions) {
    this.otherwise = otherwise;
    this.watch = new Reflector<SplitNetwork, Slim>({
      client,
      resource: resources.splitNetworks,
      slim,
      clock,
      log: log.child({ resource: resources.splitNetworks.plural, of: 'admission' }),
      ...(hooks === undefined ? {} : { hooks }),
    });
    this.check = { name: 'split-networks', check: () => this.problem() };
  }

  current(): InstallDefaults {
    const said = this.watch.store.list().flatMap(({ metadata, install }): [string, InstallMode][] => {
      return install === undefined ? [] : [[metadata.name, install]];
    });
    return { otherwise: this.otherwise, byNetwork: new Map(said) };
  }

  resourceDefaults(): ReadonlyMap<string, ResourceDefaults> {
    const said = this.watch.store.list().flatMap(({ metadata, resources }): [string, ResourceDefaults][] => {
      return resources === undefined ? [] : [[metadata.name, resources]];
    });
    return new Map(said);
  }

  private problem(): string | undefined {
    if (this.watch.hasSynced()) return undefined;
    return `the SplitNetworks are not listed yet: ${this.watch.status().lastError ?? 'no answer'}`;
  }
}

interface Slim {
  readonly metadata: ObjectMeta;
  readonly install: InstallMode | undefined;
  readonly resources: ResourceDefaults | undefined;
}

function slim({ metadata, spec }: SplitNetwork): Slim {
  return {
    metadata: watchedMetadata(metadata),
    install: spec.install,
    resources: spec.resources === undefined ? undefined : readResourceDefaults(spec.resources),
  };
}
