import { expect } from 'chai';
import { awaitStart } from './wait-command.ts';
import { formatStarted, parseStarted, saysStarted } from '../split/started.ts';

describe('the annotation podsplit.io/started', () => {
  it('reads as it was written', () => {
    const started = { podIP: '10.0.0.1', containers: ['proxy', 'shipper'] };
    expect(parseStarted(formatStarted(started))).to.deep.equal(started);
    expect(formatStarted({ ...started, containers: ['shipper', 'proxy'] })).to.equal(formatStarted(started));
    expect(parseStarted(formatStarted({ containers: [] }))).to.deep.equal({ containers: [] });
  });

  it('says nothing where it is not there, or does not read', () => {
    for (const text of [
      '',
      '{',
      '[]',
      'null',
      '{"containers":"proxy"}',
      '{"podIP":1,"containers":[]}',
      '{"containers":[1]}',
    ])
      expect(parseStarted(text), text).to.equal(undefined);
    expect(saysStarted('', 'proxy', '10.0.0.1')).to.equal(false);
  });

  it('counts for the sandbox that it was written for, or for any', () => {
    const text = formatStarted({ podIP: '10.0.0.1', containers: ['proxy'] });
    expect(saysStarted(text, 'proxy', '10.0.0.1')).to.equal(true);
    expect(saysStarted(text, 'shipper', '10.0.0.1')).to.equal(false);
    expect(saysStarted(text, 'proxy', '10.0.0.2')).to.equal(false);
    expect(saysStarted(formatStarted({ containers: ['proxy'] }), 'proxy', '10.0.0.2')).to.equal(true);
  });

  it('is what podsplit wait waits for', async () => {
    const texts = [undefined, '', formatStarted({ podIP: '10.0.0.9', containers: ['proxy'] })];
    const said: string[] = [];
    let reads = 0;
    await awaitStart(
      { sidecar: 'proxy', podIP: '10.0.0.1', file: 'started.json', pollInterval: 10, reportInterval: 15 },
      {
        read: (path) => {
          expect(path).to.equal('started.json');
          const text =
            reads < texts.length ? texts[reads] : formatStarted({ podIP: '10.0.0.1', containers: ['proxy'] });
          reads += 1;
          return Promise.resolve(text);
        },
        sleep: () => Promise.resolve(),
        now: () => reads * 10,
        log: (_level, message) => said.push(message),
      },
    );
    expect(reads).to.equal(texts.length + 1);
    expect(said).to.deep.equal([
      'waiting for native sidecar proxy to start',
      'waiting for native sidecar proxy to start',
      'native sidecar proxy has started',
    ]);
  });
});
