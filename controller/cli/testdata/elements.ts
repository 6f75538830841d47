/** One start tag of a page. */
export interface Element {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  /** All that stands in it, markup left out. */
  readonly text: string;
}

const voids = new Set(['meta', 'br', 'input', 'link', 'img']);

/**
 * The elements of a page that escapes all text: whatever looks like a tag is one. A browser forgives; this does not.
 *
 * @throws Error where a tag is not closed in its turn, or an attribute is not quoted
 */
export function elementsOf(page: string): readonly Element[] {
  const found: { name: string; attributes: ReadonlyMap<string, string>; text: string }[] = [];
  const open: (typeof found)[number][] = [];
  const rest = page.replace(/^<!doctype html>\n/, '');
  const tag = /<(?<end>\/?)(?<name>[a-z][a-z0-9]*)(?<attributes>[^>]*?)(?<closed>\/?)>|(?<text>[^<]+)/gy;
  for (tag.lastIndex = 0; tag.lastIndex < rest.length; ) {
    const at = tag.lastIndex;
    const { end, name = '', attributes = '', closed, text } = tag.exec(rest)?.groups ?? {};
    if (text !== undefined) for (const element of open) element.text += unescaped(text);
    else if (name === '') throw new Error(`no tag: ${rest.slice(at, at + 60)}`);
    else if (end === '/') {
      if (open.pop()?.name !== name) throw new Error(`</${name}> closes another: ${rest.slice(at - 200, at)}`);
    } else {
      const element = { name, attributes: attributesOf(attributes), text: '' };
      found.push(element);
      if (!voids.has(name) && closed !== '/') open.push(element);
      if (name === 'style' || name === 'script') {
        const until = rest.indexOf(`</${name}>`, tag.lastIndex);
        element.text = rest.slice(tag.lastIndex, until);
        tag.lastIndex = until;
      }
    }
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)?.name ?? ''}> is not closed`);
  return found;
}

function attributesOf(text: string): ReadonlyMap<string, string> {
  const pattern = /\s+(?<name>[a-zA-Z-]+)(?:="(?<value>[^"]*)")?/gy;
  const found = new Map<string, string>();
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    found.set(match.groups?.['name'] ?? '', unescaped(match.groups?.['value'] ?? ''));
    end = match.index + match[0].length;
  }
  if (text.slice(end).trim() !== '') throw new Error(`no attributes: ${text}`);
  return found;
}

function unescaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
  return text.replace(/&(#?\w+);/g, (_, name: string) => entities[name] ?? '');
}
