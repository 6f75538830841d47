/**
 * `make test` and `make e2e`: runs all steps, goes on after a failure to show all that is wrong, and ends with one line that
 * says how many tests passed and failed. A step that is no test suite counts as one test.
 *
 * Much of the time is waiting for Pods, so what does not disturb each other runs side by side (hack/test/steps.ts says what);
 * the output of such a step is shown when it ends. What failed is told once more at the end.
 *
 *   node hack/test.ts all | e2e
 */
import { all, e2e, type Work } from './test/steps.ts';
import { inShort, run } from './test/run.ts';

const works: Readonly<Record<string, Work>> = { all, e2e };

const work = works[process.argv[2] ?? 'all'];
if (work === undefined) {
  console.error(`test: no group ${process.argv[2] ?? ''}; there are ${Object.keys(works).join(' and ')}`);
  process.exit(2);
}
const started = Date.now();
const { passed, failed, failures } = await run(work, (text) => process.stdout.write(text));
for (const { step, said } of failures) console.log(`\n=== failed in ${step}:\n\n${said}`);
// And once more, in a few lines: of a long output often no more than the end is kept.
if (failures.length > 0) console.log(`\n${failures.flatMap(inShort).join('\n')}`);
console.log(`\nin ${Math.round((Date.now() - started) / 1000)} s`);
console.log(`tests: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
