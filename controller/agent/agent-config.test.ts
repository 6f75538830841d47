import { expect } from 'chai';
import { ConfigError } from '../environment.ts';
import { readAgentConfig } from './agent-config.ts';

const needed = { NODE_NAME: 'node1', HOST_IPS: '10.0.0.1', POD_NAME: 'agent-x', POD_NAMESPACE: 'podsplit-system' };

describe('configuration of the node agent', () => {
  it('needs to know where it is, and has a default for all else', () => {
    expect(readAgentConfig(needed)).to.deep.include({
      node: 'node1',
      hostIPs: ['10.0.0.1'],
      port: 9471,
      auditMs: 60_000,
    });
    expect(readAgentConfig({ ...needed, PODSPLIT_AUDIT_SECONDS: '5' }).auditMs).to.equal(5_000);
  });

  it('names every variable that is wrong, what it is and what is allowed', () => {
    const wrong = { HOST_IPS: 'node1', PODSPLIT_LISTEN_AGENT: '0', PODSPLIT_AUDIT_SECONDS: 'often' };
    expect(() => readAgentConfig(wrong))
      .to.throw(ConfigError)
      .with.property('message')
      .that.contains('NODE_NAME: is missing')
      .and.contains('HOST_IPS: node1 is no IP address')
      .and.contains('PODSPLIT_LISTEN_AGENT: is "0"; a whole number from 1 to 65535 is needed.')
      .and.contains('PODSPLIT_AUDIT_SECONDS: is "often"; a number of seconds from 1 to 3600 is needed.');
  });
});
