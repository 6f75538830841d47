// Ends the cluster and removes all that it put on the machine, whatever clone started it:
//
//     node hack/cluster/down.ts

import { withLock } from './lock.ts';
import { main } from './run.ts';
import { sweep } from './sweep.ts';

await main(async () => {
  const there = await withLock('down', () => sweep());
  console.log(there ? 'the cluster is gone' : 'no cluster ran');
});
