'use strict';
// heed attribute: a logit as the sum of what each part of the model wrote, by part, by head, and by head and source token.
const {parts, tokens} = data;
const answer = data.against ? `${data.token} less ${data.against}` : data.token;
const headParts = parts.filter(({kind}) => kind === 'head');
const layerCount = 1 + parts.reduce((most, {layer}) => Math.max(most, layer ?? -1), -1);
const headCount = 1 + headParts.reduce((most, {head}) => Math.max(most, head), -1);
const sum = (values) => values.reduce((total, value) => total + value, 0);

// Parts with each layer's heads and their bias as one.
function components() {
  const list = [];
  for (const part of parts) {
    const last = list[list.length - 1];
    const isAttention = part.kind === 'head' || part.kind === 'attention_bias';
    if (isAttention && last && last.merged && last.layer === part.layer) last.value += part.value;
    else list.push(isAttention ? {...part, merged: true, name: `layer ${part.layer} attention`} : {...part});
  }
  return list;
}
const lists = {component: components(), head: parts};
const state = {unit: data.unit, order: 'forward', head: null, source: null};

document.head.append(element('style', {}, `
  .waterfall .bar:hover, .waterfall .bar:focus { stroke: var(--accent); stroke-width: 2; }
  .tokens-box .ribbon > span { padding: 1px 3px; }`));

// ---- The waterfall ------------------------------------------------------------------------------
// Each bar begins where the one before ended; the last one is the logit.
const waterfall = svgElement('svg', {class: 'waterfall'});
const readout = element('div', {class: 'readout', 'aria-live': 'polite'});
const mostBars = 60;
function drawWaterfall() {
  waterfall.textContent = '';
  let list = [...lists[state.unit]];
  const bySize = (a, b) => Math.abs(b.value) - Math.abs(a.value);
  if (list.length > mostBars) {
    const kept = new Set([...list].sort(bySize).slice(0, mostBars));
    const rest = list.filter((part) => !kept.has(part));
    list = list.filter((part) => kept.has(part));
    list.push({name: `${rest.length} smaller parts`, value: sum(rest.map(({value}) => value)), kind: 'rest'});
  }
  if (state.order === 'size') list.sort(bySize);
  const width = clamp(waterfall.parentElement.clientWidth - 32, 300, 900);
  const [line, label, right] = width < 600 ? [20, 150, 62] : [21, 230, 76];
  const height = (list.length + 1) * line + 30;
  setAttributes(waterfall, {viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': `${answer} as a sum of parts`});
  let total = 0;
  const ends = list.map(({value}) => (total += value));
  const low = Math.min(0, ...ends);
  const high = Math.max(0, ...ends, data.logit);
  const x = (value) => label + (value - low) / (high - low || 1) * (width - label - right);
  waterfall.append(svgElement('line', {class: 'axis', x1: x(0), x2: x(0), y1: 0, y2: height - 24}));
  const row = (name, from, to, y, color, text, details) => {
    const bar = svgElement('rect', {
      class: 'bar', x: Math.min(x(from), x(to)), width: Math.max(1.5, Math.abs(x(to) - x(from))), y: y + 3, height: line - 6,
      rx: 2, fill: color, tabindex: 0,
    }, svgElement('title', {}, details));
    const show = () => { readout.textContent = details; };
    bar.addEventListener('mouseenter', show);
    bar.addEventListener('focus', show);
    waterfall.append(bar, svgElement('text', {x: label - 8, y: y + 14, 'text-anchor': 'end'}, name.length * 6.7 > label - 8 ? name.slice(0, Math.floor(label / 6.7) - 3) + '…' : name),
        svgElement('text', {class: 'soft', x: Math.max(x(from), x(to)) + 5, y: y + 14}, text));
    return bar;
  };
  list.forEach((part, i) => {
    const from = i ? ends[i - 1] : 0;
    const bar = row(part.name, from, ends[i], i * line, part.value < 0 ? 'var(--down)' : 'var(--up)', signed(part.value),
        `${part.name}: ${part.value > 0 ? '+' : ''}${part.value.toPrecision(6)}, ${ends[i].toPrecision(5)} so far`);
    if (part.kind === 'head') bar.addEventListener('click', () => chooseHead(part.layer, part.head));
    waterfall.append(svgElement('line', {class: 'axis', x1: x(ends[i]), x2: x(ends[i]), y1: i * line + 3, y2: (i + 2) * line - 3}));
  });
  row(`logit of ${answer}`, 0, data.logit, list.length * line, 'var(--bar)', number(data.logit),
      `logit of ${answer}: ${data.logit.toPrecision(7)}; what rounding leaves: ${data.residual_error.toExponential(1)}`);
  for (const value of [low, 0, high]) {
    if (value === 0 || Math.abs(x(value) - x(0)) > 40) {
      waterfall.append(svgElement('text', {class: 'soft', x: x(value), y: height - 6, 'text-anchor': 'middle'}, number(value)));
    }
  }
}

// ---- Layers by heads ----------------------------------------------------------------------------
const partOf = (layer, head) => headParts.find((part) => part.layer === layer && part.head === head);
const headTable = Array.from({length: layerCount}, (_, layer) => Array.from({length: headCount}, (_, head) => partOf(layer, head)));
let headScale = null;
const grid = cellGrid({
  rows: headTable.map((_, layer) => `layer ${layer}`), columns: Array.from({length: headCount}, (_, head) => head),
  fill: (button, layer, head) => {
    const part = headTable[layer][head];
    fillValue(button, part ? part.value : null, part ? headScale.color(part.value) : null, `layer ${layer} head ${head}: ${part ? signed(part.value) : 'none'}`);
  },
  onPoint: (layer, head) => {
    const part = headTable[layer][head];
    if (part) readout.textContent = `layer ${layer} head ${head}: ${part.value.toPrecision(6)}`;
  },
  onChoose: chooseHead,
});
const headStrip = legend(() => headScale, '');

// ---- Heads by source token ----------------------------------------------------------------------
const hasSources = headParts.some(({by_source}) => by_source);
const sourceHeads = headParts.filter(({by_source}) => by_source);
let sourceScale = null;
const sourceReadout = element('div', {class: 'readout', 'aria-live': 'polite'});
const sourceMap = hasSources ? new HeatMap({
  rows: sourceHeads.map(({layer, head}) => `${layer}.${head}`), columns: tokens.map((token, i) => `${token} ${i}`),
  label: 'Contribution of each head by source token',
  value: (row, column) => sourceHeads[row].by_source[column], color: (value) => sourceScale.color(value),
  text: compact,
  strongest: (row) => largestAt(sourceHeads[row].by_source.map(Math.abs)),
  onPoint: (row, column) => {
    sourceMap.point(row, column);
    if (column === null) return;
    const {layer, head, by_source} = sourceHeads[row];
    sourceReadout.textContent = `layer ${layer} head ${head} reading ${tokens[column]} ${column}: ${by_source[column].toPrecision(5)}`;
  },
  onChoose: (row) => chooseHead(sourceHeads[row].layer, sourceHeads[row].head),
}) : null;
const sourceTitle = element('h2');
const sourceText = ribbon(tokens);
const allSources = tokens.map((_, i) => sum(sourceHeads.map(({by_source}) => by_source[i])));
function drawSources() {
  if (!hasSources) return;
  const part = state.head;
  const values = part && part.by_source ? part.by_source : allSources;
  sourceTitle.textContent = `By the token that was read, through ${part ? part.name : 'all heads'}`;
  const scale = scaleOf(values, true);
  sourceText.spans.forEach((span, i) => {
    const color = scale.color(values[i]);
    span.style.background = css(color);
    span.style.color = inkOn(color);
    span.title = `${tokens[i]} (position ${i}): ${values[i].toPrecision(5)}`;
    span.classList.toggle('query', i === data.position);
  });
  const order = values.map((_, i) => i).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a])).slice(0, 12);
  drawBars(sourceBars, order.map((i) => ({
    place: i, name: tokens[i], value: values[i], text: signed(values[i]), color: values[i] < 0 ? 'var(--down)' : 'var(--up)',
  })));
}
const sourceBars = element('table');
function chooseHead(layer, head) {
  const part = headTable[layer][head];
  if (!part) return;
  state.head = state.head === part ? null : part;
  grid.choose(layer, state.head ? head : -1);
  readout.textContent = `layer ${layer} head ${head}: ${part.value.toPrecision(6)}`;
  drawSources();
}

