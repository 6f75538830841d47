import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { declaredPortsOf, runningContainers, specOf } from '../pod.ts';
import { type DividedSubject, type Finding, piecesToBe } from './subject.ts';

const probes = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const;
const hooks = ['postStart', 'preStop'] as const;

/** The kubelet calls them at the sibling's own address, where only the sibling's ports are. */
export function foreignProbes({ pod, division }: DividedSubject): Finding[] {
  const siblings = new Set(division.siblings.map((piece) => piece.name));
  return piecesToBe(specOf(pod))
    .filter(({ item }) => siblings.has(item.name))
    .flatMap(({ item: container, path }) =>
      calls(container, path).flatMap((call): Finding[] => {
        const owner = ownerOfPort(pod, call.port);
        if (owner === undefined || owner === container.name || ownsPort(container, call.port)) return [];
        return [
          {
            path: call.path,
            message: `Container ${JSON.stringify(container.name)} is probed at port ${call.port} of container ${JSON.stringify(owner)}.`,
            action: `Give the probe a port of ${JSON.stringify(container.name)}, or move it to ${JSON.stringify(owner)}.`,
          },
        ];
      }),
    );
}

export interface Call {
  readonly path: string;
  readonly port: number | string;
  /** Whom it calls instead of the Pod. */
  readonly host?: string | undefined;
  readonly hostPath: string;
}

/** What the kubelet calls of a container. */
export function calls(container: IContainer, path: string): readonly Call[] {
  const handlers = [
    ...probes.map((field) => ({ path: `${path}.${field}`, handler: container[field] })),
    ...hooks.map((field) => ({ path: `${path}.lifecycle.${field}`, handler: container.lifecycle?.[field] })),
  ];
  return handlers.flatMap(({ path, handler }) => {
    const grpc = handler !== undefined && 'grpc' in handler ? handler.grpc.port : undefined;
    const found: readonly [kind: string, port: number | string | undefined, host?: string | undefined][] = [
      ['httpGet', handler?.httpGet?.port, handler?.httpGet?.host],
      ['tcpSocket', handler?.tcpSocket?.port, handler?.tcpSocket?.host],
      ['grpc', grpc],
    ];
    return found.flatMap(([kind, port, host]) =>
      port === undefined ? [] : [{ path: `${path}.${kind}.port`, port, host, hostPath: `${path}.${kind}.host` }],
    );
  });
}

/** All are TCP. A name that no port has is the kubelet's to complain about. */
export function probedPorts(container: IContainer): readonly number[] {
  const named = new Map(declaredPortsOf(container).map(({ name, port }) => [name, port]));
  const ports = calls(container, '').flatMap(({ port }) => {
    const found = typeof port === 'number' ? port : named.get(port);
    return found === undefined ? [] : [found];
  });
  return [...new Set(ports)].sort((a, b) => a - b);
}

/** All three kinds of call are TCP. */
function ownsPort(container: IContainer, port: number | string): boolean {
  return declaredPortsOf(container).some(
    (declared) => declared.name === port || (declared.port === port && declared.protocol === 'tcp'),
  );
}

function ownerOfPort(pod: IPod, port: number | string): string | undefined {
  return runningContainers(specOf(pod)).find((container) => ownsPort(container, port))?.name;
}
