/** Text that is markup already. All other text is escaped where it is put into some. */
export interface Markup {
  readonly markup: string;
}

export type Content = Markup | string | number | readonly Content[];

/** markup`<p>${text}</p>`: what names, images and messages of a cluster say stays text. For elements and quoted attributes. */
export function markup(parts: TemplateStringsArray, ...values: readonly Content[]): Markup {
  return { markup: parts.map((part, index) => part + written(values[index] ?? '')).join('') };
}

export function raw(text: string): Markup {
  return { markup: text };
}

function written(value: Content): string {
  if (typeof value === 'string') return escaped(value);
  if (typeof value === 'number') return String(value);
  return 'markup' in value ? value.markup : value.map(written).join('');
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Controls, which HTML does not take and terminals obey, and what turns the reading direction around, become "?". */
function escaped(text: string): string {
  if (!/[&<>"'\p{C}]/u.test(text)) return text;
  return text.replace(/[^\P{C}\n]/gu, '?').replace(/[&<>"']/g, (character) => entities[character] ?? '');
}
