// What came of the attacks in the last whole run: docs/attacks.json, of which hack/docs.ts makes docs/attacks.md.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRecord } from '../../controller/api/json.ts';
import { modes, outcomes, type Mode, type Outcome } from './attack-catalogue.ts';

export const recordFile = join(import.meta.dirname, '../../docs/attacks.json');

export type Outcomes = Readonly<Record<Mode, Outcome>>;

export interface AttackRecord {
  /** Where it was seen. */
  readonly kubernetes: string;
  readonly kernel: string;
  readonly attacks: Readonly<Record<string, Outcomes>>;
}

export function readRecord(): AttackRecord {
  const value: unknown = JSON.parse(readFileSync(recordFile, 'utf8'));
  if (!isRecord(value) || !isRecord(value['attacks'])) throw new Error(`${recordFile}: attacks are missing`);
  for (const [id, seen] of Object.entries(value['attacks'])) {
    for (const mode of modes) {
      const outcome = isRecord(seen) ? seen[mode] : undefined;
      if (!outcomes.some((known) => known === outcome)) throw new Error(`${recordFile}: attacks.${id}.${mode}`);
    }
  }
  return value as unknown as AttackRecord;
}
