import type { IEndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1/EndpointSlice';
import type { INamespace } from 'kubernetes-models/v1/Namespace';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IService } from 'kubernetes-models/v1/Service';
import { ownLabels } from '../api/names.ts';
import { userLabels } from './subject.ts';
import type { Directory, DirectoryContainer, DirectoryPod, DirectoryService, PolicyDeclaredPort } from './directory.ts';

/** As the API server has them, or less of them: only what is read here. */
export interface ClusterObjects {
  readonly pods: readonly IPod[];
  readonly namespaces: readonly INamespace[];
  readonly services: readonly IService[];
  readonly endpointSlices: readonly IEndpointSlice[];
}

export function directoryOf({ pods, namespaces, services, endpointSlices }: ClusterObjects): Directory {
  const siblings = Map.groupBy(
    pods.filter((pod) => roleOf(pod) === 'sibling'),
    splitOf,
  );
  const slices = Map.groupBy(endpointSlices, (slice) => {
    const { namespace = '', labels = {} } = slice.metadata ?? {};
    return `${namespace}/${labels['kubernetes.io/service-name'] ?? ''}`;
  });
  return {
    // A sibling is no Pod of anybody's: it is part of its primary.
    pods: pods.filter((pod) => roleOf(pod) !== 'sibling').map((pod) => podOf(pod, siblings.get(splitOf(pod)) ?? [])),
    namespaces: new Map(namespaces.map(({ metadata }) => [metadata?.name ?? '', metadata?.labels ?? {}])),
    services: services.flatMap((service) => {
      const { namespace = '', name = '' } = service.metadata ?? {};
      return serviceOf(service, slices.get(`${namespace}/${name}`) ?? []);
    }),
  };
}

function roleOf({ metadata }: IPod): string | undefined {
  return metadata?.labels?.[ownLabels.role];
}

/** A primary that is not wired yet has no such label, and no siblings that run. */
function splitOf({ metadata }: IPod): string {
  return `${metadata?.namespace ?? ''}/${metadata?.labels?.[ownLabels.split] ?? ''}`;
}

function podOf(pod: IPod, siblings: readonly IPod[]): DirectoryPod {
  const { namespace = '', name = '', uid = '' } = pod.metadata ?? {};
  const podIPs = podIPsOf(pod);
  const role = roleOf(pod);
  const theirs = siblings.flatMap((sibling) => containersOf(sibling, podIPsOf(sibling)));
  // Admission gave the primary the ports that its siblings declare.
  const taken = new Set(theirs.flatMap(({ ports }) => ports.map(portKey)));
  const own = containersOf(pod, podIPs).map((container) =>
    role === 'primary'
      ? { ...container, ports: container.ports.filter((port) => !taken.has(portKey(port))) }
      : container,
  );
  return {
    namespace,
    name,
    uid,
    labels: userLabels(pod),
    podIPs,
    mode: role === 'primary' ? 'split' : role === 'isolated' ? 'isolate' : 'plain',
    containers: [...own, ...theirs],
  };
}

/** A Pod that has ended gives its addresses back, and one of the node's network has none of its own. */
function podIPsOf({ spec, status }: IPod): readonly string[] {
  const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
  if (ended || spec?.hostNetwork === true) return [];
  return (status?.podIPs ?? []).flatMap(({ ip }) => (ip === '' ? [] : [ip]));
}

function containersOf({ spec }: IPod, podIPs: readonly string[]): readonly DirectoryContainer[] {
  const sidecars = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...(spec?.containers ?? []), ...sidecars].map(({ name, ports }) => ({
    name,
    ports: (ports ?? []).map((port) => ({
      ...(port.name === undefined ? {} : { name: port.name }),
      port: port.containerPort,
      protocol: protocolOf(port.protocol),
    })),
    podIPs,
  }));
}

function portKey({ port, protocol }: PolicyDeclaredPort): string {
  return `${port}/${protocol}`;
}

function protocolOf(name: string | undefined): PolicyDeclaredPort['protocol'] {
  return name === 'UDP' ? 'udp' : name === 'SCTP' ? 'sctp' : 'tcp';
}

function serviceOf({ metadata, spec }: IService, slices: readonly IEndpointSlice[]): readonly DirectoryService[] {
  const clusterIPs = (spec?.clusterIPs ?? []).filter((address) => address !== 'None' && address !== '');
  if (clusterIPs.length === 0) return [];
  return [
    {
      namespace: metadata?.namespace ?? '',
      name: metadata?.name ?? '',
      clusterIPs,
      ports: (spec?.ports ?? []).map((port) => ({
        port: port.port,
        protocol: protocolOf(port.protocol),
        endpoints: slices.flatMap((slice) => endpointsOf(slice, port.name ?? '', protocolOf(port.protocol))),
      })),
    },
  ];
}

/** Ports of Service and slice belong together by name, which only a Service with one port may leave away. */
function endpointsOf(slice: IEndpointSlice, name: string, protocol: PolicyDeclaredPort['protocol']) {
  const ports = (slice.ports ?? []).filter(
    (port) => (port.name ?? '') === name && protocolOf(port.protocol) === protocol,
  );
  return (slice.endpoints ?? []).flatMap(({ addresses }) =>
    addresses.flatMap((address) => ports.flatMap(({ port }) => (port === undefined ? [] : [{ address, port }]))),
  );
}
