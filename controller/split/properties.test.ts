import { expect } from 'chai';
import fc from 'fast-check';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { waitName } from '../api/identity.ts';
import { installModes, type InstallMode } from '../api/install.ts';
import { initContainerName, ownAnnotations, wiringVolumeName } from '../api/names.ts';
import { applyPatch } from './testdata/apply-patch.ts';
import { splittableByNode, splittablePod } from './testdata/arbitrary-pod.ts';
import { cutPatch, cutPod } from './cut.ts';
import type { Plan, SplitOptions } from './plan.ts';
import { isNativeSidecar, runningContainers, specOf, volumeNamesOf } from './pod.ts';
import { restore } from './removed.ts';
import { siblingPod } from './sibling.ts';
import { split } from './split.ts';
import { sidecarsOf } from './wait-containers.ts';

const optionsOf = (install: InstallMode): SplitOptions => ({
  image: 'podsplit:test',
  maxContainers: 14,
  install: { otherwise: install, byNetwork: new Map() },
});
const options = optionsOf('init');

function planOf(pod: IPod, options: SplitOptions): Plan {
  const decision = split(pod, options);
  if (decision.kind !== 'split') throw new Error(JSON.stringify(decision));
  return decision;
}

function piecesOf(plan: Plan): Plan['siblings'] {
  return [plan.primary, ...plan.siblings];
}

