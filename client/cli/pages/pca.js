'use strict';
// heed activations --form=pca: the words of a run in the plane of the directions in which their vectors differ most.
const {layers, positions} = data;
const names = positions.map((position) => data.tokens[position]);
const state = {layer: layers.length - 1, word: null, axes: [0, 1]};
const layerNow = () => layers[state.layer];
const share = (component) => layerNow().explained[component] ?? 0;
const componentCount = layers[0].points[0].length;
// Of one component alone, everything lies on a line.
const coordinate = (row, which) => layerNow().points[row][state.axes[which]] ?? 0;
const wordName = (row) => `${names[row]} ${positions[row]}`;
const wordColor = (row) => headColor(row, names.length);

// ---- The plane ----------------------------------------------------------------------------------
const title = element('h2');
const plane = svgElement('svg', {role: 'img', 'aria-label': 'The words as points'});
const planeBox = element('div', {}, plane);
const readout = element('div', {class: 'readout', 'aria-live': 'polite'});
const choice = tabs(layers.map((layer, i) => [i, layer.name]), (i) => { state.layer = Number(i); draw(); });
const axisText = (component) => `component ${component} (${(100 * share(component)).toFixed(0)} % of the variance)`;
const selects = [0, 1].map((which) => {
  const select = element('select', {'aria-label': which ? 'vertical' : 'horizontal'});
  for (let i = 0; i < componentCount; ++i) select.append(option(i, `component ${i}`));
  select.value = which;
  select.addEventListener('change', () => { state.axes[which] = Number(select.value); draw(); });
  return select;
});
const edge = 46;
const letter = 7.3;  // the width of a letter of a name

// Both axes on one scale, so that distances in the picture are distances in the plane.
function layout() {
  const ends = [0, 1].map((which) => scaleOf(names.map((_, row) => coordinate(row, which)), false));
  const spans = ends.map(({low, high}) => high - low);
  const width = clamp(planeBox.clientWidth || 640, 300, 1100);
  const room = width - edge - 110;
  const height = clamp(room * (spans[1] / (spans[0] || spans[1] || 1)), 160, 560) + edge + 30;
  const scale = Math.min(...[room, height - edge - 30].map((size, which) => spans[which] > 0 ? size / spans[which] : Infinity));
  const steps = Number.isFinite(scale) ? scale : 1;
  const middles = ends.map(({low, high}) => (low + high) / 2);
  return {
    ends, width, height,
    x: (value) => edge + 16 + room / 2 + (value - middles[0]) * steps,
    y: (value) => 20 + (height - edge - 30) / 2 - (value - middles[1]) * steps,
  };
}
// Names beside their points where there is room for them; the pointed one always.
function placeNames(points) {
  const taken = points.map(({x, y}) => ({x0: x - 6, x1: x + 6, y0: y - 6, y1: y + 6}));
  const free = (box) => box.x0 > edge && taken.every((other) => box.x1 <= other.x0 || box.x0 >= other.x1 || box.y1 <= other.y0 || box.y0 >= other.y1);
  const order = points.map((_, row) => row).sort((a, b) => (b === state.word) - (a === state.word));
  const places = [];
  for (const row of order) {
    const {x, y} = points[row];
    const width = names[row].length * letter;
    const at = [[x + 9, y + 4], [x - 9 - width, y + 4], [x - width / 2, y - 10], [x - width / 2, y + 19]]
        .map(([left, base]) => ({left, base, box: {x0: left, x1: left + width, y0: base - 11, y1: base + 3}}));
    const found = at.find(({box}) => free(box)) || (row === state.word ? at[0] : null);
    if (!found) continue;
    taken.push(found.box);
    places.push({row, ...found});
  }
  return places;
}
function drawPlane() {
  plane.textContent = '';
  const {ends, width, height, x, y} = layout();
  setAttributes(plane, {viewBox: `0 0 ${width} ${height}`, width, height});
  const [left, bottom] = [edge, height - edge + 8];
  plane.append(
      svgElement('line', {class: 'axis', x1: left, y1: bottom, x2: width - 8, y2: bottom}),
      svgElement('line', {class: 'axis', x1: left, y1: 8, x2: left, y2: bottom}));
  const zero = [x(0), y(0)];
  if (zero[0] > left && zero[0] < width - 8) plane.append(svgElement('line', {class: 'axis', x1: zero[0], x2: zero[0], y1: 8, y2: bottom, 'stroke-dasharray': '3 4'}));
  if (zero[1] > 8 && zero[1] < bottom) plane.append(svgElement('line', {class: 'axis', x1: left, x2: width - 8, y1: zero[1], y2: zero[1], 'stroke-dasharray': '3 4'}));
  const tick = (text, at) => svgElement('text', {class: 'soft', ...at}, text);
  for (const end of ['low', 'high']) {
    plane.append(tick(number(ends[0][end]), {x: x(ends[0][end]), y: bottom + 14, 'text-anchor': 'middle'}));
    if (ends[1].high > ends[1].low || end === 'low') {
      plane.append(tick(number(ends[1][end]), {x: left - 5, y: y(ends[1][end]) + 4, 'text-anchor': 'end'}));
    }
  }
  plane.append(svgElement('text', {x: (left + width) / 2, y: height - 8, 'text-anchor': 'middle'}, axisText(state.axes[0])));
  if (componentCount > 1) {
    plane.append(svgElement('text', {x: 10, y: bottom / 2, 'text-anchor': 'middle', transform: `rotate(-90 10 ${bottom / 2})`},
        `component ${state.axes[1]} (${(100 * share(state.axes[1])).toFixed(0)} %)`));
  }
  const points = names.map((_, row) => ({x: x(coordinate(row, 0)), y: y(coordinate(row, 1))}));
  points.forEach(({x: cx, y: cy}, row) => {
    const here = row === state.word;
    const dot = svgElement('circle', {
      cx, cy, r: here ? 7 : 5, fill: wordColor(row), stroke: here ? 'var(--accent)' : 'var(--panel)', 'stroke-width': here ? 3 : 1,
      tabindex: 0, style: 'cursor: pointer',
    }, svgElement('title', {}, wordName(row)));
    dot.addEventListener('mouseenter', () => point(row));
    dot.addEventListener('focus', () => point(row));
    plane.append(dot);
  });
  for (const {row, left: at, base} of placeNames(points)) {
    const here = row === state.word;
    plane.append(svgElement('text', {x: at, y: base, style: `font-size: 12px; pointer-events: none${here ? '; font-weight: bold; fill: var(--accent)' : ''}`}, names[row]));
  }
}

