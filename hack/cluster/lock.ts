// One run at a time changes the cluster, whatever clone it comes from.
//
// The lock is an abstract Unix socket: the kernel gives a name to one process only and takes it back when that process
// ends, however it ends. So there is no stale lock and no lock file to leave behind. Whoever connects is told who
// holds it.

import { createConnection, createServer } from 'node:net';
import type { Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { lockSocket } from './names.ts';

/** Runs `work` while no other run of any clone does; waits, and says for whom. */
export async function withLock<T>(what: string, work: () => Promise<T>): Promise<T> {
  const server = await acquire(`${what}, process ${process.pid}`);
  try {
    return await work();
  } finally {
    server.close();
  }
}

async function acquire(description: string): Promise<Server> {
  for (let told = false; ;) {
    const server = await tryListen(description);
    if (server) return server;
    const holder = await askHolder();
    if (!told && holder !== undefined) {
      console.log(`waiting for another run: ${holder}`);
      told = true;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function tryListen(description: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((peer) => {
      peer.on('error', () => undefined);
      peer.end(description);
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(lockSocket, () => {
      resolve(server);
    });
  });
}

async function askHolder(): Promise<string | undefined> {
  try {
    return await text(createConnection(lockSocket));
  } catch {
    return undefined; // it ended meanwhile
  }
}
