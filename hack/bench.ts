/**
 * `make bench`: figures of one run on one machine. Those that compare are ratios of pairs measured in turns; a single
 * figure says little about another machine.
 */
import { benchAdmission } from './bench/admission.ts';
import { benchAgent } from './bench/agent.ts';
import { benchAudit } from './bench/audit.ts';
import { benchClaims } from './bench/claims.ts';
import { benchCore } from './bench/core.ts';
import { printFigures, type Figure } from './bench/figures.ts';
import { benchLoopback } from './bench/loopback.ts';
import { benchScale } from './bench/scale.ts';
import { tryKubectl } from './kubectl.ts';

const figures: Figure[] = [
  ...benchCore(),
  ...benchAudit(1000),
  ...(await benchAdmission()),
  ...(await benchScale({ pods: 1000, namespaces: 10, plain: true, restarts: true, churnRate: 20, churnSeconds: 60 })),
  ...(await benchClaims({ pods: 300, rounds: 3, atOnce: 1 })),
];
if (tryKubectl(['get', 'mutatingwebhookconfiguration', 'podsplit']) === undefined) {
  console.log(
    'No cluster with podsplit: loopback and agent are not measured. Run `make cluster load install` first, or `make demo`.',
  );
} else {
  figures.push(...benchLoopback(), ...(await benchAgent()));
}
printFigures(figures);
