import net from 'node:net';

export type ProxyMode =
  | 'forward'
  /** New connections are refused as they come. */
  | 'refuse'
  /** Nothing comes back any more, on connections that are open too: a cable pulled. */
  | 'silent'
  /** The request goes through, then the connection is cut instead of the answer. */
  | 'cut-answers';

/** A TCP proxy in front of the API server, with faults to order. TLS goes through it untouched. */
export class CuttingProxy {
  mode: ProxyMode = 'forward';
  private readonly server: net.Server;
  private readonly target: { readonly host: string; readonly port: number };
  private readonly sockets = new Set<net.Socket>();

  private constructor(target: URL) {
    this.target = {
      host: target.hostname.replace(/^\[|\]$/g, ''),
      port: Number(target.port === '' ? 443 : target.port),
    };
    this.server = net.createServer((downstream) => {
      this.accept(downstream);
    });
  }

  static async start(apiServer: string): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(new URL(apiServer));
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }

  get connections(): number {
    return this.sockets.size;
  }

  /** Resets every connection there is. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
  }

  private accept(downstream: net.Socket): void {
    if (this.mode === 'refuse') {
      downstream.resetAndDestroy();
      return;
    }
    const upstream = net.connect(this.target);
    this.sockets.add(downstream);
    downstream.on('data', (data) => {
      if (this.mode !== 'silent') upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (this.mode === 'cut-answers') downstream.resetAndDestroy();
      else if (this.mode !== 'silent') downstream.write(data);
    });
    const end = (): void => {
      this.sockets.delete(downstream);
      upstream.destroy();
      downstream.destroy();
    };
    for (const socket of [upstream, downstream]) socket.on('close', end).on('error', end);
  }
}
