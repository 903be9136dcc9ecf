'use strict';
// heed attention: all heads as thumbnails, one head as a matrix, several as lines between the tokens.

// ---- Weights: [layers, heads, queries, visible keys] --------------------------------------------
const keyCount = data.tokens.length;
const rowOfQuery = new Map(data.queries.map((query, row) => [query, row]));
const visibleKeys = (query) => data.causal ? query + 1 : keyCount;
const rowStart = [];
let headSize = 0;
for (const query of data.queries) {
  rowStart.push(headSize);
  headSize += visibleKeys(query);
}
const exact = data.weights_f32_base64 !== undefined;
const packed = exact ? f32Of(data.weights_f32_base64) : u16Of(data.weights_u16_base64);
const unit = exact ? 1 : 65535;
const rowBegin = (layer, head, row) => (layer * data.heads.length + head) * headSize + rowStart[row];
function weightsOf(layer, head, row) {
  const begin = rowBegin(layer, head, row);
  return Array.from(packed.subarray(begin, begin + visibleKeys(data.queries[row])), (value) => value / unit);
}
const weightAt = (layer, head, row, key) => key < visibleKeys(data.queries[row])
    ? packed[rowBegin(layer, head, row) + key] / unit : NaN;
const precise = (weight) => exact ? weight.toFixed(6) : weight.toFixed(4);
const label = (position) => `${data.tokens[position]} ${position}`;

// ---- State --------------------------------------------------------------------------------------
const state = {
  layer: data.first.layer, head: data.first.head,
  row: data.queries.length - 1, key: null, pinned: false,
  view: 'matrix', scale: 'root', skipFirst: false,
  lineHeads: new Set([data.first.head]), least: 0.05, focus: null,
};
function shade(weight, rowMax) {
  if (state.scale === 'root') return sequential(Math.sqrt(weight));
  return sequential(state.scale === 'row' ? (rowMax > 0 ? weight / rowMax : 0) : weight);
}
function rowMaxOf(weights) {
  let largest = 0;
  for (let i = state.skipFirst ? 1 : 0; i < weights.length; ++i) largest = Math.max(largest, weights[i]);
  return largest;
}
const colored = (weights, key, rowMax) => state.skipFirst && key === 0 ? sequential(0) : shade(weights[key], rowMax);

// ---- The parts of the page ----------------------------------------------------------------------
const text = ribbon(data.tokens, {
  onPoint: (position) => !state.pinned && chooseRow(position),
  onChoose: (position) => {
    state.pinned = !(state.pinned && data.queries[state.row] === position);
    chooseRow(position);
  },
});
text.box.addEventListener('keydown', (event) => {
  const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!step) return;
  event.preventDefault();
  chooseRow(data.queries[clamp(state.row + step, 0, data.queries.length - 1)]);
});
const textTitle = element('h2');
// In pixels; shown no larger than a window of any width has room for.
const thumbSize = clamp(Math.floor(300 / data.heads.length), 16, 72);
const thumbSide = `clamp(16px, (100vw - ${120 + 8 * data.heads.length}px) / ${data.heads.length}, ${thumbSize}px)`;
const heads = cellGrid({
  rows: data.layers.map((layer) => `layer ${layer}`), columns: data.heads, fill: drawThumb, onChoose: chooseHead,
});
const mapTitle = element('h2');
const reason = element('p', {class: 'note'});
const views = tabs([['matrix', 'matrix'], ['lines', 'lines']], chooseView);
const scaleChoice = element('select', {'aria-label': 'colours'}, option('root', 'square root'), option('linear', 'linear'),
    option('row', "relative to the row's largest"));
