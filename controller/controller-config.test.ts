import { expect } from 'chai';
import { readControllerConfig } from './controller-config.ts';
import { ConfigError } from './environment.ts';

const image = { PODSPLIT_IMAGE: 'podsplit:test' };

describe('configuration of the controller', () => {
  it('needs an image, and has a default for all else', () => {
    expect(readControllerConfig(image)).to.deep.include({
      imagePullPolicy: 'IfNotPresent',
      install: 'node',
      namespace: 'podsplit-system',
      workers: 16,
    });
  });

  it('takes the default install mode', () => {
    expect(readControllerConfig({ ...image, PODSPLIT_INSTALL: 'init' }).install).to.equal('init');
  });

  it('names every variable that is wrong, what it is and what is allowed', () => {
    const environment = {
      PODSPLIT_INSTALL: 'cni',
      PODSPLIT_IMAGE_PULL_POLICY: 'Sometimes',
      PODSPLIT_WORKERS: '0',
    };
    expect(() => readControllerConfig(environment))
      .to.throw(ConfigError)
      .with.property('message')
      .that.contains('PODSPLIT_INSTALL: is "cni"; allowed are node, init.')
      .and.contains('PODSPLIT_IMAGE_PULL_POLICY: is "Sometimes"; allowed are IfNotPresent, Always, Never.')
      .and.contains('PODSPLIT_WORKERS')
      .and.contains('PODSPLIT_IMAGE: is missing');
  });
});
