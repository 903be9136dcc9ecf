'use strict';
// heed intervene: a prediction without an edit, and with each of several.
const {metrics, base, results} = data;
const runs = [base, ...results];
const state = {run: Math.min(1, results.length), pinned: false};

document.head.append(element('style', {}, `
  table.edits { border-collapse: collapse; font: 13px var(--mono); }
  table.edits th { font-weight: 400; color: var(--soft); text-align: left; padding: 2px 14px 4px 0; vertical-align: bottom; position: sticky; top: 0; background: var(--panel); }
  table.edits td { padding: 3px 14px 3px 0; border-top: 1px solid var(--line); vertical-align: top; white-space: pre; }
  table.edits .name { white-space: pre-wrap; overflow-wrap: break-word; min-width: 20ch; max-width: 34ch; padding-left: 6px; }
  table.edits tr { cursor: pointer; }
  table.edits tr.chosen { background: color-mix(in srgb, var(--accent) 14%, transparent); }
  table.edits .bar { width: 96px; height: 6px; margin-top: 3px; position: relative; background: linear-gradient(var(--line), var(--line)) center / 1px 100% no-repeat; }
  table.edits .bar div { position: absolute; height: 6px; border-radius: 2px; min-width: 1px; }
  @media (max-width: 760px) { table.edits .name { min-width: 13ch; max-width: 20ch; overflow-wrap: anywhere; } }`));

// ---- Numbers ------------------------------------------------------------------------------------
const texts = {probability, rank: (value) => String(value)};
const textOf = (metric, value) => (texts[metric.kind] ?? ((v) => v.toFixed(4)))(value);
// A distance from the base begins at 0: it is its own change.
const isDistance = (metric) => metric.kind === 'kl';
// Metrics of one kind share a scale, so that words can be compared.
const mostOf = {};
for (const run of results) {
  run.changes.forEach((change, i) => {
    const {kind} = metrics[i];
    mostOf[kind] = Math.max(mostOf[kind] ?? 0, Math.abs(change));
  });
}

// ---- The table ----------------------------------------------------------------------------------
function changeBar(metric, change) {
  const bar = element('div');
  const share = 50 * Math.abs(change) / (mostOf[metric.kind] || 1);
  Object.assign(bar.style, {width: `${share}%`, left: `${change < 0 ? 50 - share : 50}%`, background: change < 0 ? 'var(--down)' : 'var(--up)'});
  return element('div', {class: 'bar'}, change === 0 ? null : bar);
}
function metricCell(run, i) {
  const [metric, value, change] = [metrics[i], run.values[i], run.changes[i]];
  if (value === undefined) return element('td');
  if (run === base) return element('td', {}, isDistance(metric) ? '' : textOf(metric, value));
  const sign = change > 0 ? 'up' : 'down';
  const moved = isDistance(metric) || change === 0 ? null
      : element('span', {class: sign}, ` ${change > 0 ? '▲' : '▼'} ${textOf(metric, Math.abs(change))}`);
  return element('td', {title: `${metric.name}: ${value}`}, textOf(metric, value), moved, changeBar(metric, change));
}
const saysText = ({candidates}) => candidates.length ? candidates[0].token : '';
// Below the table, where there is room for a sentence.
const remarkOf = (run) => run.problem || (run.counterfactual ? 'rows saw what the model never shows them, a counterfactual.' : '');
const remarks = results.filter(remarkOf).map((run) => element('p', {class: 'note', style: 'margin-top: 8px'}, `${run.name}: ${remarkOf(run)}`));
const hasWords = runs.some(({candidates}) => candidates.length);
const table = element('table', {class: 'edits'});
table.append(element('thead', {}, element('tr', {}, element('th', {class: 'name'}, 'edit'), ...metrics.map(({name}) => element('th', {}, name)),
    hasWords ? element('th', {}, 'now says') : null)));
const lines = runs.map((run, i) => {
  const line = element('tr', {tabindex: -1}, element('td', {class: 'name'}, run.name), ...metrics.map((_, metric) => metricCell(run, metric)));
  if (hasWords) line.append(element('td', {}, saysText(run)));
  line.addEventListener('mouseenter', () => !state.pinned && point(i));
  line.addEventListener('focus', () => point(i));
  line.addEventListener('click', () => {
    state.pinned = !(state.pinned && state.run === i);
    point(i);
  });
  line.addEventListener('keydown', (event) => {
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    lines[clamp(i + step, 0, runs.length - 1)].focus();
  });
  return line;
});
table.append(element('tbody', {}, ...lines));

// ---- The most probable words of one run, beside the base's --------------------------------------
const chosenTitle = element('h2');
const chosenBars = element('table');
const baseBars = element('table');
const baseTitle = data.source.edit_count ? 'Says the base with its edits' : 'Says without an edit';
// Bars of both are as long for the same probability.
const mostProbable = Math.max(0, ...runs.flatMap(({candidates}) => candidates.map(({p}) => p)));
function drawWords(bars, {candidates}) {
  drawBars(bars, candidates.map(({token, p}) => ({name: token, value: p, text: probability(p)})));
  candidates.forEach(({p}, i) => { bars.rows[i].querySelector('.bar div').style.width = `${100 * p / (mostProbable || 1)}%`; });
  if (!candidates.length) bars.insertRow().append(element('td', {}, 'nothing to show'));
}
function point(run) {
  state.run = run;
  lines.forEach((line, i) => {
    line.classList.toggle('chosen', i === run);
    line.tabIndex = i === run ? 0 : -1;
  });
  chosenTitle.textContent = runs[run] === base ? baseTitle : `Says with ${runs[run].name}${state.pinned ? ', pinned' : ''}`;
  drawWords(chosenBars, runs[run]);
}

// ---- Putting it together ------------------------------------------------------------------------
const text = ribbon(data.tokens);
if (data.position !== null) text.spans[data.position].classList.add('query');
const place = data.position === null ? '' : `: read ${data.at_or_after} ${data.tokens[data.position]} (position ${data.position})`;
byId('main').append(
    section('text', element('h2', {}, `The text${place}`), text.box),
    element('div', {class: 'columns', style: 'margin-top: 14px'},
        section('wide', element('h2', {}, 'Without an edit, and with each'), element('div', {class: 'scroller'}, table),
            element('p', {class: 'note', style: 'margin-top: 8px'},
                'Bars are changes from the base: blue to the left is less, orange to the right more; metrics of one kind share a scale.'), ...remarks),
        hasWords ? section('side', chosenTitle, chosenBars, element('h2', {style: 'margin-top: 14px'}, baseTitle), baseBars) : ''));
frame('What each edit does', [data.source.model && data.source.model.name, count(data.tokens.length, 'token'),
  count(results.length, 'edit'), data.dropped], 'Point at an edit for its words, click to keep it; the arrow keys move.');
drawWords(baseBars, base);
point(state.run);
