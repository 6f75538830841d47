// Tells what happens, on the terminal: every command is shown before it runs, and its own output after it.

import pc from 'picocolors';

/** Colour and bold only for a person's eyes. */
const colors = pc.createColors(process.stdout.isTTY && process.env['NO_COLOR'] === undefined);
const longestOutput = 14;

export type Tone = 'good' | 'bad' | 'plain';
const tones: Readonly<Record<Tone, (text: string) => string>> = {
  good: colors.green,
  bad: colors.red,
  plain: (text) => text,
};

export class Narrator {
  readonly #scripts = new Set<string>();

  chapter(title: string): void {
    print(`\n${colors.bold(`== ${title}`)}`);
  }

  say(text: string, tone: Tone = 'plain'): void {
    print(tones[tone](text));
  }

  command(argv: readonly string[]): void {
    print(colors.cyan(`$ ${argv.map((word) => this.#quote(word)).join(' ')}`));
  }

  /** For what may take minutes: each line when it is whole. */
  outputAsItComes(): (text: string) => void {
    let begun = '';
    return (text) => {
      const lines = (begun + text).split('\n');
      begun = lines.pop() ?? '';
      for (const line of lines) print(`  ${printableOf(line)}`);
    };
  }

  output(text: string, most = longestOutput): void {
    const printable = printableOf(text).trimEnd();
    const lines = (printable === '' ? '(no output)' : printable).split('\n');
    for (const line of lines.slice(0, most)) print(`  ${line}`);
    if (lines.length > most) print(colors.dim(`  … ${lines.length - most} more lines`));
  }

  table(head: readonly string[], rows: readonly (readonly Cell[])[]): void {
    const widths = head.map((title, column) =>
      Math.max(title.length, ...rows.map((row) => (row[column]?.text ?? '').length)),
    );
    const pad = (text: string, column: number): string => text.padEnd(widths[column] ?? 0);
    print(colors.bold(head.map(pad).join('  ').trimEnd()));
    print(widths.map((width) => '-'.repeat(width)).join('  '));
    for (const row of rows)
      print(
        row
          .map(({ text, tone }, i) => tones[tone](pad(text, i)))
          .join('  ')
          .trimEnd(),
      );
  }

  /** As a shell would take it. A script of several lines is shown in full once. */
  #quote(word: string): string {
    if (/^[\w@%+=:,./-]+$/.test(word)) return word;
    const short = word.includes('\n') && this.#scripts.has(word);
    this.#scripts.add(word);
    if (short) return "'… the script shown above …'";
    // Double quotes read better around a script that has single ones, where the shell would see nothing else in it.
    return word.includes("'") && !/["$`\\!]/.test(word) ? `"${word}"` : `'${word.replaceAll("'", "'\\''")}'`;
  }
}

export interface Cell {
  readonly text: string;
  readonly tone: Tone;
}

function printableOf(text: string): string {
  return text.replace(/[^\P{Cc}\n]/gu, '');
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