for (const install of installModes)
  describe(`of every Pod that can be split, in install mode ${install}`, () => {
    const options = optionsOf(install);
    const forEveryPod = (property: (pod: IPod, plan: Plan) => void): void => {
      fc.assert(
        fc.property(install === 'node' ? splittableByNode : splittablePod, (pod) => {
          property(pod, planOf(pod, options));
        }),
      );
    };

    it('each container is in one piece, whole', () => {
      forEveryPod((pod, plan) => {
        const containers = piecesOf(plan).map((piece) => piece.container);
        const { initContainers = [] } = specOf(pod);
        expect(containers).to.have.deep.members(runningContainers(specOf(pod)));
        expect(plan.primary.initContainers).to.deep.equal(initContainers.filter((one) => !isNativeSidecar(one)));
      });
    });

    it('each volume is where it is mounted, and those that nobody mounts are in the primary', () => {
      forEveryPod((pod, plan) => {
        for (const volume of specOf(pod).volumes ?? []) {
          const holders = piecesOf(plan).filter((piece) => piece.volumes.some(({ name }) => name === volume.name));
          const users = piecesOf(plan).filter((piece) => volumeNamesOf(piece.container).has(volume.name));
          expect(holders).to.deep.equal(users.length === 0 ? [plan.primary] : users);
        }
      });
    });

    it('the cut Pod and its siblings have each container once', () => {
      forEveryPod((pod, plan) => {
        const primary = cutPod(pod, plan, options);
        const siblings = plan.siblings.map((piece) =>
          siblingPod({
            primary,
            plan,
            piece,
            workloadKey: 'key',
            wiring: undefined,
            networks: undefined,
            owner: false,
            gated: false,
            options,
          }),
        );
        const names = [primary, ...siblings].flatMap((piece) => specOf(piece).containers.map(({ name }) => name));
        expect(names.sort()).to.deep.equal(
          runningContainers(specOf(pod))
            .map(({ name }) => name)
            .sort(),
        );
        for (const sibling of siblings) {
          expect(Object.keys(sibling.metadata?.labels ?? {})).to.satisfy((keys: string[]) =>
            keys.every((key) => /(^|\.)podsplit\.io\//.test(key)),
          );
        }
      });
    });

    it('the whole Pod comes back from the cut one', () => {
      forEveryPod((pod, plan) => {
        const annotations = { ...pod.metadata?.annotations, 'podsplit.io/install': install };
        const spec = { ...pod.spec, automountServiceAccountToken: false };
        const recorded = { ...pod, metadata: { ...pod.metadata, annotations }, spec };
        expect(restore(cutPod(pod, plan, options))).to.deep.equal({ kind: 'whole', pod: recorded });
      });
    });

    it('cutting again changes nothing', () => {
      forEveryPod((pod, plan) => {
        const cut = cutPod(pod, plan, options);
        expect({ ...planOf(cut, options), reasons: plan.reasons }).to.deep.equal(plan);
        expect(cutPod(cut, plan, options)).to.deep.equal(cut);
        expect(cutPatch(cut, plan, options)).to.deep.equal([]);
      });
    });

    it('the patch gives the cut Pod', () => {
      forEveryPod((pod, plan) => {
        expect(applyPatch(pod, cutPatch(pod, plan, options))).to.deep.equal(cutPod(pod, plan, options));
      });
    });

    it('a container that is added to the cut Pod becomes one more piece, and the others stay', () => {
      forEveryPod((pod, plan) => {
        const cut = cutPod(pod, plan, options);
        const late = { name: 'late-sidecar', image: 'mesh' };
        for (const containers of [
          [...specOf(cut).containers, late],
          [late, ...specOf(cut).containers],
        ]) {
          const again = planOf({ ...cut, spec: { ...specOf(cut), containers } }, options);
          expect(again.primary).to.deep.equal(plan.primary);
          expect(again.siblings.filter(({ name }) => name !== late.name)).to.deep.equal(plan.siblings);
          expect(again.siblings.find(({ name }) => name === late.name)?.container).to.deep.equal(late);
        }
      });
    });

    it('a native sidecar that is added to the cut Pod becomes one more piece, where it was put', () => {
      forEveryPod((pod, plan) => {
        const cut = cutPod(pod, plan, options);
        const late: IContainer = { name: 'late-sidecar', image: 'mesh', restartPolicy: 'Always' };
        const { initContainers = [] } = specOf(cut);
        const whole = specOf(pod).initContainers ?? [];
        for (const [given, wanted] of [
          [
            [late, ...initContainers],
            [late, ...whole],
          ],
          [
            [...initContainers, late],
            [...whole, late],
          ],
        ] as const) {
          const changed = { ...cut, spec: { ...specOf(cut), initContainers: [...given] } };
          const restored = restore(changed);
          expect(restored.kind === 'whole' && restored.pod.spec?.initContainers).to.deep.equal(wanted);
          const again = planOf(changed, options);
          expect(again.startOrder).to.deep.equal(wanted.map(({ name }) => name));
          expect(again.siblings.filter(({ name }) => name !== late.name)).to.deep.equal(plan.siblings);
          expect(again.siblings.at(late === given[0] ? -1 - sidecarsOf(plan).length : -1)?.container).to.deep.equal(
            late,
          );
        }
      });
    });

    it('where a native sidecar stood the primary waits, and everything else starts in its order', () => {
      forEveryPod((pod, plan) => {
        const { initContainers = [] } = specOf(cutPod(pod, plan, options));
        const names = initContainers.map(({ name }) => name).filter((name) => name !== initContainerName);
        expect(names).to.deep.equal(
          (specOf(pod).initContainers ?? []).map((one) => (isNativeSidecar(one) ? waitName(one.name) : one.name)),
        );
        expect(initContainers.some(isNativeSidecar)).to.equal(false);
      });
    });

    it('keeps its install mode, whatever the defaults become', () => {
      const others = installModes.filter((mode) => mode !== install).map(optionsOf);
      forEveryPod((pod, plan) => {
        for (const other of others) expect(planOf(cutPod(pod, plan, options), other).install).to.equal(install);
      });
    });

    it('has an init container and a volume of podsplit exactly where that mode needs them', () => {
      forEveryPod((pod, plan) => {
        const { initContainers = [], volumes = [] } = specOf(cutPod(pod, plan, options));
        const wanted = install === 'init';
        expect(initContainers.some(({ name }) => name === initContainerName)).to.equal(wanted);
        expect(volumes.some(({ name }) => name === wiringVolumeName)).to.equal(wanted);
      });
    });

    it('no piece calls itself, and every call is between two of the pieces', () => {
      forEveryPod((_pod, plan) => {
        const names = piecesOf(plan).map((piece) => piece.name);
        for (const flow of plan.flows) {
          expect(names).to.include(flow.from).and.to.include(flow.to);
          expect(flow.from).not.to.equal(flow.to);
        }
      });
    });
  });

describe('of every input', () => {
  const garbage = fc.jsonValue({ maxDepth: 3 });

  it('split decides, and does not throw: any JSON', () => {
    fc.assert(
      fc.property(garbage, (value) => {
        expect(split(value as unknown as IPod, options).kind).to.equal('left-alone');
      }),
    );
  });

  it('split decides, and does not throw: a Pod with any field replaced', () => {
    fc.assert(
      fc.property(splittablePod, fc.nat(), garbage, (pod, at, value) => {
        const decision = split(replaceAt(pod, at, value) as IPod, options);
        expect(decision.kind).to.be.oneOf(['split', 'refused', 'left-alone']);
      }),
      { numRuns: 1000 },
    );
  });

  it('split decides, and does not throw: a cut Pod with any part of what was removed replaced', () => {
    fc.assert(
      fc.property(splittablePod, fc.nat(), garbage, (pod, at, value) => {
        const cut = cutPod(pod, planOf(pod, options), options);
        const annotations = cut.metadata?.annotations ?? {};
        const written: unknown = JSON.parse(annotations[ownAnnotations.removed]!);
        const removed = replaceAt(written, at, value);
        const forged = { ...annotations, [ownAnnotations.removed]: JSON.stringify(removed) };
        const decision = split({ ...cut, metadata: { ...cut.metadata, annotations: forged } }, options);
        expect(decision.kind).to.be.oneOf(['split', 'refused']);
        if (decision.kind === 'split') expect(piecesOf(decision).length).to.be.at.least(2);
      }),
      { numRuns: 1000 },
    );
  });

  it('split refuses what is nested without end', () => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    const pod = (annotations: Record<string, string>, more: object): IPod => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', annotations: { 'podsplit.io/mode': 'split', ...annotations } },
      spec: { containers: [{ name: 'a', image: 'a' }], ...more },
    });
    expect(split(pod({ [ownAnnotations.removed]: deep }, {}), options).kind).to.equal('refused');
    expect(split(pod({}, { tomorrow: JSON.parse(deep) as unknown }), options).kind).to.equal('refused');
  });
});

