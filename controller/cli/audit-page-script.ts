/**
 * What the page does when somebody chooses: it hides rows and counts anew. Without it all is there to read, as the Pods run.
 * Reads nothing but the page, and asks nobody.
 */
export const pageScript = `
'use strict';
(() => {
  const root = document.documentElement;
  const levels = ['critical', 'high', 'medium', 'low'];
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const findings = new Map(all('.workload').map((workload) => [workload.id, all('tbody tr.finding', workload)]));
  const cells = new Map();
  for (const cell of all('.heat td')) cells.set(cell.dataset.workload + ' ' + cell.dataset.technique, cell);

  const chosen = (name) => document.querySelector('input[name="' + name + '"]:checked')?.value ?? '';
  const checked = (name) => new Set(all('input[name="' + name + '"]:checked').map((input) => input.value));

  function open(row, view) {
    if (view === 'now') return row.dataset.now !== 'closed';
    return row.dataset[view] !== 'closed';
  }

  function apply() {
    const view = chosen('view') || 'now';
    root.dataset.view = view;
    const severities = checked('severity');
    const channel = document.getElementById('channel').value;
    const namespace = document.getElementById('namespace')?.value ?? '';
    const words = document.getElementById('words').value.trim().toLowerCase();
    const matrix = chosen('matrix');
    let workloads = 0;
    let total = 0;
    for (const column of all('.heat [data-matrix]')) column.hidden = matrix !== '' && column.dataset.matrix !== matrix;
    for (const workload of all('.workload')) {
      const counts = new Map();
      let shown = 0;
      const inNamespace = namespace === '' || workload.dataset.namespace === namespace;
      const named = workload.dataset.words.includes(words);
      for (const row of findings.get(workload.id)) {
        const fits =
          inNamespace &&
          severities.has(row.dataset.severity) &&
          (channel === '' || row.dataset.channel === channel) &&
          (named || row.textContent.toLowerCase().includes(words));
        row.hidden = !fits;
        if (!fits || !open(row, view)) continue;
        shown += 1;
        for (const technique of row.dataset.techniques.split(' ')) {
          const known = counts.get(technique) ?? { count: 0, worst: levels.length };
          known.count += 1;
          known.worst = Math.min(known.worst, levels.indexOf(row.dataset.severity));
          counts.set(technique, known);
        }
      }
      const any = findings.get(workload.id).some((row) => !row.hidden);
      workload.hidden = !any;
      const heat = document.getElementById('heat-' + workload.id);
      heat.hidden = !any;
      for (const cell of all('td', heat)) paint(cell, counts.get(cell.dataset.technique));
      if (any) workloads += 1;
      total += shown;
    }
    document.getElementById('shown').textContent = workloads + ' of ' + findings.size + ' workloads, ' + total + ' findings open';
  }

  function paint(cell, counted) {
    const link = cell.firstElementChild;
    cell.dataset.level = counted === undefined ? 'none' : levels[counted.worst];
    link.firstChild.textContent = counted === undefined ? '' : String(counted.count);
    link.lastChild.textContent = counted === undefined ? 'none' : ' ' + levels[counted.worst];
    link.tabIndex = counted === undefined ? -1 : 0;
  }

  function visit() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target?.matches('details')) {
      target.open = true;
      target.querySelector('summary').focus({ preventScroll: true });
      target.scrollIntoView();
    }
  }

  for (const input of all('.filters input, .filters select')) input.addEventListener('input', apply);
  addEventListener('hashchange', visit);
  document.querySelector('.heat')?.addEventListener('click', (event) => {
    const cell = event.target.closest('td');
    if (cell === null) return;
    for (const row of all('tr.hit')) row.classList.remove('hit');
    for (const row of findings.get(cell.dataset.workload)) {
      row.classList.toggle('hit', row.dataset.techniques.split(' ').includes(cell.dataset.technique));
    }
    if (location.hash === '#' + cell.dataset.workload) visit();
  });

  const theme = document.getElementById('theme');
  const themes = ['system', 'light', 'dark'];
  theme.addEventListener('click', () => {
    const next = themes[(themes.indexOf(root.dataset.theme ?? 'system') + 1) % themes.length];
    if (next === 'system') delete root.dataset.theme;
    else root.dataset.theme = next;
    theme.lastChild.textContent = next;
  });
  addEventListener('beforeprint', () => { for (const details of all('details')) details.open = true; });

  for (const control of all('.filters, #theme')) control.hidden = false;
  apply();
  visit();
})();
`;
