'use strict';
// heed compare: two runs beside each other, aligned token by token.
const {pairs} = data;
const state = {pair: data.first_divergence ?? pairs.length - 1, pinned: false};
const sides = ['A', 'B'];

document.head.append(element('style', {}, `
  .side-letter { display: inline-block; min-width: 1.7em; text-align: center; font: bold 13px/1.7 var(--mono); color: var(--page);
    background: var(--soft); border-radius: 5px; margin-right: 8px; }
  .side-line { display: flex; align-items: baseline; }
  .side-line .ribbon { flex: 1; }
  .ribbon > span.other { text-decoration: underline wavy var(--accent); text-underline-offset: 3px; }
  table.pairs { border-collapse: collapse; font: 13px var(--mono); }
  table.pairs th { font-weight: 400; color: var(--soft); text-align: left; padding: 2px 10px 4px 0; position: sticky; top: 0; background: var(--panel); }
  table.pairs td { padding: 1px 10px 1px 0; white-space: pre; border-top: 1px solid var(--line); }
  table.pairs tr { cursor: pointer; }
  table.pairs tr.chosen { background: color-mix(in srgb, var(--accent) 14%, transparent); }
  table.pairs tr.differs .token { color: var(--accent); }
  table.pairs :is(th, td):first-child { padding-left: 6px; }
  table.pairs .bar { width: 110px; }
  table.pairs .bar div { height: 11px; border-radius: 2px; background: var(--bar); min-width: 1px; }
  @media (max-width: 760px) {  /* what was said goes under the tokens, the bar under its number */
    table.pairs, table.pairs :is(thead, tbody) { display: block; }
    table.pairs thead { position: sticky; top: 0; }
    table.pairs tr { display: grid; grid-template-columns: 6ch 1fr 6.5ch 1fr 6.5ch 9.5ch; border-top: 1px solid var(--line); padding: 2px 0; }
    table.pairs :is(th, td) { border: 0; padding: 0 3px; white-space: pre-wrap; overflow-wrap: anywhere; grid-row: 1; }
    table.pairs :is(th, .number) { overflow-wrap: normal; }
    table.pairs :is(th, td):nth-child(1) { grid-column: 1; }
    table.pairs :is(th, td):nth-child(2) { grid-column: 2 / 4; }
    table.pairs :is(th, td):nth-child(3) { grid-column: 4 / 6; }
    table.pairs :is(th, td):nth-child(4) { grid-area: 2 / 2; }
    table.pairs :is(th, td):nth-child(5) { grid-area: 2 / 3; }
    table.pairs :is(th, td):nth-child(6) { grid-area: 2 / 4; }
    table.pairs :is(th, td):nth-child(7) { grid-area: 2 / 5; }
    table.pairs :is(th, td):nth-child(8) { grid-area: 1 / 6; }
    table.pairs th:nth-child(8) { grid-row: 1 / 3; }
    table.pairs .bar { grid-area: 2 / 6; width: auto; align-self: center; }
    table.pairs .remark { grid-area: 3 / 2 / 3 / -1; }
    table.pairs .remark:empty { display: none; }
  }
  .changes td { padding: 1px 10px 1px 0; }`));

// ---- Both texts ---------------------------------------------------------------------------------
const ofPosition = sides.map((_, side) => new Map(pairs.map((pair, i) => [side ? pair.b : pair.a, i])));
const texts = sides.map((letter, side) => {
  const pairOf = (position) => ofPosition[side].get(position);
  const text = ribbon(data.tokens[side], {
    onPoint: (position) => !state.pinned && pairOf(position) !== undefined && point(pairOf(position)),
    onChoose: (position) => {
      const pair = pairOf(position);
      if (pair === undefined) return;
      state.pinned = !(state.pinned && state.pair === pair);
      point(pair);
    },
  });
  text.line = element('div', {class: 'side-line'}, element('span', {class: 'side-letter'}, letter), text.box);
  text.spans.forEach((span, position) => {
    const pair = pairOf(position);
    if (pair === undefined || !pairs[pair].same) span.classList.add('other');
    if (pair === undefined) span.title = 'not in the other text';
  });
  return text;
});

// ---- The pairs ----------------------------------------------------------------------------------
const hasKl = pairs.some(({kl}) => kl !== null);
const mostKl = Math.max(1e-9, ...pairs.map(({kl}) => kl ?? 0));
const table = element('table', {class: 'pairs'});
table.append(element('thead', {}, element('tr', {}, ...['', 'A', 'B', 'A says', '', 'B says', '', 'KL(A‖B), nats', '', '']
    .map((text) => element('th', {}, text)))));
