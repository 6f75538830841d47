import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../observability/log.ts';
import { AgentError } from './agent-error.ts';
import type { CniRequest } from './cni-request.ts';
import { startCniServer, type CniServer } from './cni-server.ts';

const request = JSON.stringify({
  version: 1,
  command: 'ADD',
  containerID: 'a',
  netns: '/run/netns/a',
  ifname: 'net1',
  args: '',
  config: { cniVersion: '1.0.0', name: 'n', phase: 'close' },
});

type Handler = (request: CniRequest, signal: AbortSignal) => Promise<object | undefined>;

describe('the socket of the agent', () => {
  let folder: string;
  let socket: string;
  let server: CniServer;
  let handle: Handler;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'podsplit-agent-'));
    socket = join(folder, 'run', 'agent.sock');
    handle = () => Promise.resolve({ cniVersion: '1.0.0' });
    server = await startCniServer({ socket, handle: (...call) => handle(...call), log: silentLogger });
  });

  afterEach(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  /** Until the agent ends the connection. */
  function call(text: string, at = socket): Promise<string> {
    return new Promise((resolve, reject) => {
      const connection = net.connect(at, () => connection.write(text));
      let answer = '';
      connection.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
      connection.on('close', () => {
        resolve(answer);
      });
      connection.on('error', reject);
    });
  }

  it("is root's alone", () => {
    expect(statSync(socket).mode & 0o777).to.equal(0o600);
    expect(statSync(join(folder, 'run')).mode & 0o777).to.equal(0o700);
  });

  it('leaves the socket to the agent that has taken its place, however late it ends', async () => {
    const own = join(folder, 'taken', 'agent.sock');
    const agent = (name: string) =>
      startCniServer({ socket: own, handle: () => Promise.resolve({ name }), log: silentLogger });
    const [old, next] = [await agent('old'), await agent('next')];
    await old.close();
    expect(JSON.parse(await call(`${request}\n`, own))).to.deep.equal({ result: { name: 'next' } });
    await next.close();
    expect(readdirSync(join(folder, 'taken'))).to.deep.equal([]);
  });

  it('answers with a result, or with nothing but a yes', async () => {
    expect(JSON.parse(await call(`${request}\n`))).to.deep.equal({ result: { cniVersion: '1.0.0' } });
    handle = () => Promise.resolve(undefined);
    expect(await call(`${request}\n`)).to.equal('{}\n');
  });

  it('answers with what is wrong, and whether to try again', async () => {
    handle = () => Promise.reject(new AgentError('NotReady', 'not yet'));
    expect(JSON.parse(await call(`${request}\n`))).to.deep.equal({ error: { code: 11, msg: 'not yet (NotReady)' } });
    handle = () => Promise.reject(new AgentError('NotAPiece', 'no'));
    expect(JSON.parse(await call(`${request}\n`)))
      .to.have.nested.property('error.code')
      .above(99);
    handle = () => Promise.reject(new Error('a mistake'));
    expect(JSON.parse(await call(`${request}\n`)))
      .to.have.nested.property('error.msg')
      .contains('a mistake');
    expect(JSON.parse(await call('nonsense\n')))
      .to.have.nested.property('error.msg')
      .contains('(BadRequest)');
    expect(JSON.parse(await call('x'.repeat(1_200_000))))
      .to.have.nested.property('error.msg')
      .contains('larger');
  });

  it('tells its handler that the plugin is gone', async () => {
    const { gone, connection } = await pendingCall();
    connection.destroy();
    await gone;
  });

  it('has ended what it began once it is closed', async () => {
    let ended = false;
    await pendingCall(async () => {
      await new Promise(setImmediate);
      ended = true;
    });
    await server.close();
    expect(ended).to.equal(true);
  });

  /** A call whose handler waits until it hears that the plugin is gone. */
  async function pendingCall(afterwards: () => Promise<void> = () => Promise.resolve()) {
    const { promise: gone, resolve: wentAway } = Promise.withResolvers<undefined>();
    const { promise: called, resolve: isCalled } = Promise.withResolvers<undefined>();
    handle = async (_request, signal) => {
      signal.addEventListener('abort', () => {
        wentAway(undefined);
      });
      isCalled(undefined);
      await gone;
      await afterwards();
      return undefined;
    };
    const connection = net.connect(socket, () => connection.write(`${request}\n`));
    connection.on('error', () => undefined);
    await called;
    return { gone, connection };
  }
});