const skipFirst = element('input', {type: 'checkbox'});
let current = [];  // the weights of the row that is being drawn
let currentRow = -1;
function rowWeights(row) {
  if (row !== currentRow) {
    currentRow = row;
    current = weightsOf(state.layer, state.head, row);
    current.rowMax = rowMaxOf(current);
  }
  return current;
}
const map = new HeatMap({
  rows: data.queries.map(label), columns: data.tokens.map((_, key) => label(key)), label: 'Attention weights of one head',
  value: (row, key) => key < visibleKeys(data.queries[row]) ? rowWeights(row)[key] : NaN,
  color: (weight, row, key) => colored(rowWeights(row), key, rowWeights(row).rowMax),
  strongest: (row) => rowWeights(row).rowMax > 0 ? rowWeights(row).indexOf(rowWeights(row).rowMax) : -1,
  onPoint: (row, key, byKeys) => {
    if (!state.pinned || byKeys) state.row = row;
    state.key = key;
    drawPointed();
  },
  onChoose: (row) => {
    state.pinned = !(state.pinned && state.row === row);
    state.row = row;
    drawPointed();
  },
});
const readout = element('div', {class: 'readout', 'aria-live': 'polite'});
const key = legend(() => ({low: 0, high: 1, color: (w) => shade(w, 1), highText: state.scale === 'row' ? "the row's largest" : '1'}));
const matrixView = element('div', {}, element('div', {class: 'controls'}, map.zoomLabel), map.scroller);
const linesView = element('div', {hidden: ''});
const rowTitle = element('h2');
const bars = element('table');
const rowNote = element('p', {class: 'note'});
const readersTitle = element('h2');
const readers = element('table');
byId('main').append(
    section('text', textTitle, text.box),
    element('div', {class: 'columns', style: 'margin-top: 14px'},
        section('narrow', element('h2', {}, 'All heads'), element('div', {class: 'scroll'}, heads),
            element('p', {class: 'note'}, 'Click a head to enlarge it;', element('br'), 'the arrow keys go to its neighbours.')),
        section('wide', mapTitle, reason,
            element('div', {class: 'controls'}, views, element('label', {}, 'colours ', scaleChoice),
                element('label', {}, skipFirst, ' leave out the first token')),
            matrixView, linesView, readout, key),
        section('side', rowTitle, bars, rowNote, readersTitle, readers)));

// ---- The grid of heads --------------------------------------------------------------------------
// Each pixel shows the largest weight that falls on it, so that single strong cells do not vanish.
function drawThumb(button, l, h) {
  const across = Math.min(thumbSize, keyCount);
  const down = Math.min(thumbSize, data.queries.length);
  const largest = new Float32Array(across * down).fill(-1);
  data.queries.forEach((query, row) => {
    const begin = rowBegin(l, h, row);
    const y = Math.floor(row * down / data.queries.length);
    const visible = visibleKeys(query);
    const rowMax = state.scale === 'row' ? rowMaxOf(weightsOf(l, h, row)) || 1 : 1;
    for (let key = state.skipFirst ? 1 : 0; key < visible; ++key) {
      const at = y * across + Math.floor(key * across / keyCount);
      const value = packed[begin + key] / unit / rowMax;
      if (value > largest[at]) largest[at] = value;
    }
  });
  let canvas = button.firstChild;
  if (!canvas) {
    canvas = element('canvas', {width: across, height: down});
    canvas.style.width = canvas.style.height = thumbSide;
    button.append(canvas);
    const last = weightsOf(l, h, data.queries.length - 1);
    const strongest = largestAt(last);
    button.title = `layer ${data.layers[l]} head ${data.heads[h]}: the last row reads ${short(last[strongest])} from ` +
        `${label(strongest)}, entropy ${entropyNats(last).toFixed(2)} nats`;
    button.setAttribute('aria-label', button.title);
  }
  const context = canvas.getContext('2d');
  const image = context.createImageData(across, down);
  largest.forEach((value, i) => image.data.set([...(value < 0 ? sequential(0) : shade(value, 1)), 255], 4 * i));
  context.putImageData(image, 0, 0);
}

// ---- Lines --------------------------------------------------------------------------------------
// Queries on the left, keys on the right, a line for each weight, a colour for each head. The canvas is as large as what is
// in view, so that any number of tokens can be scrolled through.
const lineHeight = 20;
const linesCanvas = element('canvas', {tabindex: 0, role: 'application',
  'aria-label': 'Lines from queries to keys; up and down move, left and right change sides, escape shows all'});
Object.assign(linesCanvas.style, {position: 'sticky', top: '0', display: 'block', cursor: 'pointer'});
const linesScroller = element('div', {class: 'scroller'}, element('div', {style: `height: ${keyCount * lineHeight}px`}, linesCanvas));
const headButtons = element('span', {class: 'tabs'});
const layerChoice = element('select', {'aria-label': 'layer'}, ...data.layers.map((layer, l) => option(l, `layer ${layer}`)));
const least = element('input', {type: 'range', min: 0, max: 0.5, step: 0.01, value: state.least, 'aria-label': 'smallest weight drawn'});
const leastText = element('span', {class: 'number'});
data.heads.forEach((head, h) => headButtons.append(element('button', {
  type: 'button', title: `head ${head}: click to show or hide, double click to show it alone`,
  onclick: () => {
    if (!state.lineHeads.delete(h)) state.lineHeads.add(h);
    drawLines();
  },
  ondblclick: () => chooseHead(state.layer, h),
}, String(head))));
linesView.append(
    element('div', {class: 'controls'}, layerChoice, element('span', {}, 'heads'), headButtons,
        element('button', {type: 'button', onclick: () => showHeads(data.heads.map((_, h) => h))}, 'all'),
        element('button', {type: 'button', onclick: () => showHeads([state.head])}, 'one'),
        element('label', {}, 'hide below ', least, leastText)),
    linesScroller);
