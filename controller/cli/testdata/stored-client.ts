import type { KubeClient, ListOptions, ObjectRef } from '../../kube/client.ts';
import { ApiError, type ApiErrorCode } from '../../kube/errors.ts';
import type { KubeObject, Resource } from '../../kube/resources.ts';

export interface Stored {
  /** Asked at each call: what is there may change. */
  readonly objects: () => readonly KubeObject[];
  /** By the plural of their kind, what may not be read, and how the API server says so. */
  readonly refused: (plural: string) => ApiErrorCode | undefined;
  /** What it says then. */
  readonly words?: string;
}

/** @param message tries to steer the terminal, unless it is given */
export function failure(code: ApiErrorCode, message = 'said\u001b the server'): ApiError {
  return new ApiError({ code, message, path: 'GET /', status: 0, maybeHappened: false });
}

/** Of a cluster that has these objects. It gets and lists, and fails where it is asked for anything else. */
export function storedClient({ objects, refused, words }: Stored): KubeClient {
  const all = <T extends KubeObject>({ kind, plural }: Resource<T>, namespace: string | undefined): readonly T[] => {
    const code = refused(plural);
    if (code !== undefined) throw failure(code, words);
    const inScope = (each: KubeObject): boolean => namespace === undefined || each.metadata.namespace === namespace;
    return objects().filter((each) => each.kind === kind && inScope(each)) as unknown as readonly T[];
  };
  const other = (): never => {
    throw new Error('this command only gets and lists');
  };
  return {
    server: 'https://cluster.example',
    get: <T extends KubeObject>(resource: Resource<T>, { namespace, name }: ObjectRef) =>
      Promise.resolve().then(() => {
        const found = all(resource, namespace).find(({ metadata }) => metadata.name === name);
        if (found === undefined) throw failure('NotFound');
        return found;
      }),
    list: <T extends KubeObject>(resource: Resource<T>, { namespace, labelSelector = '' }: ListOptions = {}) =>
      Promise.resolve().then(() => ({
        items: all(resource, namespace).filter((each) => labelSelector === '' || isSelected(each, labelSelector)),
        resourceVersion: '1',
      })),
    watch: other,
    pages: other,
    create: other,
    replace: other,
    patch: other,
    delete: other,
    raw: other,
    close: () => undefined,
  };
}

/** KEY, !KEY, KEY=VALUE and KEY in (VALUE,…), with commas between them. */
function isSelected({ metadata }: KubeObject, selector: string): boolean {
  return selector.split(/,(?![^(]*\))/).every((each) => {
    const [, not = '', key = '', within = '', values = ''] = /^(!?)([^ =]+)( in \(|=)?([^)]*)/.exec(each) ?? [];
    const found = metadata.labels?.[key];
    if (not !== '') return found === undefined;
    return within === '' ? found !== undefined : values.split(',').includes(found ?? '');
  });
}
