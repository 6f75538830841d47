/** One technique of either matrix, as its page says it. */
export interface Technique {
  readonly id: string;
  readonly name: string;
  readonly matrix: 'Microsoft' | 'MITRE';
  readonly tactics: readonly string[];
  readonly url: string;
}

const microsoft = (id: string, name: string, tactics: readonly string[], page = name): Technique => ({
  id,
  name,
  matrix: 'Microsoft',
  tactics,
  url: `https://microsoft.github.io/Threat-Matrix-for-Kubernetes/techniques/${encodeURIComponent(page)}/`,
});

const mitre = (id: string, name: string, ...tactics: readonly string[]): Technique => ({
  id,
  name,
  matrix: 'MITRE',
  tactics,
  url: `https://attack.mitre.org/techniques/${id.replace('.', '/')}/`,
});

/**
 * What the rules of the audit and the attacks of e2e/attacks name: Microsoft's threat matrix for Kubernetes, and MITRE ATT&CK for
 * Enterprise 18.1. Of the latter the matrix "Containers" where it has the technique; it has none for what containers of one Pod
 * share (sniffing, ptrace, IPC), those are of "Linux", and the metadata service is of "IaaS". In the order of the matrices'
 * tactics.
 */
export const techniques: readonly Technique[] = [
  microsoft('MS-TA9011', 'Sidecar injection', ['Execution'], 'Sidecar Injection'),
  microsoft('MS-TA9018', 'Privileged container', ['Privilege Escalation']),
  microsoft('MS-TA9013', 'Writable hostPath mount', ['Persistence', 'Privilege Escalation', 'Lateral Movement']),
  microsoft('MS-TA9020', 'Access cloud resources', ['Privilege Escalation', 'Lateral Movement']),
  microsoft('MS-TA9021', 'Clear container logs', ['Defense Evasion']),
  microsoft(
    'MS-TA9016',
    'Container service account',
    ['Persistence', 'Credential Access', 'Lateral Movement'],
    'container service account',
  ),
  microsoft('MS-TA9027', 'Application credentials in configuration files', ['Credential Access', 'Lateral Movement']),
  microsoft('MS-TA9028', 'Access managed identity credentials', ['Credential Access']),
  microsoft('MS-TA9029', 'Access Kubernetes API server', ['Discovery'], 'Access the K8S API server'),
  microsoft('MS-TA9030', 'Access Kubelet API', ['Discovery']),
  microsoft('MS-TA9031', 'Network mapping', ['Discovery']),
  microsoft('MS-TA9033', 'Instance Metadata API', ['Discovery']),
  microsoft('MS-TA9034', 'Cluster internal networking', ['Lateral Movement']),
  microsoft('MS-TA9036', 'ARP poisoning and IP spoofing', ['Lateral Movement']),
  microsoft('MS-TA9039', 'Resource hijacking', ['Impact']),
  microsoft('MS-TA9040', 'Denial of service', ['Impact']),
  mitre('T1610', 'Deploy Container', 'Execution', 'Defense Evasion'),
  mitre('T1559', 'Inter-Process Communication', 'Execution'),
  mitre('T1611', 'Escape to Host', 'Privilege Escalation'),
  mitre('T1055.008', 'Ptrace System Calls', 'Privilege Escalation', 'Defense Evasion'),
  mitre('T1036', 'Masquerading', 'Defense Evasion'),
  mitre('T1070', 'Indicator Removal', 'Defense Evasion'),
  mitre('T1003.007', 'Proc Filesystem', 'Credential Access'),
  mitre('T1528', 'Steal Application Access Token', 'Credential Access'),
  mitre('T1552.001', 'Credentials In Files', 'Credential Access'),
  mitre('T1552.005', 'Cloud Instance Metadata API', 'Credential Access'),
  mitre('T1557', 'Adversary-in-the-Middle', 'Credential Access', 'Collection'),
  mitre('T1557.002', 'ARP Cache Poisoning', 'Credential Access', 'Collection'),
  mitre('T1040', 'Network Sniffing', 'Credential Access', 'Discovery'),
  mitre('T1046', 'Network Service Discovery', 'Discovery'),
  mitre('T1057', 'Process Discovery', 'Discovery'),
  mitre('T1613', 'Container and Resource Discovery', 'Discovery'),
  mitre('T1080', 'Taint Shared Content', 'Lateral Movement'),
  mitre('T1210', 'Exploitation of Remote Services', 'Lateral Movement'),
  mitre('T1005', 'Data from Local System', 'Collection'),
  mitre('T1071.004', 'DNS', 'Command and Control'),
  mitre('T1048', 'Exfiltration Over Alternative Protocol', 'Exfiltration'),
  mitre('T1489', 'Service Stop', 'Impact'),
  mitre('T1496.001', 'Compute Hijacking', 'Impact'),
  mitre('T1499', 'Endpoint Denial of Service', 'Impact'),
  mitre('T1565.002', 'Transmitted Data Manipulation', 'Impact'),
];

const byId = new Map(techniques.map((technique) => [technique.id, technique]));

/** @throws RangeError for an id that is not in the catalogue: a rule names what the reader cannot look up. */
export function techniqueOf(id: string): Technique {
  const technique = byId.get(id);
  if (technique === undefined) throw new RangeError(`there is no technique ${id} in the catalogue`);
  return technique;
}
