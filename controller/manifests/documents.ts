import { isMap, parseDocument } from 'yaml';
import type { SourceFile } from './sources.ts';

/** One object, as it is written. */
export interface SourceDocument {
  /** `KIND/NAME`: no two are alike. */
  readonly object: string;
  /** The file that it is in. */
  readonly file: string;
  readonly text: string;
  /** The text as `yaml` reads it. */
  readonly contents: unknown;
}

export function documentsOf(sources: readonly SourceFile[]): readonly SourceDocument[] {
  return sources.flatMap(({ path, text }) =>
    text.split(/^---\n/m).map((document): SourceDocument => {
      const { contents, errors } = parseDocument(document);
      const [error] = errors;
      if (error !== undefined || !isMap(contents)) throw new Error(`${path}: ${error?.message ?? 'not an object'}`);
      const [kind, name] = [contents.get('kind'), contents.getIn(['metadata', 'name'])].map(String);
      return { object: `${kind ?? ''}/${name ?? ''}`, file: path, text: `${document.trimEnd()}\n`, contents };
    }),
  );
}