// ---- Who is near --------------------------------------------------------------------------------
const nearTitle = element('h2');
const near = element('table');
const distance = (a, b) => Math.hypot(...layerNow().points[a].map((value, i) => value - layerNow().points[b][i]));
function drawNear() {
  const word = state.word ?? names.length - 1;
  nearTitle.textContent = `How far from ${wordName(word)}`;
  const others = names.map((_, row) => row).filter((row) => row !== word)
      .sort((a, b) => distance(word, a) - distance(word, b)).slice(0, 15);
  drawBars(near, others.map((row) => ({name: wordName(row), value: distance(word, row), text: number(distance(word, row))})));
}

// ---- Putting it together ------------------------------------------------------------------------
const pointAt = (position) => positions.includes(position) && point(positions.indexOf(position));
const text = ribbon(data.tokens, {onPoint: pointAt, onChoose: pointAt});
function point(row) {
  if (row === state.word) return;
  const focused = document.activeElement && document.activeElement.tagName === 'circle';
  state.word = row;
  readout.textContent = `${wordName(row)}: ${layerNow().points[row].map(number).join(', ')}`;
  text.spans.forEach((span, position) => span.classList.toggle('query', position === positions[row]));
  drawPlane();
  drawNear();
  if (focused) plane.querySelectorAll('circle')[row].focus();
}
function draw() {
  choice.choose(state.layer);
  title.textContent = layerNow().name;
  if (state.word !== null) readout.textContent = `${wordName(state.word)}: ${layerNow().points[state.word].map(number).join(', ')}`;
  drawPlane();
  drawNear();
}
choice.hidden = layers.length < 2;
text.spans.forEach((span, position) => span.classList.toggle('hidden', !positions.includes(position)));
byId('main').append(section('text', element('h2', {}, 'The text'), text.box),
    element('div', {class: 'columns', style: 'margin-top: 14px'},
        section('wide', layers.length < 2 && componentCount < 3 ? '' : element('div', {class: 'controls'}, choice,
            componentCount > 2 ? element('span', {}, selects[1], ' against ', selects[0]) : null), title, planeBox, readout,
            element('p', {class: 'note'}, 'Point at a dot for its name and its distances. Both axes have one scale; every layer has directions of its own.')),
        section('side', nearTitle, near, element('p', {class: 'note'},
            `By all ${componentCount} ${componentCount === 1 ? 'component' : 'components'} that were asked for.`))));
if (componentCount > 2) selects.forEach((select, which) => { select.value = state.axes[which]; });
frame(`The words by their vectors: ${data.site}`,
    [data.source.model && data.source.model.name, count(data.tokens.length, 'token')]);
drawn(draw);
window.addEventListener('resize', draw);
