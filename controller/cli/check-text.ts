import pc from 'picocolors';
import { type Level, levels } from './check-outcome.ts';
import { type Checked, type CheckReport, type Group, groups } from './check-report.ts';
import { oneLine, printable } from './table.ts';

export interface CheckStyle {
  /** Of what is well, too, why it matters. */
  readonly wide: boolean;
  readonly colours: boolean;
}

const titles: Readonly<Record<Group, string>> = { cluster: 'The cluster', podsplit: 'podsplit' };

export function formatCheck(report: CheckReport, style: CheckStyle): string {
  const { bold } = pc.createColors(style.colours);
  const { checks, server, installed } = report;
  const width = Math.max(...checks.map(({ check }) => check.length));
  const sections = groups
    .map((group) => ({ group, its: checks.filter((each) => each.group === group) }))
    .filter(({ its }) => its.length > 0)
    .map(({ group, its }) => [bold(titles[group]), ...its.flatMap((each) => linesOf(each, width, style))]);
  return [[printable(`${server}, ${installed ? 'with' : 'without'} podsplit`)], ...sections, [summaryOf(report, style)]]
    .map((lines) => lines.map((line) => `${line}\n`).join(''))
    .join('\n');
}

const widest = Math.max(...levels.map((level) => level.length));

function linesOf({ level, check, what, why, mend }: Checked, width: number, style: CheckStyle): readonly string[] {
  const colour = colourOf(level, style);
  const indent = ' '.repeat(widest + 3);
  return [
    `${colour(level.padEnd(widest))}   ${check.padEnd(width)}   ${oneLine(what)}`,
    ...(style.wide || level !== 'ok' ? [`${indent}Why: ${oneLine(why)}`] : []),
    ...(mend === undefined ? [] : [`${indent}Do:  ${oneLine(mend)}`]),
  ];
}

function colourOf(level: Level, { colours }: CheckStyle): (text: string) => string {
  const { red, yellow, green, dim } = pc.createColors(colours);
  return { problem: red, warning: yellow, ok: green, unknown: dim }[level];
}

function summaryOf({ summary }: CheckReport, style: CheckStyle): string {
  const { ok, warning, problem, unknown } = summary;
  const counted = [
    ...(problem > 0 ? [colourOf('problem', style)(counting(problem, 'problem'))] : ['no problem']),
    ...(warning > 0 ? [colourOf('warning', style)(counting(warning, 'warning'))] : []),
    ...(unknown > 0 ? [`${unknown} unknown`] : []),
    `${ok} ok`,
  ];
  return counted.join(', ');
}

function counting(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
