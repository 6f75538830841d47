import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { isRecord, record, type JsonObject } from '../../controller/api/json.ts';

/** A page in a real browser, by the Chrome DevTools Protocol over a pair of pipes: no port, and no driver beside it. */
export interface Page {
  /** What an expression of the page is, as JSON. */
  evaluate(expression: string): Promise<unknown>;
  /** By the keyboard, as somebody without a mouse: `Tab`, `Enter`, ` `. */
  press(key: string): Promise<void>;
  send(method: string, params?: JsonObject): Promise<JsonObject>;
  /** URLs that it asked for, its own first; what its policy kept it from is not among them. */
  readonly requests: readonly string[];
  /** What it complained of: errors, and what its policy refused. */
  readonly complaints: readonly string[];
}

export interface Browser {
  open(url: string): Promise<Page>;
  close(): Promise<void>;
}

const program = '/usr/bin/chromium';

export function startChromium(): Browser {
  const profile = mkdtempSync(join(tmpdir(), 'podsplit-chromium-'));
  // Root has no sandbox, and what is opened here is our own.
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
  const child = spawn(
    program,
    [...flags, '--window-size=1400,1000', `--user-data-dir=${profile}`, '--remote-debugging-pipe'],
    {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    },
  );
  const ended = once(child, 'exit');
  const connection = new Connection(child.stdio[3] as Writable, child.stdio[4] as Readable);
  return {
    open: async (url) => {
      const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true });
      return openPage(connection, String(sessionId), url);
    },
    close: async () => {
      await connection.send('Browser.close');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function openPage(connection: Connection, session: string, url: string): Promise<Page> {
  const send = (method: string, params: JsonObject = {}): Promise<JsonObject> =>
    connection.send(method, params, session);
  const requests: string[] = [];
  const asked = new Map<string, string>();
  const complaints: string[] = [];
  const loaded = new Promise<void>((resolve) => {
    connection.listen(session, (method, params) => {
      if (method === 'Page.loadEventFired') resolve();
      if (method === 'Network.requestWillBeSent') {
        const address = String(record(params['request'])['url']);
        asked.set(String(params['requestId']), address);
        requests.push(address);
      }
      if (method === 'Network.loadingFailed' && params['blockedReason'] === 'csp') {
        requests.splice(requests.indexOf(asked.get(String(params['requestId'])) ?? ''), 1);
      }
      if (method === 'Runtime.exceptionThrown') complaints.push(JSON.stringify(params['exceptionDetails']));
      if (method === 'Log.entryAdded') complaints.push(String(record(params['entry'])['text']));
    });
  });
  for (const domain of ['Page', 'Network', 'Runtime', 'Log', 'Accessibility']) await send(`${domain}.enable`);
  await send('Page.navigate', { url });
  await loaded;
  return {
    requests,
    complaints,
    send,
    evaluate: async (expression) => {
      const { result, exceptionDetails } = await send('Runtime.evaluate', {
        expression,
        returnByValue: true,
        awaitPromise: true,
      });
      if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
      return record(result)['value'];
    },
    press: async (key) => {
      const code = { Tab: 9, Enter: 13, ' ': 32 }[key] ?? 0;
      const text = key === 'Enter' ? '\r' : key === ' ' ? ' ' : undefined;
      const event = { key, windowsVirtualKeyCode: code, ...(text === undefined ? {} : { text }) };
      await send('Input.dispatchKeyEvent', { type: 'keyDown', ...event });
      await send('Input.dispatchKeyEvent', { type: 'keyUp', key, windowsVirtualKeyCode: code });
    },
  };
}

type Listener = (method: string, params: JsonObject) => void;

/** Messages are JSON that ends with a NUL. */
class Connection {
  private readonly output: Writable;
  private readonly waiting = new Map<number, { resolve(result: JsonObject): void; reject(error: Error): void }>();
  private readonly listeners = new Map<string, Listener>();
  private last = 0;

  constructor(output: Writable, input: Readable) {
    this.output = output;
    let rest = '';
    input.setEncoding('utf8').on('data', (chunk: string) => {
      const messages = (rest + chunk).split('\0');
      rest = messages.pop() ?? '';
      for (const message of messages) this.receive(JSON.parse(message));
    });
  }

  send(method: string, params: JsonObject = {}, sessionId?: string): Promise<JsonObject> {
    const id = ++this.last;
    this.output.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
    });
  }

  listen(sessionId: string, listener: Listener): void {
    this.listeners.set(sessionId, listener);
  }

  private receive(message: unknown): void {
    if (!isRecord(message)) return;
    const { id, result, error, method, params, sessionId } = message;
    if (typeof id !== 'number') {
      if (typeof sessionId === 'string') this.listeners.get(sessionId)?.(String(method), record(params));
      return;
    }
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) waiting?.resolve(record(result));
    else waiting?.reject(new Error(JSON.stringify(error)));
  }
}