function showHeads(chosen) {
  state.lineHeads = new Set(chosen);
  drawLines();
}
let lineEdges = {left: 0, right: 0};
function drawLines() {
  if (state.view !== 'lines') return;
  [...headButtons.children].forEach((button, h) => {
    button.setAttribute('aria-pressed', state.lineHeads.has(h));
    button.style.borderColor = button.style.color = '';
    if (state.lineHeads.has(h)) button.style.borderColor = button.style.color = headColor(h, data.heads.length);
  });
  layerChoice.value = state.layer;
  leastText.textContent = state.least.toFixed(2);
  const width = Math.min(linesScroller.clientWidth, 760);
  const height = Math.min(linesScroller.clientHeight || 600, keyCount * lineHeight);
  const context = sized(linesCanvas, width, height);
  const above = linesScroller.scrollTop;
  context.font = `13px ${style('--mono')}`;
  context.textBaseline = 'middle';
  const widest = data.tokens.reduce((most, _, i) => Math.max(most, context.measureText(label(i)).width), 0);
  const room = Math.ceil(Math.min(widest + 12, width * 0.36));
  lineEdges = {left: room, right: width - room};
  const middle = (position) => (position + 0.5) * lineHeight - above;
  const {focus} = state;
  const shown = {drawn: 0, all: 0};
  const marks = new Map();  // the other side of the token that is pointed at: position to its weights
  for (const h of state.lineHeads) {
    context.strokeStyle = headColor(h, data.heads.length);
    data.queries.forEach((query, row) => {
      if (focus && focus.side === 'query' && focus.position !== query) return;
      const begin = rowBegin(state.layer, h, row);
      const y = middle(query);
      for (let k = state.skipFirst ? 1 : 0; k < visibleKeys(query); ++k) {
        if (focus && focus.side === 'key' && focus.position !== k) continue;
        const weight = packed[begin + k] / unit;
        ++shown.all;
        if (focus) {
          const other = focus.side === 'query' ? k : query;
          if (!marks.has(other)) marks.set(other, []);
          marks.get(other).push([h, weight]);
        }
        if (weight < (focus ? Math.min(state.least, 0.005) : state.least) || weight === 0) continue;
        ++shown.drawn;
        const to = middle(k);
        if ((y < 0 && to < 0) || (y > height && to > height)) continue;
        context.globalAlpha = clamp(state.scale === 'linear' ? weight : Math.sqrt(weight), 0.04, 1);
        context.lineWidth = 0.75 + 2.25 * weight;
        context.beginPath();
        context.moveTo(lineEdges.left, y);
        context.lineTo(lineEdges.right, to);
        context.stroke();
      }
    });
  }
  context.globalAlpha = 1;
  const [ink, accent, soft] = [style('--ink'), style('--accent'), style('--soft')];
  const first = Math.max(0, Math.floor(above / lineHeight));
  const last = Math.min(keyCount - 1, Math.ceil((above + height) / lineHeight));
  for (let position = first; position <= last; ++position) {
    for (const side of ['query', 'key']) {
      if (side === 'query' && !rowOfQuery.has(position)) continue;
      const isFocus = focus && focus.side === side && focus.position === position;
      const weights = focus && focus.side !== side ? marks.get(position) || [] : [];
      const x = side === 'query' ? 0 : lineEdges.right;
      weights.forEach(([h, weight], i) => {
        context.globalAlpha = Math.sqrt(weight) * 0.45;
        context.fillStyle = headColor(h, data.heads.length);
        context.fillRect(x + i * room / weights.length, position * lineHeight - above + 1, room / weights.length, lineHeight - 2);
      });
      context.globalAlpha = 1;
      context.fillStyle = isFocus ? accent : focus && focus.side !== side && !weights.length ? soft : ink;
      context.font = `${isFocus ? 'bold ' : ''}13px ${style('--mono')}`;
      context.textAlign = side === 'query' ? 'right' : 'left';
      context.fillText(fitted(context, label(position), room - 8), side === 'query' ? lineEdges.left - 5 : lineEdges.right + 5,
          middle(position));
    }
  }
  linesReadout(shown, marks);
}
function linesReadout(shown, marks) {
  const {focus} = state;
  const headNames = [...state.lineHeads].sort((a, b) => a - b).map((h) => data.heads[h]).join(', ');
  if (!state.lineHeads.size) {
    readout.textContent = 'No head chosen.';
  } else if (!focus) {
    readout.textContent = `${shown.drawn} of ${shown.all} weights of head ${headNames} drawn; ` +
        'point at a token to see its lines alone, click to keep them';
  } else {
    const strongest = [...marks].flatMap(([position, weights]) => weights.map(([h, weight]) => ({position, h, weight})))
        .sort((a, b) => b.weight - a.weight).slice(0, 3).filter(({weight}) => weight > 0)
        .map(({position, h, weight}) => `${label(position)} ${precise(weight)}${state.lineHeads.size > 1 ? ` (head ${data.heads[h]})` : ''}`);
    readout.textContent = `${focus.side} ${label(focus.position)} ${focus.side === 'query' ? 'reads from' : 'is read by'} ` +
        (strongest.join(', ') || 'nothing');
  }
}
function focusLines(focus) {
  state.focus = focus;
  if (focus && focus.side === 'query' && rowOfQuery.has(focus.position)) {
    state.row = rowOfQuery.get(focus.position);
    state.key = null;
  } else if (focus && focus.side === 'key') {
    state.key = focus.position;
  }
  drawRibbon();
  drawRow();
  drawLines();
}
function underLines(event) {
  const box = linesCanvas.getBoundingClientRect();
  const x = event.clientX - box.left;
  const position = Math.floor((event.clientY - box.top + linesScroller.scrollTop) / lineHeight);
  if (position < 0 || position >= keyCount) return null;
  if (x <= lineEdges.left) return rowOfQuery.has(position) ? {side: 'query', position} : null;
  return x >= lineEdges.right ? {side: 'key', position} : null;
}
const sameFocus = (a, b) => a === b || (a && b && a.side === b.side && a.position === b.position);
linesCanvas.addEventListener('mousemove', (event) => {
  const at = underLines(event);
  if (!state.pinned && !sameFocus(at, state.focus)) focusLines(at);
});
linesCanvas.addEventListener('mouseleave', () => !state.pinned && focusLines(null));
linesCanvas.addEventListener('click', (event) => {
  const at = underLines(event);
  state.pinned = Boolean(at) && !(state.pinned && sameFocus(at, state.focus));
  focusLines(at);
});
linesCanvas.addEventListener('keydown', (event) => {
  const focus = state.focus || {side: 'query', position: data.queries[state.row]};
  const step = {ArrowUp: -1, ArrowDown: 1}[event.key];
  if (step) {
    const positions = focus.side === 'query' ? data.queries : data.tokens.map((_, i) => i);
    const at = clamp(positions.indexOf(focus.position) + (state.focus ? step : 0), 0, positions.length - 1);
    focusLines({side: focus.side, position: positions[at]});
    linesScroller.scrollTop = clamp(linesScroller.scrollTop, (positions[at] + 1) * lineHeight - linesScroller.clientHeight,
        positions[at] * lineHeight);
  } else if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
    const side = event.key === 'ArrowLeft' ? 'query' : 'key';
    if (side === 'key' || rowOfQuery.has(focus.position)) focusLines({side, position: focus.position});
  } else if (event.key === 'Escape') {
    state.pinned = false;
    focusLines(null);
  } else {
    return;
  }
  event.preventDefault();
});
linesScroller.addEventListener('scroll', drawLines);
layerChoice.addEventListener('change', () => chooseHead(Number(layerChoice.value), state.head, true));
least.addEventListener('input', () => { state.least = Number(least.value); drawLines(); });
window.addEventListener('resize', drawLines);