// ---- Putting it together ------------------------------------------------------------------------
const units = tabs([['component', 'by layer'], ['head', 'by head']], (unit) => { state.unit = unit; drawWaterfall(); });
const orders = tabs([['forward', 'in the order of the model'], ['size', 'largest first']], (order) => { state.order = order; drawWaterfall(); });
units.choose(state.unit);
orders.choose('forward');
byId('main').append(section('', element('h2', {}, `The logit of ${answer} ${data.at_or_after} ${tokens[data.position]} (position ${data.position}) is ` +
    `${number(data.logit)}, the sum of`), element('div', {class: 'controls'}, headCount ? units : '', orders), waterfall, readout));
if (headCount) {
  byId('main').append(element('div', {class: 'columns', style: 'margin-top: 14px'},
      section('narrow', element('h2', {}, 'Every head'), element('div', {class: 'scroll'}, grid), headStrip,
          element('p', {class: 'note'}, 'Click a head to see what it read.')),
      hasSources ? section('wide tokens-box', sourceTitle, sourceText.box, element('div', {style: 'margin-top: 10px; max-width: 560px'}, sourceBars)) : ''));
}
if (hasSources) {
  byId('main').append(section('', element('h2', {}, 'Every head by the token that it read'),
      element('div', {class: 'controls'}, sourceMap.zoomLabel), sourceMap.scroller, sourceReadout));
}
frame('Where a logit comes from', [data.source.model.name, count(tokens.length, 'token'), data.dropped],
    `What rounding leaves: ${data.residual_error.toExponential(1)}${data.before_cap ? ', before the model caps its logits' : ''}.`);
let fittedOnce = false;
drawn(() => {
  headScale = scaleOf(headParts.map(({value}) => value), true);
  sourceScale = hasSources ? scaleOf(sourceHeads.flatMap(({by_source}) => by_source), true) : null;
  drawWaterfall();
  if (headCount) {
    grid.fill();
    headStrip.draw('blue speaks against it, orange for it');
  }
  if (sourceMap && !fittedOnce) sourceMap.fit(34);
  else if (sourceMap) sourceMap.draw();
  fittedOnce = true;
  drawSources();
});
window.addEventListener('resize', drawWaterfall);
