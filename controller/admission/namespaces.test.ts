import { setImmediate } from 'node:timers/promises';
import { expect } from 'chai';
import type { KubeClient, Page, WatchEvent } from '../kube/client.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import type { KubeObject } from '../kube/resources.ts';
import { silentLogger } from '../observability/log.ts';
import { WatchedNamespaces, type Selected } from './namespaces.ts';
import { unchanged, type AdmissionRequest, type Answer } from './review.ts';

type Labels = Readonly<Record<string, string>>;

function namespace(name: string, labels: Labels, resourceVersion: string): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, uid: name, resourceVersion, labels } };
}

/** One list, then these events, one when each is asked for. */
function serverOf(listed: readonly KubeObject[], events: readonly Promise<WatchEvent<KubeObject>>[]) {
  return {
    async *pages<T extends KubeObject>() {
      await setImmediate();
      yield { items: listed, resourceVersion: '1' } as unknown as Page<T>;
    },
    async *watch<T extends KubeObject>() {
      for (const event of events) yield (await event) as unknown as WatchEvent<T>;
      await new Promise(() => undefined);
    },
  } satisfies Pick<KubeClient, 'pages' | 'watch'>;
}

function from(namespace: string): AdmissionRequest {
  const object = undefined;
  return { uid: 'u', kind: 'Pod', operation: 'CREATE', subResource: '', namespace, object, oldObject: object };
}

describe('labels of namespaces', () => {
  let clock: FakeClock;
  let namespaces: WatchedNamespaces;
  let event: PromiseWithResolvers<WatchEvent<KubeObject>>;

  beforeEach(async () => {
    clock = new FakeClock();
    event = Promise.withResolvers();
    const listed = [
      namespace('shop', { 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'token', team: 'a' }, '1'),
      namespace('plain', {}, '1'),
    ];
    namespaces = new WatchedNamespaces({ client: serverOf(listed, [event.promise]), clock, log: silentLogger });
    expect(namespaces.check.check()).to.contain('not listed yet');
    namespaces.watch.start();
    await namespaces.watch.whenSynced();
    expect(namespaces.check.check()).to.equal(undefined);
  });

  function asked(name: string, selected: Selected): { readonly answer: Promise<Answer>; readonly given: Labels[] } {
    const given: Labels[] = [];
    const answer = namespaces.review(from(name), selected, (labels) => {
      given.push(labels);
      return unchanged('Test');
    });
    return { answer, given };
  }

  /** Until the answer is there; gives how long it took. */
  async function waitFor(answer: Promise<Answer>): Promise<number> {
    const state = { done: false };
    void answer.then(() => (state.done = true));
    const start = clock.monotonic();
    for (let i = 0; i < 1000; i++) {
      await setImmediate();
      if (state.done) break;
      await clock.advance(10);
    }
    return clock.monotonic() - start;
  }

  it('are given to the review at once where they are known, and no others', async () => {
    const { answer, given } = asked('shop', 'mode');
    expect(await waitFor(answer)).to.be.below(20);
    expect(given).to.deep.equal([{ 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'token' }]);
    const { given: none, answer: other } = asked('plain', 'any');
    await waitFor(other);
    expect(none).to.deep.equal([{}]);
  });

  it('are not trusted once the watch is silent for longer than bookmarks come apart, until it is not', async () => {
    await clock.advance(140_000);
    const { answer: before, given } = asked('shop', 'mode');
    await waitFor(before);
    expect(given).to.have.length(1);
    await clock.advance(20_000);
    expect(namespaces.check.check()).to.contain('nothing was heard of namespaces for');
    for (const [name, selected] of [
      ['shop', 'mode'],
      ['plain', 'any'],
    ] as const) {
      const { answer, given } = asked(name, selected);
      await waitFor(answer);
      expect(await answer).to.deep.include({ kind: 'denied', status: 500, codes: ['NamespaceNotSeen'] });
      expect(given).to.deep.equal([]);
    }
    const { answer: late, given: heard } = asked('shop', 'mode');
    event.resolve({ type: 'BOOKMARK', resourceVersion: '2' });
    await waitFor(late);
    expect(heard).to.have.length(1);
    expect(namespaces.check.check()).to.equal(undefined);
  });

  for (const [what, name, selected] of [
    ['a namespace that was just made', 'new', 'any'],
    ['a label that the API server has seen and the watch has not', 'plain', 'mode'],
  ] as const) {
    it(`${what} is waited for`, async () => {
      const { answer, given } = asked(name, selected);
      await clock.advance(100);
      expect(given).to.deep.equal([]);
      event.resolve({ type: 'ADDED', object: namespace(name, { 'podsplit.io/mode': 'isolate' }, '2') } as never);
      expect(await waitFor(answer)).to.be.below(1_000);
      expect(given).to.deep.equal([{ 'podsplit.io/mode': 'isolate' }]);
    });

    it(`${what} is not waited for longer than the API server waits: the request is denied`, async () => {
      const { answer, given } = asked(name, selected);
      expect(await waitFor(answer)).to.be.within(1_900, 2_500);
      expect(await answer).to.deep.include({ kind: 'denied', status: 500, codes: ['NamespaceNotSeen'] });
      expect(given).to.deep.equal([]);
    });
  }
});
