import { didYouMean } from './nearest.ts';
import type { Refusal, RefusalCode } from './refusal.ts';

/** What the readers of single annotations share. */
export interface Context {
  readonly values: ReadonlyMap<string, string>;
  readonly containers: readonly string[];
  path(key: string): string;
}

export type Parsed<T> = { readonly value: T } | { readonly refusals: readonly Refusal[] };

export function unknownContainer(at: Context, path: string, name: string): Refusal {
  return refusal(
    'UnknownContainer',
    path,
    `The Pod has no container ${quote(name)}.${didYouMean(name, at.containers)}`,
    `Use one of ${at.containers.join(', ')}.`,
  );
}

export function refusal(code: RefusalCode, path: string, message: string, action: string): Refusal {
  return { code, path, message, action };
}

/** As JSON, so that odd characters show, and cut to what a message can hold. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
