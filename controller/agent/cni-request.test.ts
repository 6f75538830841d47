import { expect } from 'chai';
import { parseCniRequest } from './cni-request.ts';

const add = {
  version: 1,
  command: 'ADD',
  containerID: '5c1d0f2a9b7e',
  netns: '/var/run/netns/cni-1',
  ifname: 'net1',
  args: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=5c1d;K8S_POD_UID=a-b',
  config: { cniVersion: '1.0.0', name: 'podsplit-web-0123456789ab', type: 'podsplit', phase: 'wire', prevResult: {} },
};

function parse(changed: object) {
  return parseCniRequest(JSON.stringify({ ...add, ...changed }));
}

describe('a call of the CNI plugin', () => {
  it('says which sandbox of which Pod it is about', () => {
    const { command, containerID, pod, config } = parse({});
    expect({ command, containerID }).to.deep.equal({ command: 'ADD', containerID: '5c1d0f2a9b7e' });
    expect(pod).to.deep.equal({ namespace: 'shop', name: 'web-0', uid: 'a-b' });
    expect(config.phase).to.equal('wire');
  });

  it('has no Pod where the runtime does not name all of it', () => {
    expect(parse({ args: 'K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0' }).pod).to.equal(undefined);
    expect(parse({ args: '' }).pod).to.equal(undefined);
  });

  it('needs no sandbox for STATUS and GC', () => {
    const nodeWide = { containerID: '', netns: '', ifname: '', args: '' };
    const { phase: _phase, ...config } = add.config;
    expect(parse({ ...nodeWide, command: 'STATUS', config }).command).to.equal('STATUS');
    const valid = [{ containerID: 'a', ifname: 'net1' }];
    const gc = parse({ ...nodeWide, command: 'GC', config: { ...config, 'cni.dev/valid-attachments': valid } });
    expect(gc.config.validAttachments).to.deep.equal(valid);
  });

  const wrong: readonly (readonly [string, object | string, string])[] = [
    ['no JSON', '{', 'no JSON'],
    ['another version', { version: 2 }, 'version is 2, the agent speaks 1'],
    ['an unknown command', { command: 'MOVE' }, 'command is "MOVE"; allowed: ADD, CHECK, DEL, GC, STATUS'],
    ['a container id that leaves its folder', { containerID: '../../etc/passwd' }, 'containerID is "../../etc/passwd"'],
    ['no container id', { containerID: '' }, 'containerID is ""'],
    ['no phase', { config: { ...add.config, phase: 'open' } }, 'config.phase is "open"; allowed: close, wire'],
    ['no config', { config: null }, 'config is null; allowed: an object'],
    [
      'GC that does not say what is to stay',
      { command: 'GC' },
      'config.cni.dev/valid-attachments is missing; allowed: an array',
    ],
    ['no netns', { netns: undefined }, 'netns is missing; allowed: a string'],
  ];
  for (const [what, changed, message] of wrong) {
    it(`is refused with ${what}`, () => {
      const text = typeof changed === 'string' ? changed : JSON.stringify({ ...add, ...changed });
      expect(() => parseCniRequest(text))
        .to.throw(message)
        .with.property('code', 'BadRequest');
    });
  }
});