const lines = pairs.map((pair, i) => {
  const bar = element('div');
  bar.style.width = 100 * (pair.kl ?? 0) / mostKl + '%';
  const cell = (text, className) => element('td', {class: className}, text);
  const line = element('tr', {class: pair.same ? '' : 'differs', tabindex: -1},
      cell(pair.a === pair.b ? String(pair.b) : `${pair.a}/${pair.b}`, 'number'), cell(data.tokens[0][pair.a], 'token'), cell(data.tokens[1][pair.b], 'token'),
      cell(pair.top_a ? pair.top_a.token : ''), cell(pair.top_a ? probability(pair.top_a.p) : '', 'number'),
      cell(pair.top_b ? pair.top_b.token : ''), cell(pair.top_b ? probability(pair.top_b.p) : '', 'number'),
      cell(pair.kl === null ? '' : number(pair.kl), 'number'),
      element('td', {class: 'bar', title: pair.kl === null ? '' : `${pair.kl} nats`}, pair.kl === null ? '' : bar),
      cell(data.first_divergence === i ? '← first to differ' : '', 'remark'));
  line.addEventListener('mouseenter', () => !state.pinned && point(i));
  line.addEventListener('click', () => {
    state.pinned = !(state.pinned && state.pair === i);
    point(i);
  });
  line.addEventListener('focus', () => point(i));
  line.addEventListener('keydown', (event) => {
    const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (!step) return;
    event.preventDefault();
    lines[clamp(i + step, 0, pairs.length - 1)].focus();
  });
  return line;
});
table.append(element('tbody', {}, ...lines));

// ---- What changed at one pair -------------------------------------------------------------------
const changesTitle = element('h2');
const changes = element('table', {class: 'facts-table changes'});
function drawChanges() {
  const pair = pairs[state.pair];
  changesTitle.textContent = `What changed most ${data.at_or_after} ${data.tokens[1][pair.b]} (position ${pair.b})` + (state.pinned ? ', pinned' : '');
  changes.textContent = '';
  const head = changes.insertRow();
  for (const text of ['', 'A', 'B', '']) head.append(element('th', {}, text));
  for (const {token, a, b} of pair.changes) {
    const line = changes.insertRow();
    const more = b > a;
    line.append(element('td', {class: 'token'}, token), element('td', {class: 'number'}, probability(a)),
        element('td', {class: 'number'}, probability(b)),
        element('td', {class: `number ${more ? 'up' : 'down'}`}, `${more ? '▲' : '▼'} ${probability(Math.abs(b - a))}`));
  }
  if (!pair.changes.length) changes.insertRow().append(element('td', {}, 'nothing to compare'));
}
function point(pair) {
  state.pair = pair;
  lines.forEach((line, i) => {
    line.classList.toggle('chosen', i === pair);
    line.tabIndex = i === pair ? 0 : -1;
  });
  texts.forEach(({spans}, side) => spans.forEach((span, position) =>
      span.classList.toggle('query', position === (side ? pairs[pair].b : pairs[pair].a))));
  drawChanges();
}

// ---- How differently the heads look -------------------------------------------------------------
let headScale = null;
const readout = element('div', {class: 'readout', 'aria-live': 'polite'});
const divergence = data.head_divergence;
const name = (layer, head) => `layer ${layer} head ${head}`;
const grid = divergence ? cellGrid({
  rows: divergence.map((_, layer) => `layer ${layer}`), columns: divergence[0].map((_, head) => head),
  fill: (button, layer, head) => {
    const value = divergence[layer][head];
    fillValue(button, value, headScale.color(value), `${name(layer, head)}: ${value} nats`);
  },
  onPoint: (layer, head) => { readout.textContent = `${name(layer, head)}: ${divergence[layer][head].toPrecision(5)} nats`; },
  onChoose: (layer, head) => grid.choose(layer, head),
}) : null;
const strip = legend(() => headScale);

// ---- Putting it together ------------------------------------------------------------------------
byId('main').append(
    section('text', element('h2', {}, 'The texts: a wavy line marks what the other one has not'), ...texts.map(({line}) => line),
        element('p', {class: 'note'}, hasKl ? `Colours: how far apart the two predictions are ${data.at_or_after} this token.` : '')),
    element('div', {class: 'columns', style: 'margin-top: 14px'},
        section('narrow', element('h2', {}, `${data.at_or_after === 'at' ? 'At' : 'After'} each pair`), element('div', {class: 'scroller'}, table)),
        section('side', changesTitle, changes),
        section(grid ? 'narrow' : 'side', element('h2', {}, 'How differently the heads look'),
            ...grid ? [element('div', {class: 'scroll'}, grid), readout, strip]
                : [element('p', {class: 'note'}, "Not compared: the models' layers or heads differ in number.")])));
const sideName = (source) => `${source.model.name}${source.edits.length ? ` with ${source.edits.join(', ')}` : ''}`;
frame('Side by side', [`A ${sideName(data.source_a)}`, `B ${sideName(data.source)}`, count(pairs.length, 'pair')],
    data.source_a.model.digest === data.source.model.digest ? 'A is the same model.'
        : `A is ${data.source_a.model.name}, ${data.source_a.model.digest}.`);
point(state.pair);
drawn(() => {
  headScale = divergence ? scaleOf([0, ...divergence.flat()], false) : null;
  if (grid) {
    grid.fill();
    strip.draw('Jensen-Shannon divergence of the two rows, mean over the pairs, in nats: 0 is the same, 0.693 nothing in common.');
  }
  texts.forEach(({spans}, side) => spans.forEach((span, position) => {
    const pair = ofPosition[side].get(position);
    if (pair === undefined || pairs[pair].kl === null) return;
    const color = sequential(Math.sqrt(pairs[pair].kl / mostKl));
    span.style.background = css(color);
    span.style.color = inkOn(color);
  }));
});
