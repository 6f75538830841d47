/**
 * The attacks of a malicious container, from inside real containers of the embedded cluster: each in a Pod as it is, isolated
 * and split. Prints what came of them, and fails where that is not what e2e/attacks expects. With --write it also records a
 * whole run in docs/attacks.json; `node hack/docs.ts` makes docs/attacks.md of it.
 *
 *   node hack/attacks.ts [--only ID[,ID...]] [--mode MODE[,MODE...]] [--list] [--write] [--verbose]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { parseArgs } from 'node:util';
import { openArena, type Scene } from '../e2e/support/attack-arena.ts';
import { catalogue, modes, type Attack, type Mode, type Outcome } from '../e2e/support/attack-catalogue.ts';
import { close, settled, working } from '../e2e/support/attack-controls.ts';
import { recordFile, type AttackRecord, type Outcomes } from '../e2e/support/attack-record.ts';
import { attempt, type Result } from '../e2e/support/attack-run.ts';
import { kubectl } from '../e2e/support/namespace.ts';

type Seen = ReadonlyMap<string, Result>;

const options = optionsOf();

function optionsOf() {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', multiple: true, default: [] },
        mode: { type: 'string', multiple: true, default: [] },
        list: { type: 'boolean', default: false },
        write: { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    console.error(
      `attacks: ${error instanceof Error ? error.message : String(error)}. See node hack/attacks.ts --help`,
    );
    process.exit(2);
  }
}

/** What this file says of itself. */
function usage(): string {
  const [comment = ''] = readFileSync(import.meta.filename, 'utf8').split(' */', 1);
  return comment
    .replace('/**\n', '')
    .replaceAll(/^ \* ?/gm, '')
    .trimEnd();
}

async function main(): Promise<number> {
  if (options.help) {
    console.log(usage());
    return 0;
  }
  const all = catalogue();
  const attacks = chosen('--only', options.only, all, ({ id }) => id);
  const inModes = chosen('--mode', options.mode, modes, (mode) => mode);
  if (options.list) {
    for (const { id, name } of attacks) console.log(`${id.padEnd(28)} ${name}`);
    return 0;
  }
  if (options.write && (attacks.length < all.length || inModes.length < modes.length)) {
    throw new Error('--write records whole runs: leave out --only and --mode');
  }
  console.log('Three Pods start: as it is, isolated, split.');
  const arena = await openArena(inModes);
  try {
    const seen = new Map<Mode, Seen>();
    const ended = await Promise.allSettled(
      inModes.map((mode) => {
        const results = new Map<string, Result>();
        seen.set(mode, results);
        return tryAll(attacks, arena.scenes[mode], results);
      }),
    );
    const surprises = report(attacks, inModes, seen);
    for (const each of ended) if (each.status === 'rejected') throw each.reason;
    if (options.write) await write(attacks, seen);
    return surprises === 0 ? 0 : 1;
  } finally {
    await arena.close();
  }
}

/** First what needs no policy, then what a policy closes. */
async function tryAll(attacks: readonly Attack[], scene: Scene, results: Map<string, Result>): Promise<void> {
  const isClosed = (attack: Attack): boolean => attack.closed.includes(scene.mode);
  const attemptAll = async (closed: boolean): Promise<void> => {
    for (const attack of attacks.filter((each) => isClosed(each) === closed)) {
      await orSay(async () => results.set(attack.id, await attempt(attack, scene)));
    }
  };
  await settled(scene);
  await attemptAll(false);
  if (attacks.some(isClosed)) {
    await close(scene, attacks);
    await attemptAll(true);
  }
  await working(scene);
}

/** What could not be tried is not in the results, and why not is printed. */
async function orSay(run: () => Promise<unknown>): Promise<void> {
  try {
    await run();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
  }
}

/** Those that the flag names, which may be separated by commas; all if it names none. */
function chosen<T>(
  flag: string,
  named: readonly string[],
  all: readonly T[],
  nameOf: (one: T) => string,
): readonly T[] {
  const names = named.flatMap((text) => text.split(','));
  const unknown = names.find((name) => !all.some((one) => nameOf(one) === name));
  if (unknown !== undefined) throw new Error(`${flag} ${unknown}: there are ${all.map(nameOf).join(', ')}`);
  return names.length === 0 ? all : all.filter((one) => names.includes(nameOf(one)));
}

function report(attacks: readonly Attack[], inModes: readonly Mode[], seen: ReadonlyMap<Mode, Seen>): number {
  let surprises = 0;
  console.log(['attack'.padEnd(28), ...inModes.map((mode) => mode.padEnd(12))].join(' '));
  for (const { id, expected } of attacks) {
    const cells = inModes.map((mode) => {
      const outcome = seen.get(mode)?.get(id)?.outcome ?? 'not tried';
      if (outcome === expected[mode].outcome) return outcome.padEnd(12);
      surprises++;
      return `${outcome} (!)`.padEnd(12);
    });
    console.log([id.padEnd(28), ...cells].join(' '));
    for (const mode of inModes) {
      const result = seen.get(mode)?.get(id);
      if (result === undefined || (!options.verbose && result.outcome === expected[mode].outcome)) continue;
      console.log(`    ${mode}: ${JSON.stringify(result.seen.trim().slice(0, 500))}`);
    }
  }
  console.log(surprises === 0 ? 'As expected.' : `(!) Not as e2e/attacks expects: ${surprises}`);
  return surprises;
}

async function write(attacks: readonly Attack[], seen: ReadonlyMap<Mode, Seen>): Promise<void> {
  const outcomesOf = ({ id }: Attack): Outcomes => {
    const outcomeIn = (mode: Mode): Outcome => {
      const outcome = seen.get(mode)?.get(id)?.outcome;
      if (outcome === undefined) throw new Error(`${id} was not tried in mode ${mode}: nothing is recorded`);
      return outcome;
    };
    return { plain: outcomeIn('plain'), isolate: outcomeIn('isolate'), split: outcomeIn('split') };
  };
  const version = JSON.parse(await kubectl(['version', '-o', 'json'])) as {
    readonly serverVersion: { readonly gitVersion: string };
  };
  const record: AttackRecord = {
    kubernetes: version.serverVersion.gitVersion,
    // Of what a distribution adds nothing depends.
    kernel: /^\d+\.\d+/.exec(release())?.[0] ?? release(),
    attacks: Object.fromEntries(attacks.map((attack) => [attack.id, outcomesOf(attack)])),
  };
  writeFileSync(recordFile, `${JSON.stringify(record, undefined, 2)}\n`);
  console.log(recordFile);
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`attacks: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
