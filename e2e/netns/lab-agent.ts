import { Attachments } from '../../controller/agent/attachments.ts';
import { Auditor } from '../../controller/agent/auditor.ts';
import type { CniRequest } from '../../controller/agent/cni-request.ts';
import { Enforcer } from '../../controller/agent/enforcer.ts';
import { Registry } from '../../controller/agent/registry.ts';
import { rewire } from '../../controller/agent/rewire.ts';
import { parseSandbox } from '../../controller/agent/parse-sandbox.ts';
import type { Sandbox } from '../../controller/agent/sandbox.ts';
import { SandboxFiles } from '../../controller/agent/sandbox-files.ts';
import type { Flow } from '../../controller/api/flow.ts';
import { ownAnnotations } from '../../controller/api/names.ts';
import type { Pod } from '../../controller/kube/resources.ts';
import { host, type Host } from '../../controller/netns/host.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import { readPod } from '../../controller/reconcile/piece-pod.ts';
import { parseWiring } from '../../controller/rules/wiring-json.ts';
import type { Wiring } from '../../controller/rules/wiring.ts';
import { idOf, pieces, podOf, requestOf, wiringText } from './agent-pods.ts';
import { node, type Lab, type PieceName } from './lab.ts';

interface CallOptions {
  readonly id?: string;
  readonly phase?: 'close' | 'wire';
  readonly signal?: AbortSignal;
}

/** An agent of this node; another one on the same folder is the one that runs after a restart. */
export class LabAgent {
  readonly registry: Registry<Sandbox>;
  readonly attachments: Attachments;
  readonly auditor: Auditor;
  readonly events: string[] = [];
  readonly pods = new Map<PieceName, Pod>(pieces.map((piece) => [piece, podOf(piece)]));
  /** Wirings as the watch tells them. */
  readonly watched = new Map<string, string>();
  readonly bridgesInUse = new Set<string>();
  behind = 0;
  /** Pieces with filters before the agent's. */
  readonly passedAround: string[] = [];
  /** Before the verification gives its answer. */
  verifying: () => Promise<void> = () => Promise.resolve();
  /** Before a program runs. */
  running: (command: readonly string[]) => Promise<void> | void = () => undefined;

  private readonly lab: Lab;

  private constructor(lab: Lab, folder: string) {
    this.lab = lab;
    const inNode: Host = {
      ...host,
      run: async (command, input) => {
        await this.running(command);
        return host.run(['ip', 'netns', 'exec', lab.node.name, ...command], input);
      },
    };
    this.registry = new Registry(new SandboxFiles(folder, parseSandbox, silentLogger));
    const { registry } = this;
    const enforcer = new Enforcer(inNode);
    const common = { host: inNode, registry, enforcer, log: silentLogger, behind: () => this.behind++ };
    this.attachments = new Attachments({
      ...common,
      verify: async ({ pod: { name } }) => {
        const pod = readPod(this.pods.get(name as PieceName)!)!;
        await this.verifying();
        return { pod, wiring: parseWiring(pod.raw.metadata!.annotations![ownAnnotations.wiring]!) };
      },
      watchedWiring: ({ name }) => this.watched.get(name),
      hostIPs: [node.ipv4, node.ipv6],
      notReady: () => undefined,
      passedAround: ({ piece }) => this.passedAround.push(piece),
    });
    const { attachments } = this;
    this.auditor = new Auditor({
      ...common,
      attachments,
      bridgesInUse: () => this.bridgesInUse,
      events: { event: (_target, _type, reason, message) => this.events.push(`${reason}: ${message}`) },
      repaired: () => undefined,
    });
  }

  static async start(lab: Lab, folder: string): Promise<LabAgent> {
    const agent = new LabAgent(lab, folder);
    await agent.registry.load();
    return agent;
  }

  call(
    command: CniRequest['command'],
    piece: PieceName,
    { id = idOf(piece), phase = 'wire', signal = new AbortController().signal }: CallOptions = {},
  ): Promise<object | undefined> {
    return this.attachments.handle(requestOf(command, piece, id, phase), signal);
  }

  /** The chain as the runtime calls it: our first call, `bridge` and `tuning`, our second. */
  async add(piece: PieceName, options: Pick<CallOptions, 'id'> = {}): Promise<object | undefined> {
    await this.close(piece, options);
    return this.call('ADD', piece, options);
  }

  /** Up to the second call. There is no net1 yet when the first one comes. */
  async close(piece: PieceName, options: Pick<CallOptions, 'id'> = {}): Promise<void> {
    this.lab.detach(piece);
    try {
      await this.call('ADD', piece, { ...options, phase: 'close' });
    } finally {
      this.lab.attach(piece);
    }
  }

  async addAll(idFor: (piece: PieceName) => string = idOf): Promise<void> {
    await Promise.all(pieces.map((piece) => this.add(piece, { id: idFor(piece) })));
  }

  /** As the watch tells that the controller has written other flows. */
  rewire(piece: PieceName, wanted: readonly Flow[], changed: Pick<Wiring, 'via'> = {}): Promise<boolean> {
    const { registry, attachments } = this;
    const events = { event: (_: unknown, __: unknown, reason: string) => this.events.push(reason) };
    const pod = podOf(piece, wiringText(piece, wanted, changed));
    return rewire(pod, { registry, attachments, events, log: silentLogger, applied: () => undefined });
  }
}
