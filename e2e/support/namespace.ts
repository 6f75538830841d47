import { randomBytes } from 'node:crypto';
import { startKubectl, type Ended } from '../../hack/demo/command.ts';
import type { Selection } from '../../controller/kube/client.ts';
import { execIn, get, listAll, type Kind } from './api.ts';
import { patience } from './eventually.ts';

/** What runs in the suites states no limits, unless it is about them. */
const quiet = { 'podsplit.io/guards': 'token' };

/** The init container of install mode init adds NET_ADMIN, which the baseline Pod Security Standard does not allow. */
const privileged = { 'pod-security.kubernetes.io/enforce': 'privileged' };

export async function kubectl(args: readonly string[], input?: string): Promise<string> {
  const { status, stdout, output } = await startKubectl(args, input).ended;
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${output.trim()}`);
  return stdout;
}

/** Of several kinds at once, separated by commas. */
export async function listKinds<T>(kinds: string, ...more: readonly string[]): Promise<readonly T[]> {
  const { items } = JSON.parse(await kubectl(['get', kinds, ...more, '-o', 'json'])) as {
    readonly items: readonly T[];
  };
  return items;
}

/** A namespace of the suite's own, and kubectl in it. */
export class TestNamespace {
  private static readonly open = new Set<TestNamespace>();
  readonly name: string;

  private constructor(name: string) {
    this.name = name;
  }

  static async create(purpose: string, labels: Readonly<Record<string, string>> = privileged): Promise<TestNamespace> {
    // A name that was just deleted stays taken for a while.
    const name = `e2e-${purpose}-${randomBytes(3).toString('hex')}`;
    const manifest = {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { e2e: 'podsplit', ...quiet, ...labels } },
    };
    await kubectl(['create', '-f', '-'], JSON.stringify(manifest));
    const namespace = new TestNamespace(name);
    TestNamespace.open.add(namespace);
    // Pods are refused as long as it is not there.
    await namespace.kubectl(['wait', '--for=create', 'serviceaccount/default', patience]);
    return namespace;
  }

  kubectl(args: readonly string[], input?: string): Promise<string> {
    return kubectl(['-n', this.name, ...args], input);
  }

  /** For commands whose failure is looked at. */
  try(args: readonly string[], input?: string): Promise<Ended> {
    return startKubectl(['-n', this.name, ...args], input).ended;
  }

  async apply(...objects: readonly object[]): Promise<void> {
    await this.kubectl(['apply', '-f', '-'], listOf(objects));
  }

  async applyFile(path: string): Promise<void> {
    await this.kubectl(['apply', '-f', path]);
  }

  /** What the API server says of an object, without keeping it. */
  dryRun(object: object, ...more: readonly string[]): Promise<Ended> {
    return this.try(['create', '--dry-run=server', ...more, '-f', '-'], JSON.stringify(object));
  }

  list<T>(kind: Kind, selection: Omit<Selection, 'namespace'> = {}): Promise<readonly T[]> {
    return listAll<T>(kind, { ...selection, namespace: this.name });
  }

  get<T>(kind: Kind, name: string): Promise<T> {
    return get<T>(kind, name, this.name);
  }

  exec(pod: string, container: string, argv: readonly string[]): Promise<Ended> {
    return execIn({ namespace: this.name, pod, container }, argv);
  }

  async delete(): Promise<void> {
    await kubectl(['delete', 'namespace', this.name, '--wait=false', '--ignore-not-found']);
    TestNamespace.open.delete(this);
  }

  /** However far a suite came. Does not wait: the suite that comes next has work to do meanwhile. */
  static async deleteAll(): Promise<void> {
    await Promise.all([...TestNamespace.open].map((namespace) => namespace.delete()));
  }
}

export function listOf(objects: readonly object[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
}
