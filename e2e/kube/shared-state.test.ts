import { expect } from 'chai';
import type { IMutatingWebhook } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingWebhook';
import { caBundle, readTls } from '../../controller/admission/certificate-policies.ts';
import { Certificates } from '../../controller/admission/certificates.ts';
import type { KubeClient } from '../../controller/kube/client.ts';
import { connect } from '../../controller/kube/connect.ts';
import { systemClock } from '../../controller/kube/clock.ts';
import { EventRecorder } from '../../controller/kube/events.ts';
import { FakeClock } from '../../controller/kube/fake-clock.ts';
import { LeaderElector } from '../../controller/kube/leader.ts';
import { resources } from '../../controller/kube/resources.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import type { TestNamespace } from './cluster.ts';
import { configMap, eventually, kubeconfig, testNamespace } from './cluster.ts';
import { CuttingProxy } from './cutting-proxy.ts';

/** What several replicas write together on one API server. */
describe('on one API server', () => {
  let test: TestNamespace;
  let client: KubeClient;
  let namespace: string;
  let proxy: CuttingProxy;
  let proxied: KubeClient;

  before(async () => {
    test = await testNamespace();
    ({ client, namespace } = test);
  });

  after(() => test.close());

  beforeEach(async () => {
    proxy = await CuttingProxy.start(client.server);
    proxied = connect({ kubeconfig, server: proxy.url });
  });

  afterEach(async () => {
    proxied.close();
    await proxy.close();
  });

  describe('LeaderElector', () => {
    interface Election {
      readonly name: string;
      readonly log: string[];
      readonly timing: {
        readonly leaseDurationMs: number;
        readonly renewDeadlineMs: number;
        readonly retryPeriodMs: number;
      };
    }

    const started: LeaderElector[] = [];

    afterEach(() => Promise.all(started.splice(0).map((elector) => elector.stop())));

    function elector(through: KubeClient, identity: string, { name, log, timing }: Election): LeaderElector {
      const made = new LeaderElector({
        client: through,
        namespace,
        name,
        identity,
        clock: systemClock,
        log: silentLogger,
        timing,
        onStarted: () => {
          log.push(`${identity} started`);
        },
        onLost: () => log.push(`${identity} lost`),
      });
      started.push(made);
      return made;
    }

    it('hands over when it is released, in well under the lease', async () => {
      const log: string[] = [];
      // Longer than anything here takes on a busy machine.
      const timing = { leaseDurationMs: 120_000, renewDeadlineMs: 80_000, retryPeriodMs: 200 };
      const [a, b] = ['a', 'b'].map((identity) => elector(client, identity, { name: 'released', log, timing }));
      a!.start();
      await eventually('a leads', () => a!.isLeading());
      b!.start();
      await eventually('b has seen the leader', () => b!.leader() === 'a');
      await a!.stop();
      expect(a!.isLeading()).to.equal(false);
      await eventually('b leads', () => b!.isLeading(), timing.leaseDurationMs / 2);
      await b!.stop();
      const { spec } = await client.get(resources.leases, { namespace, name: 'released' });
      expect(spec).to.include({ holderIdentity: '', leaseTransitions: 1 });
      expect(log).to.deep.equal(['a started', 'b started']);
    });

    it('stops a leader that is cut off before the next one starts', async () => {
      const log: string[] = [];
      const timing = { leaseDurationMs: 9_000, renewDeadlineMs: 6_000, retryPeriodMs: 200 };
      const a = elector(proxied, 'a', { name: 'cut', log, timing });
      const b = elector(client, 'b', { name: 'cut', log, timing });
      a.start();
      await eventually('a leads', () => a.isLeading());
      b.start();
      proxy.mode = 'silent';
      await eventually('b leads', () => {
        expect(a.isLeading() && b.isLeading(), 'two leaders').to.equal(false);
        return b.isLeading();
      });
      expect(log).to.deep.equal(['a started', 'a lost', 'b started']);
    });
  });

  describe('EventRecorder', () => {
    function recorder(through: KubeClient, clock = new FakeClock(Date.now())): EventRecorder {
      return new EventRecorder({ client: through, component: 'podsplit', instance: 'test', clock, log: silentLogger });
    }

    async function eventsOf(name: string): Promise<{ reason: string; count: number; message: string }[]> {
      const { items } = await client.list(resources.events, {
        namespace,
        fieldSelector: `involvedObject.name=${name}`,
      });
      return items.map(({ reason = '', count = 0, message = '' }) => ({ reason, count, message }));
    }

    it('writes an Event as kubectl describe finds it, and counts repetitions in it', async () => {
      const { metadata } = await client.create(resources.configMaps, configMap(namespace, 'subject'));
      const events = recorder(client);
      const target = { apiVersion: 'v1', kind: 'ConfigMap', ...metadata };
      for (let repetition = 0; repetition < 3; repetition++) events.event(target, 'Warning', 'Refused', 'hostNetwork');
      events.event(target, 'Normal', 'Split', 'two pieces');
      await events.flush();
      expect(await eventsOf('subject')).to.have.deep.members([
        { reason: 'Refused', count: 3, message: 'hostNetwork' },
        { reason: 'Split', count: 1, message: 'two pieces' },
      ]);
    });

    it('writes a new one when somebody deleted the one that it counts in', async () => {
      const events = recorder(client);
      const target = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'expired' };
      events.event(target, 'Warning', 'Refused', 'again');
      await events.flush();
      for (const { metadata } of (await client.list(resources.events, { namespace })).items) {
        await client.delete(resources.events, metadata);
      }
      events.event(target, 'Warning', 'Refused', 'again');
      await events.flush();
      expect(await eventsOf('expired')).to.deep.equal([{ reason: 'Refused', count: 1, message: 'again' }]);
    });

    it('drops what an object says too often, and lets it speak again later', async () => {
      const clock = new FakeClock(Date.now());
      const events = recorder(client, clock);
      const target = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'noisy' };
      for (let index = 0; index < 40; index++) events.event(target, 'Warning', 'Noise', `number ${index}`);
      await events.flush();
      expect(await eventsOf('noisy')).to.have.length(25);
      await clock.advance(300_000);
      events.event(target, 'Warning', 'Noise', 'later');
      await events.flush();
      expect(await eventsOf('noisy')).to.have.length(26);
    });

    it('never throws, and cuts what is too long', async () => {
      proxy.mode = 'refuse';
      const events = recorder(proxied);
      const target = { apiVersion: 'v1', kind: 'ConfigMap', namespace, name: 'unheard' };
      events.event(target, 'Normal', 'Lost', 'nobody hears');
      await events.flush();
      proxy.mode = 'forward';
      events.event(target, 'Normal', 'Heard', 'x'.repeat(5_000));
      await events.flush();
      expect((await eventsOf('unheard')).map(({ reason, message }) => `${reason} ${message.length}`)).to.deep.equal([
        'Heard 1024',
      ]);
    });
  });

  describe('Certificates', () => {
    const configurationName = 'podsplit-kube-layer-test';

    before(async () => {
      // Selects nothing: only its caBundle is of interest here.
      await client.create(resources.mutatingWebhookConfigurations, {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'MutatingWebhookConfiguration',
        metadata: { name: configurationName },
        webhooks: ['a.podsplit.test', 'b.podsplit.test'].map((name): IMutatingWebhook => ({
          name,
          clientConfig: { service: { namespace, name: 'podsplit-webhook' } },
          admissionReviewVersions: ['v1'],
          sideEffects: 'None',
          failurePolicy: 'Ignore',
          objectSelector: { matchLabels: { 'podsplit.test/none': 'none' } },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['configmaps'] }],
        })),
      });
    });

    after(() => client.delete(resources.mutatingWebhookConfigurations, { name: configurationName }));

    it('are made once by replicas that start together, and published', async () => {
      const served: string[] = [];
      const replicas = Array.from(
        { length: 4 },
        () =>
          new Certificates({
            client,
            namespace,
            configurationName,
            clock: systemClock,
            log: silentLogger,
            onLeaf: (leaf) => served.push(leaf.certificate),
          }),
      );
      await Promise.all(replicas.map((replica) => replica.pass()));
      expect(served).to.have.length(4);
      expect(new Set(served).size).to.equal(1);

      const secret = await client.get(resources.secrets, { namespace, name: 'podsplit-webhook-tls' });
      const tls = readTls(secret.data);
      if (tls.kind !== 'tls') throw new Error(tls.kind);
      expect(secret.type).to.equal('kubernetes.io/tls');
      const { webhooks } = await client.get(resources.mutatingWebhookConfigurations, { name: configurationName });
      const bundles = webhooks?.map(({ clientConfig }) =>
        Buffer.from(clientConfig.caBundle ?? '', 'base64').toString(),
      );
      expect(bundles).to.deep.equal([caBundle(tls.material), caBundle(tls.material)]);
    });

    it('leave a configuration alone that is as it should be', async () => {
      const replica = new Certificates({
        client,
        namespace,
        configurationName,
        clock: systemClock,
        log: silentLogger,
        onLeaf: () => undefined,
      });
      const read = () => client.get(resources.mutatingWebhookConfigurations, { name: configurationName });
      const before = (await read()).metadata;
      await replica.pass();
      expect((await read()).metadata.resourceVersion).to.equal(before.resourceVersion);
      expect((await read()).metadata.generation).to.equal(before.generation);
    });
  });
});
