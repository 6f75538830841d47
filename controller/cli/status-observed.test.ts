import { expect } from 'chai';
import type { Pod } from '../kube/resources.ts';
import { formatIsolateWiring } from '../rules/isolate-wiring.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import type { Observed, Wiring } from '../rules/wiring.ts';
import { podReport } from './status-report.ts';
import { now, type Objects, isPodSplit, status, ofPod, conflict } from './testdata/status-run.ts';

const endpoint = (last: number) => ({ mac: `0a:58:c6:12:00:0${last}`, ipv4: `198.18.0.${last}` });
const wiring: Wiring = {
  version: 1,
  split: 's',
  piece: 'web',
  role: 'primary',
  release: 'go',
  self: endpoint(2),
  peers: [
    { name: 'cache', role: 'sibling', ...endpoint(3) },
    { name: 'statsd', role: 'sibling', ...endpoint(4) },
  ],
  pool: { ipv4: '198.18.0.0/15' },
  flows: [],
  facade: [],
};

describe('where a Pod is observed that policies select', () => {
  const members = (names: readonly string[]) =>
    names.map((name, index) => ({ name, uid: index + 1, ports: [], probes: [] }));
  const isolated = (observe: Observed): Objects => {
    const containers = members(['prepare', 'api', 'proxy', 'agent']);
    const wiring = formatIsolateWiring({ version: 1, mode: 'isolate', split: 's', containers, flows: [], observe });
    const initContainers = [{ name: 'prepare' }, { name: 'agent', restartPolicy: 'Always' }];
    return ofPod('api-0').map((object) =>
      isPodSplit(object)
        ? object
        : {
            ...object,
            metadata: { ...object.metadata, annotations: { 'podsplit.io/wiring': wiring } },
            spec: { ...(object as Pod).spec, initContainers },
          },
    );
  };
  const all = ['agent', 'api', 'prepare', 'proxy'];
  const rows: readonly [string, Observed, string][] = [
    ['nobody', { from: all, to: all }, 'everything: NOTHING IS ENFORCED between the containers'],
    ['who calls', { from: [], to: ['agent', 'api', 'proxy'] }, 'api->proxy:3128 (observed, and policies enforce it)'],
    [
      'all but what nobody calls',
      { from: ['api'], to: ['api'] },
      'api->proxy:3128 (observed, and policies enforce it)',
    ],
    [
      'some',
      { from: ['agent', 'api'], to: ['agent', 'api'] },
      'everything from api, agent to api, agent: NOTHING IS ENFORCED there; else api->proxy:3128',
    ],
    [
      'who is called',
      { from: ['api'], to: ['proxy'] },
      'everything from api to proxy: NOTHING IS ENFORCED there; else nothing between the containers',
    ],
  ];
  for (const [title, observe, allowed] of rows) {
    it(`says what is open: they select ${title}`, async () => {
      const { stdout, exitCode } = await status(['api-0'], { objects: isolated(observe) });
      expect(exitCode).to.equal(0);
      expect(stdout).to.contain(`\nAllowed    ${allowed}\n`);
      expect(stdout.includes('NOTHING IS ENFORCED')).to.equal(allowed.includes('NOTHING IS ENFORCED'));
    });
  }

  it('knows the pieces of a split Pod', () => {
    const name = 'web-6d4f9c7b5-x7k2p';
    const objects = ofPod(name);
    const podSplit = objects.find(isPodSplit)!;
    const primary = objects.find(({ metadata }) => metadata.name === name) as Pod;
    const reported = (observe: Observed) => {
      const annotations = { 'podsplit.io/wiring': formatWiring({ ...wiring, observe }) };
      const wired = { ...primary, metadata: { ...primary.metadata, annotations } };
      const conditions = [{ ...conflict, type: 'Enforcing', reason: 'Observing' }];
      const observed = { ...podSplit, status: { ...podSplit.status!, conditions } };
      return podReport({ podSplit: observed, primary: wired, pods: [wired] }, now);
    };
    const [all, some] = [['cache', 'statsd', 'web'], ['cache']];
    expect(reported({ from: all, to: all }))
      .to.include({ observing: true })
      .and.not.to.have.property('unenforced');
    expect(reported({ from: all, to: some })).to.deep.include({
      unenforced: { from: ['web', 'cache', 'statsd'], to: ['cache'] },
    });
  });
});
