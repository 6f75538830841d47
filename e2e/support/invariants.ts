import { join } from 'node:path';
import { runNode } from '../../hack/demo/command.ts';

const checker = join(import.meta.dirname, '../../hack/check-invariants.ts');

/** No address leaked or doubled, nothing generated without its owner: what hack/check-invariants.ts reads of the cluster. */
export async function invariantsHold(): Promise<void> {
  const { status, output } = await runNode([checker, '--wait']);
  if (status !== 0) throw new Error(`hack/check-invariants.ts --wait:\n${output.trim()}`);
}
