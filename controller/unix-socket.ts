import { randomUUID } from 'node:crypto';
import { lstat, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** A socket of a program that is replaced by the next one of its kind, which may come before it has ended. */
export interface PlacedSocket {
  /** Once the server has ended. */
  remove(): Promise<void>;
}

/**
 * Binds by another name, and puts the socket in its place by rename, over that of an earlier process: when a server ends,
 * libuv deletes the name that it was bound by, and by then that may be the next one's. Nobody takes a file for the socket
 * that begins with a dot; the kubelet passes over such files (pkg/kubelet/pluginmanager/pluginwatcher).
 *
 * @param socket in a folder that is there
 * @param bind resolves once the path is bound, with the rights that the socket shall have
 */
export async function placeSocket(socket: string, bind: (path: string) => Promise<void>): Promise<PlacedSocket> {
  // A path of a socket may have 107 characters.
  const bound = join(dirname(socket), `.${basename(socket)}.${randomUUID().slice(0, 8)}`);
  await bind(bound);
  const own = await fileAt(bound);
  await rename(bound, socket);
  return {
    remove: async () => {
      if ((await fileAt(socket)) === own) await rm(socket, { force: true });
    },
  };
}

/** Which file it is, as long as that exists. */
async function fileAt(path: string): Promise<string | undefined> {
  const found = await lstat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev} ${found.ino}`;
}
