/**
 * Who loads the rules of a piece: `node`, the node's agent, called by the CNI plugin that is chained in the workload's
 * network; `init`, an init container of the piece. docs/decisions/0014-two-ways-to-install.md has both.
 */
export const installModes = ['node', 'init'] as const;

export type InstallMode = (typeof installModes)[number];

export function isInstallMode(value: unknown): value is InstallMode {
  return installModes.some((mode) => mode === value);
}
