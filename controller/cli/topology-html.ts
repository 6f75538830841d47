import { createHash } from 'node:crypto';
import { type Markup, markup, raw } from './markup.ts';
import { inboundText, inWords, outboundText, stateOf, titleOf, type PodTopology } from './topology-report.ts';
import { arrowHeads, drawingStyle, drawPod, titleOfAll } from './topology-svg.ts';

const pageStyle = `
:root { color-scheme: light dark; --page: #fff; --ink: #1b1f27; --edge: #d0d5dd; --soft: #4d5666; --raised: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --page: #14171c; --ink: #e8eaee; --edge: #3b4350; --soft: #aab3c0; --raised: #1d2128; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
header, main { max-width: 80rem; margin: 0 auto; padding: 1rem 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; } .quiet { color: var(--soft); }
.scroll { overflow-x: auto; border: 1px solid var(--edge); border-radius: .5rem; margin: .75rem 0; }
.scroll:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption { text-align: left; padding: .5rem .75rem; color: var(--soft); }
th, td { border: 1px solid var(--edge); padding: .35rem .6rem; text-align: left; vertical-align: top; } thead th { background: var(--raised); }
svg { display: block; max-width: none; }
.defs { position: absolute; width: 0; height: 0; }
`;

/** One page that asks nobody for anything: drawings, and the same in tables and words. */
export function formatTopologyHtml(
  pods: readonly PodTopology[],
  made: { readonly from: string; readonly at: string },
): string {
  const style = `${pageStyle}${drawingStyle}`;
  const hash = createHash('sha256').update(style).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  const { markup: page } = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${titleOfAll(pods)}</title>
<style>${raw(style)}</style>
</head>
<body>
<header><h1>${titleOfAll(pods)}</h1>
<p class="quiet">${made.from}, <time datetime="${made.at}">${made.at}</time>. Green: flows between containers, and what comes from outside. Blue and dashed: a container's only way out. Grey: what goes out.</p></header>
<svg class="topology defs" aria-hidden="true" focusable="false">${arrowHeads}</svg>
<main>
${pods.map((pod, index) => sectionOf(pod, `pod-${index + 1}`))}
</main>
</body>
</html>
`;
  return page;
}

function sectionOf(pod: PodTopology, id: string): Markup {
  const { body, width, height } = drawPod(pod);
  const name = `${pod.namespace}/${pod.pod}`;
  return markup`<section aria-labelledby="${id}"><h2 id="${id}">${name}</h2>
<p class="quiet">${titleOf(pod)}</p>
<div class="scroll" role="region" aria-label="${`Drawing of ${name}`}" tabindex="0"><svg class="topology" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="${id}-title ${id}-desc"><title id="${id}-title">${titleOfAll([pod])}</title><desc id="${id}-desc">${inWords(pod).join(' ')}</desc>${body}</svg></div>
<div class="scroll" role="region" aria-label="${`Pieces of ${name}`}" tabindex="0"><table><caption>Pieces</caption>
<thead><tr><th scope="col">Container</th><th scope="col">Role</th><th scope="col">State</th><th scope="col">Pod</th><th scope="col">Pod IPs</th><th scope="col">Peer network</th><th scope="col">From outside</th><th scope="col">To outside</th></tr></thead>
<tbody>${pod.pieces.map((piece) => markup`<tr><th scope="row">${piece.container}</th><td>${piece.role}</td><td>${stateOf(piece)}</td><td>${piece.pod}</td><td>${piece.podIPs.join(', ')}</td><td>${piece.addresses.join(', ')}</td><td>${inboundText(piece.in)}</td><td>${outboundText(piece.out)}</td></tr>`)}</tbody></table></div>
<ul>${inWords(pod).map((each) => markup`<li>${each}</li>`)}</ul>
${pod.notes.map((note) => markup`<p>${note}</p>`)}
</section>
`;
}