describe('of a Pod as large as an API server takes one', () => {
  const name = (index: number): string => `c${index}`;
  const many = <T>(count: number, make: (index: number) => T): T[] =>
    Array.from({ length: count }, (_, index) => make(index));
  const container = (index: number): object => ({ name: name(index), image: 'i' });
  const removed = (containers: readonly object[], order: readonly string[]): string =>
    JSON.stringify({
      version: 1,
      order: { containers: order, volumes: order, resourceClaims: [] },
      containers,
      volumes: containers,
      resourceClaims: [],
      annotations: {},
    });
  const large: readonly [string, Record<string, string>, object][] = [
    ['containers', {}, { containers: many(60_000, container) }],
    [
      'ports',
      {},
      {
        containers: many(14, (i) => ({
          ...container(i),
          ports: many(4_000, (p) => ({ containerPort: i * 4_000 + p + 1 })),
        })),
      },
    ],
    [
      'volumes',
      {},
      {
        containers: many(14, (i) => ({
          ...container(i),
          volumeMounts: many(3_000, (v) => ({ name: name(v), mountPath: `/${v}` })),
        })),
        volumes: many(3_000, (v) => ({ name: name(v), emptyDir: {} })),
      },
    ],
    [
      'flows',
      { 'podsplit.io/flows': many(4_000, (i) => `c0->c1:${i + 1}`).join() },
      { containers: many(2, container) },
    ],
    [
      'wrong flows',
      { 'podsplit.io/flows': 'c'.repeat(60).concat('->c1:1,').repeat(40_000) },
      { containers: many(9, container) },
    ],
    [
      'unknown annotations',
      Object.fromEntries(many(60_000, (i) => [`podsplit.io/flow-${i}`, ''])),
      { containers: many(2, container) },
    ],
    [
      'removed containers',
      { 'podsplit.io/removed': removed(many(20_000, container), many(40_000, name)) },
      { containers: many(40_000, (i) => container(i + 20_000)), volumes: many(20_000, (i) => ({ name: name(i) })) },
    ],
    [
      'removed nonsense',
      {
        'podsplit.io/removed': removed(
          many(200_000, () => ({})),
          [],
        ),
      },
      { containers: many(2, container) },
    ],
  ];
  for (const [title, annotations, spec] of large) {
    it(`split answers in short time and with few words: ${title}`, () => {
      const pod = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'p', annotations: { 'podsplit.io/mode': 'split', ...annotations } },
        spec,
      } as unknown as IPod;
      const started = performance.now();
      const decision = split(pod, options);
      // What is quadratic takes minutes; a busy machine takes some seconds for all that is not.
      expect(performance.now() - started).to.be.below(10_000);
      if (decision.kind === 'refused') expect(decision.refusals.length).to.be.within(1, 50);
      else expect(title).to.equal('flows');
    });
  }
});

/** A copy with the `at`th value of the document, counted as they come, replaced. */
function replaceAt(document: unknown, at: number, value: unknown): unknown {
  const count = countOf(document);
  let left = at % count;
  const visit = (node: unknown): unknown => {
    if (left-- === 0) return value;
    if (Array.isArray(node)) return node.map(visit);
    if (typeof node !== 'object' || node === null) return node;
    return Object.fromEntries(Object.entries(node).map(([key, member]) => [key, visit(member)]));
  };
  return visit(document);
}

function countOf(node: unknown): number {
  if (typeof node !== 'object' || node === null) return 1;
  return Object.values(node).reduce<number>((sum, member) => sum + countOf(member), 1);
}
