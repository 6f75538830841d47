/** Lines of a table as kubectl prints them: columns three spaces apart, nothing behind the last one. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const cells = [head, ...rows].map((row) => row.map(printable));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}

/** `1 Pod`, `2 Pods`. */
export function counted(count: number, one: string, several = `${one}s`): string {
  return `${count} ${count === 1 ? one : several}`;
}

/** What an object of the cluster says cannot steer the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?');
}

/** The API server's words may have several. */
export function oneLine(text: string): string {
  return printable(text.replace(/\s+/g, ' ').trim());
}
