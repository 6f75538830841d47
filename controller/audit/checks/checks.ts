import type { Atom } from '../finding.ts';
import type { RuleId } from '../rules.ts';
import type { Subject } from '../subject.ts';
import { sharedFiles } from './files.ts';
import { tokens } from './identity.ts';
import { abstractSockets, adminPorts, declaredPorts, portTakeovers, undeclaredPorts } from './network.ts';
import { hostNamespace, hostPaths, nodeCapabilities, privileged } from './node.ts';
import { egress, metadataService } from './outside.ts';
import { forgedFrames, networkControl, packetSockets } from './packets.ts';
import { unlimited } from './resources.ts';
import { sharedSecrets } from './secrets.ts';
import { sharedIpc, sharedProcesses } from './shared-namespaces.ts';

export type Check = (subject: Subject) => readonly Atom[];

/** One for each rule. */
export const checks: Readonly<Record<RuleId, Check>> = {
  DeclaredPort: declaredPorts,
  AdminPort: adminPorts,
  UndeclaredPort: undeclaredPorts,
  AbstractSocket: abstractSockets,
  PortTakeover: portTakeovers,
  PacketSocket: packetSockets,
  ForgedFrames: forgedFrames,
  NetworkControl: networkControl,
  SharedFiles: sharedFiles,
  SharedSecret: sharedSecrets,
  SharedIpc: sharedIpc,
  SharedProcesses: sharedProcesses,
  ServiceAccountToken: tokens,
  Egress: egress,
  MetadataService: metadataService,
  Unlimited: unlimited,
  Privileged: privileged,
  NodeCapability: nodeCapabilities,
  HostPath: hostPaths,
  HostNetwork: hostNamespace('HostNetwork'),
  HostPID: hostNamespace('HostPID'),
  HostIPC: hostNamespace('HostIPC'),
};