// ---- The text, coloured by the row of the query -------------------------------------------------
function drawRibbon() {
  const query = data.queries[state.row];
  const weights = weightsOf(state.layer, state.head, state.row);
  const rowMax = rowMaxOf(weights);
  text.spans.forEach((span, position) => {
    const seen = position < weights.length;
    const color = seen ? colored(weights, position, rowMax) : null;
    span.style.background = seen ? css(color) : 'none';
    span.style.color = seen ? inkOn(color) : 'inherit';
    span.classList.toggle('query', position === query);
    span.classList.toggle('hidden', !seen);
    span.title = `position ${position}: ` + (seen ? `weight ${precise(weights[position])}` : 'not seen');
  });
  textTitle.textContent = `The text, as ${label(query)} reads it` +
      (state.pinned ? ' (pinned: click it again to let go)' : ': hover a token for its row, click to pin it');
}

// ---- One row, and one column, in numbers --------------------------------------------------------
const listed = 15;
function drawRow() {
  const weights = weightsOf(state.layer, state.head, state.row);
  const rowMax = rowMaxOf(weights);
  rowTitle.textContent = `Row of ${label(data.queries[state.row])}: it reads from`;
  const order = weights.map((_, key) => key).sort((a, b) => weights[b] - weights[a] || a - b).slice(0, listed);
  drawBars(bars, order.map((key) => ({
    place: key, name: data.tokens[key], value: weights[key], text: weights[key].toFixed(3), color: css(colored(weights, key, rowMax)),
  })));
  const rest = weights.length - order.length;
  const shown = order.reduce((sum, key) => sum + weights[key], 0);
  rowNote.textContent = (rest > 0 ? `${rest} more with ${Math.max(0, 1 - shown).toFixed(3)} in all. ` : '') +
      `Entropy ${entropyNats(weights).toFixed(2)} of at most ${Math.log(weights.length).toFixed(2)} nats.`;
  drawReaders();
}
// Who reads from the key that is pointed at.
function drawReaders() {
  const known = state.key !== null;
  readersTitle.hidden = readers.hidden = !known;
  if (!known) return;
  const readersOf = data.queries.map((query, row) => ({query, weight: weightAt(state.layer, state.head, row, state.key)}))
      .filter(({weight}) => weight > 0.0005).sort((a, b) => b.weight - a.weight).slice(0, 8);
  readersTitle.textContent = `${label(state.key)} is read by` + (readersOf.length ? '' : ' nobody');
  drawBars(readers, readersOf.map(({query, weight}) => ({
    place: query, name: data.tokens[query], value: weight, text: weight.toFixed(3), color: css(shade(weight, 1)),
  })));
}
function drawReadout() {
  if (state.view === 'lines') return;
  const weights = weightsOf(state.layer, state.head, state.row);
  const query = data.queries[state.row];
  const key = state.key === null ? largestAt(weights) : state.key;
  readout.textContent = `query ${label(query)} reads ` + (key < weights.length
      ? `${precise(weights[key])} from key ${label(key)}${state.key === null ? ', its strongest' : ''}`
      : `nothing from key ${label(key)}: it comes later`);
}

