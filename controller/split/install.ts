import type { Intent } from '../api/annotations.ts';
import type { InstallMode } from '../api/install.ts';
import type { InstallDefaults } from './plan.ts';

export interface ChosenInstall {
  readonly mode: InstallMode;
  readonly chosenBy: 'annotation' | 'network' | 'default';
}

/**
 * How the rules of a Pod are loaded. The first that says so decides:
 *
 * 1. the annotation `podsplit.io/install`: the user's, or the webhook's, which records on each Pod that it cuts what was
 *    chosen. So a Pod keeps its mode for life, whatever becomes of the settings below;
 * 2. of a Pod that was cut by a version which recorded nothing, what it carries: `restore` reads it as the annotation;
 * 3. `spec.install` of the SplitNetwork;
 * 4. the default of the controller, or of the command line.
 */
export function chooseInstall(intent: Intent, defaults: InstallDefaults): ChosenInstall {
  if (intent.install !== undefined) return { mode: intent.install, chosenBy: 'annotation' };
  const ofNetwork = defaults.byNetwork.get(intent.network);
  if (ofNetwork !== undefined) return { mode: ofNetwork, chosenBy: 'network' };
  return { mode: defaults.otherwise, chosenBy: 'default' };
}
