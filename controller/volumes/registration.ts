import { isRecord } from '../api/json.ts';
import { volumeDriver } from '../api/names.ts';
import type { Check } from '../observability/health.ts';
import type { Logger } from '../observability/log.ts';
import type { Service } from './grpc-server.ts';
import { services } from './services.ts';

/** How the kubelet learns of the driver: it looks for sockets in its folder `plugins_registry`, and asks each who it is. */
export class Registration {
  readonly service: Service;
  private problem: string | undefined = 'the kubelet has not asked for the driver yet';

  /** @param endpoint the driver's own socket, as the kubelet sees it */
  constructor(endpoint: string, log: Logger) {
    this.service = {
      definition: services.registration,
      handlers: {
        GetInfo: () => ({ type: 'CSIPlugin', name: volumeDriver, endpoint, supported_versions: ['1.0.0'] }),
        NotifyRegistrationStatus: (status) => {
          const { plugin_registered: registered, error } = isRecord(status) ? status : {};
          this.problem = registered === true ? undefined : `the kubelet does not take the driver: ${String(error)}`;
          if (this.problem === undefined) log.info('the kubelet has registered the driver');
          else log.error(this.problem);
          return {};
        },
      },
    };
  }

  get check(): Check {
    return { name: 'registration', check: () => this.problem };
  }
}