// ---- Putting it together ------------------------------------------------------------------------
const explanation = 'Attention weight after softmax: the share that the query (row) reads from the key (column); each row ' +
    'sums to 1, the strongest cell of a row is framed. ' +
    (data.causal ? 'A query sees itself and earlier tokens. ' : 'A query sees all tokens. ') +
    'Weights say where a head read from, not what the answer depended on.';
function drawPointed() {
  if (state.view === 'matrix') map.point(state.row, state.key);
  drawReadout();
  drawRibbon();
  drawRow();
  drawLines();
}
function drawHead() {
  currentRow = -1;
  mapTitle.textContent = `Layer ${data.layers[state.layer]}, head ${data.heads[state.head]}`;
  const isFirst = state.layer === data.first.layer && state.head === data.first.head;
  reason.textContent = isFirst && data.first.reason ? `Shown first because ${data.first.reason}.` : '';
  heads.choose(state.layer, state.head);
  if (state.view === 'matrix') map.draw();
  drawPointed();
}
function drawAll() {
  heads.fill();
  key.draw(explanation);
  drawHead();
}
function chooseHead(layer, head, keepHeads = false) {
  state.layer = layer;
  state.head = head;
  if (!keepHeads) state.lineHeads = new Set([head]);
  drawHead();
}
function chooseRow(position) {
  if (!rowOfQuery.has(position)) return;
  state.row = rowOfQuery.get(position);
  state.key = null;
  if (state.view === 'lines') state.focus = {side: 'query', position};
  drawPointed();
}
function chooseView(view) {
  state.view = view;
  views.choose(view);
  matrixView.hidden = view !== 'matrix';
  linesView.hidden = view !== 'lines';
  state.focus = state.pinned ? {side: 'query', position: data.queries[state.row]} : null;
  drawHead();
}
scaleChoice.addEventListener('change', () => { state.scale = scaleChoice.value; drawAll(); });
skipFirst.addEventListener('change', () => { state.skipFirst = skipFirst.checked; drawAll(); });
frame('What the model looked at', [data.source.model.name, count(keyCount, 'token'),
  `${count(data.layers.length, 'layer')} × ${count(data.heads.length, 'head')}`, data.dropped],
    exact ? 'The weights are exact.' : 'Weights rounded to 1/65535 here, exact with --output.');
views.choose('matrix');
map.fit();
const lastSpan = text.spans[data.queries[state.row]];
text.box.scrollTop = lastSpan.offsetTop - text.box.clientHeight + lastSpan.offsetHeight;
drawn(drawAll);
