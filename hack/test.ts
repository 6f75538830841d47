/**
 * `make test` and `make e2e`: runs the steps one after the other, goes on after a failure to show all that is wrong, and
 * ends with one line that says how many tests passed and failed. A step that is no test suite counts as one test.
 *
 *   node hack/test.ts all | e2e
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

interface Step {
  readonly name: string;
  readonly command: readonly string[];
  /** Later steps of the same group are pointless when this one fails. */
  readonly needed?: true;
}

const lint: readonly Step[] = [
  { name: 'types', command: ['tsc', '--noEmit'] },
  { name: 'eslint', command: ['eslint', '--cache', '--cache-location', 'node_modules/.cache/eslint/', '.'] },
  { name: 'formatting', command: ['prettier', '--check', '--log-level', 'warn', '.'] },
  { name: 'CNI plugin: gofmt and go vet', command: ['node', 'hack/cni.ts', '--lint'] },
  { name: 'reference docs', command: ['node', 'hack/docs.ts', '--check'] },
];

/** Without .mocharc.json: its spec would be added to the command's. Suites on a cluster wait for Pods, not for code. */
function mocha(spec: string): readonly string[] {
  return ['mocha', '--no-config', '--extension', 'ts', '--timeout', '300000', spec];
}

const unit: readonly Step[] = [
  { name: 'unit, golden and property tests', command: ['mocha'] },
  { name: 'CNI plugin: go test', command: ['node', 'hack/cni.ts', '--test'] },
];

const e2e: readonly Step[] = [
  { name: 'bundles', command: ['node', 'hack/build.ts'], needed: true },
  { name: 'images', command: ['node', 'hack/images/build.ts'], needed: true },
  { name: 'embedded cluster', command: ['node', 'hack/cluster/up.ts'], needed: true },
  { name: 'images onto the nodes', command: ['node', 'hack/images/load.ts'], needed: true },
  { name: 'smoke test of the cluster', command: ['node', 'hack/cluster/smoke.ts'] },
  { name: 'install', command: ['node', 'hack/install.ts'], needed: true },
  { name: 'rules in bare network namespaces', command: mocha('e2e/netns/**/*.test.ts') },
  { name: 'API client', command: mocha('e2e/kube/**/*.test.ts') },
  { name: 'end to end', command: mocha('e2e/*.test.ts') },
];

const groups: Readonly<Record<string, readonly (readonly Step[])[]>> = { all: [lint, unit, e2e], e2e: [e2e] };

interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** Runs one step with its output shown, and counts: mocha says how many, everything else is one. */
async function run(step: Step): Promise<Count> {
  console.log(`\n=== ${step.name}: ${step.command.join(' ')}`);
  const started = Date.now();
  const { code, output } = await show(step.command);
  const passing = lastNumber(output, /^\s*(\d+) passing/gm);
  const failing = lastNumber(output, /^\s*(\d+) failing/gm);
  const suite = passing !== undefined;
  const passed = suite ? passing : code === 0 ? 1 : 0;
  // A suite that dies before its summary, or runs nothing at all, has failed.
  const failed = Math.max(failing ?? 0, code === 0 && passed > 0 ? 0 : 1);
  console.log(
    `=== ${step.name}: ${failed === 0 ? 'passed' : 'FAILED'} in ${Math.round((Date.now() - started) / 1000)} s`,
  );
  return { passed, failed };
}

function show(command: readonly string[]): Promise<{ readonly code: number; readonly output: string }> {
  const [program = '', ...args] = command;
  const bin = join(root, 'node_modules', '.bin');
  const child = spawn(program, args, {
    cwd: root,
    env: { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text);
    output += text;
  });
  return new Promise((resolve) => {
    child.on('error', (error) => {
      console.error(error.message);
      resolve({ code: 1, output });
    });
    child.on('close', (code) => {
      resolve({ code: code ?? 1, output });
    });
  });
}

function lastNumber(text: string, pattern: RegExp): number | undefined {
  const found = [...text.matchAll(pattern)].at(-1)?.[1];
  return found === undefined ? undefined : Number(found);
}

const steps = groups[process.argv[2] ?? 'all'];
if (steps === undefined) {
  console.error(`test: no group ${process.argv[2] ?? ''}; there are ${Object.keys(groups).join(' and ')}`);
  process.exit(2);
}
let passed = 0;
let failed = 0;
for (const group of steps) {
  for (const step of group) {
    const count = await run(step);
    passed += count.passed;
    failed += count.failed;
    if (count.failed > 0 && step.needed === true) break;
  }
}
console.log(`\ntests: ${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
