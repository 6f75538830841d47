/** The page's style: no file beside it, no font of its own. Colours are told apart by their words too. */
export const pageStyle = `
:root {
  color-scheme: light;
  --ground: #fff; --raised: #f6f7f9; --line: #d0d5dd; --text: #1b1f27; --quiet: #4d5666; --link: #0b57b0;
  --critical: #7a1230; --critical-text: #fff; --high: #b3261e; --high-text: #fff;
  --medium: #f5c451; --medium-text: #2b2100; --low: #cfe3f7; --low-text: #10243a;
  --good: #1b6e3a; --mark: #fff3c4;
}
@media (prefers-color-scheme: dark) {
  :root:not([data-theme='light']) {
    color-scheme: dark;
    --ground: #14171c; --raised: #1d2128; --line: #3b4350; --text: #e8eaee; --quiet: #aab3c0; --link: #8ab8ff;
    --critical: #ff9fb8; --critical-text: #3a0012; --high: #ff8a80; --high-text: #3b0400;
    --medium: #d9a93a; --medium-text: #201800; --low: #2c4661; --low-text: #e3f0ff;
    --good: #7fd6a0; --mark: #4a3f12;
  }
}
:root[data-theme='dark'] {
  color-scheme: dark;
  --ground: #14171c; --raised: #1d2128; --line: #3b4350; --text: #e8eaee; --quiet: #aab3c0; --link: #8ab8ff;
  --critical: #ff9fb8; --critical-text: #3a0012; --high: #ff8a80; --high-text: #3b0400;
  --medium: #d9a93a; --medium-text: #201800; --low: #2c4661; --low-text: #e3f0ff;
  --good: #7fd6a0; --mark: #4a3f12;
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
header, main, footer { max-width: 100rem; margin: 0 auto; padding: 1rem 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
p { margin: .25rem 0; max-width: 80ch; }
a { color: var(--link); }
code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.quiet { color: var(--quiet); }
.skip { position: absolute; left: -100vw; } .skip:focus { left: 1rem; top: 1rem; background: var(--ground); padding: .5rem; z-index: 1; }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.top { display: flex; flex-wrap: wrap; gap: 1rem; justify-content: space-between; align-items: start; }
button, select, input[type='search'] {
  font: inherit; color: inherit; background: var(--raised); border: 1px solid var(--quiet); border-radius: .4rem; padding: .3rem .6rem;
}
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; padding: 0; list-style: none; }
.tiles li { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; background: var(--raised); min-width: 8rem; }
.tiles b { display: block; font-size: 1.5rem; }
.filters { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: end; border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; }
.filters fieldset { border: 0; margin: 0; padding: 0; } .filters legend { padding: 0; font-weight: 600; font-size: .85rem; }
.filters label { margin-right: .75rem; } .filters .named { display: grid; font-weight: 600; font-size: .85rem; }
.filters .named > * { font-weight: 400; font-size: 1rem; }
.scroll { position: relative; overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; }
caption { text-align: left; padding: .5rem .75rem; color: var(--quiet); }
th, td { border: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
thead th { background: var(--raised); }
.heat { font-size: .85rem; }
.heat thead th.technique { writing-mode: vertical-rl; transform: rotate(180deg); vertical-align: bottom; text-align: left; padding: .6rem .3rem; font-weight: 500; max-height: 18rem; }
.heat thead th.technique a { color: inherit; }
.heat tbody th { position: sticky; left: 0; background: var(--ground); white-space: nowrap; font-weight: 500; }
.heat td { padding: 0; text-align: center; min-width: 2rem; }
.heat td a { display: block; padding: .35rem .2rem; color: inherit; text-decoration: none; font-weight: 600; }
[data-level='critical'] { background: var(--critical); color: var(--critical-text); }
[data-level='high'] { background: var(--high); color: var(--high-text); }
[data-level='medium'] { background: var(--medium); color: var(--medium-text); }
[data-level='low'] { background: var(--low); color: var(--low-text); }
.chip { display: inline-block; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem; font-weight: 600; border: 1px solid transparent; }
.workload { border: 1px solid var(--line); border-radius: .5rem; margin: .75rem 0; background: var(--ground); }
.workload > summary { padding: .6rem 1rem; cursor: pointer; background: var(--raised); border-radius: .5rem; }
.workload > summary h3 { display: inline; margin: 0 .75rem 0 0; }
.workload > .body { padding: .5rem 1rem 1rem; }
.workload:not([open]) { content-visibility: auto; contain-intrinsic-size: auto 3rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(28rem, 100%), 1fr)); gap: 1rem; }
.pair > * { min-width: 0; }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem 1rem; }
.card ul, .body > ul { margin: .25rem 0; padding-left: 1.2rem; }
.findings { width: 100%; font-size: .9rem; } .findings td { min-width: 7rem; } .findings td.what { min-width: 18rem; } .findings td.why { min-width: 14rem; }
.findings tr.hit td { background: var(--mark); color: var(--text); }
.effect { font-weight: 600; } .effect[data-effect='closed'] { color: var(--good); }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg .box { fill: var(--raised); stroke: var(--quiet); } svg .beyond { stroke-dasharray: 4 3; } svg .small { fill: var(--quiet); font-size: 11px; }
.topology { max-width: 46rem; width: 100%; height: auto; display: block; }
.edge { fill: none; stroke-width: 2; }
${edges()}
[hidden] { display: none !important; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
@media print { .filters, #theme, .skip { display: none; } .workload { break-inside: avoid-page; } .scroll { overflow: visible; } }
@media (forced-colors: active) { .chip, .heat td { border: 1px solid; } }
`;

/** A line is as grave as what it stands for in the chosen view, and not there where nothing is left. */
function edges(): string {
  return ['now', 'isolate', 'split']
    .flatMap((view) => [
      `[data-view='${view}'] .edge[data-${view}='none'] { display: none; }`,
      ...['critical', 'high', 'medium', 'low'].map(
        (level) =>
          `[data-view='${view}'] .edge[data-${view}='${level}'] { stroke: var(--edge-${level}); marker-end: url(#arrow-${level}); }`,
      ),
    ])
    .concat(
      ':root { --edge-critical: var(--critical); --edge-high: var(--high); --edge-medium: var(--medium); --edge-low: var(--quiet); }',
    )
    .concat(
      ['critical', 'high', 'medium', 'low'].map((level) => `#arrow-${level} path { fill: var(--edge-${level}); }`),
    )
    .join('\n');
}
