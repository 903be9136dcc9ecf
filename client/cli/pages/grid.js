'use strict';
// heed stats, detect, sweep, rollout and the like: numbers by row and column, several of which may share a grid; those of
// one column are a curve.
const {rows, columns, grids} = data;
const isCurve = columns.length === 1;
const state = {grid: data.first, row: null, column: null, chosen: null};
const gridNow = () => grids[state.grid];
const valueAt = (grid, row, column) => grid.values[row][column];
const flat = (grid) => grid.values.flat();
const scales = grids.map((grid) => () => grid.scale === 'log' ? logScaleOf(flat(grid))
    : scaleOf(flat(grid), grid.signed, grid.scale === 'root'));
// Changes against a base, rather than numbers that have a sign of their own.
const isChange = (grid) => grid.signed && data.base !== null;
let scale = null;
const rowText = (row) => data.row_name ? `${data.row_name} ${rows[row]}` : rows[row];
const cellName = (row, column) => isCurve ? rowText(row) : `${rowText(row)}, ${data.column_name} ${columns[column]}`;
// All digits that a float32 has.
const fullNumber = (value) => value === null ? 'no number' : String(Number(value.toPrecision(7)));

// Weights as on other pages; what a row cannot see is left empty.
const cellText = (value) => scale.low < 0 || scale.high > 1 ? compact(value) : value === 0 ? '' : short(value);

// ---- The picture --------------------------------------------------------------------------------
const title = element('h2');
const meaning = element('p', {class: 'note'});
const choice = tabs(grids.map((grid, i) => [i, grid.title]), (i) => { state.grid = Number(i); draw(); });
const readout = element('div', {class: 'readout', 'aria-live': 'polite'});
const strip = legend(() => scale);
let picture;
if (isCurve) {
  picture = svgElement('svg');
} else if (data.columns_are_tokens || rows.length * columns.length > 2500) {
  picture = new HeatMap({
    rows, columns, label: data.heading,
    value: (row, column) => valueAt(gridNow(), row, column) ?? NaN,
    color: (value) => scale.color(value), text: (value) => cellText(value),
    strongest: (row) => largestAt(gridNow().values[row].map((value) => gridNow().signed ? Math.abs(value) : value)),
    onPoint: (row, column) => point(row, column), onChoose: (row, column) => choose(row, column),
  });
} else {
  picture = cellGrid({
    rows, columns, rowName: data.row_name, onPoint: point, onChoose: choose,
    fill: (button, row, column) => {
      const value = valueAt(gridNow(), row, column);
      fillValue(button, value, value === null ? null : scale.color(value),
          `${cellName(row, column)}: ${gridNow().title} ${fullNumber(value)}`);
    },
  });
}
const isMap = picture instanceof HeatMap;
const pictureBox = isMap ? element('div', {}, element('div', {class: 'controls'}, picture.zoomLabel), picture.scroller)
    : element('div', {class: 'scroll'}, picture);

// ---- The strongest ------------------------------------------------------------------------------
const rankedTitle = element('h2');
const ranked = element('table');
const rowNow = () => state.row ?? rows.length - 1;
function drawRanked() {
  const grid = gridNow();
  const cells = [];
  grid.values.forEach((line, row) => (!data.rank_by_row || row === rowNow())
      && line.forEach((value, column) => value && cells.push({row, column, value})));
  const size = grid.signed ? ({value}) => Math.abs(value) : ({value}) => value;
  cells.sort((a, b) => size(b) - size(a));
  rankedTitle.textContent = data.rank_by_row ? `The largest of ${rowText(rowNow())}` : isChange(grid) ? 'What moves it most' : 'The largest';
  drawBars(ranked, cells.slice(0, 15).map(({row, column, value}) => ({
    name: isCurve ? rows[row] : data.rank_by_row ? columns[column] : data.columns_are_tokens ? `${rows[row]} · ${columns[column]}` : `${rows[row]}.${columns[column]}`,
    value, text: isChange(grid) ? signed(value) : number(value),
    color: grid.signed ? value < 0 ? 'var(--down)' : 'var(--up)' : data.rank_by_row ? '' : css(scale.color(value)),
  })));
  if (!cells.length) ranked.insertRow().append(element('td', {}, 'none: every one is 0'));
}

// ---- A number for each row ----------------------------------------------------------------------
const bars = element('table');
const barsBox = data.bars && element('div', {style: 'margin-top: 14px'}, element('h2', {}, data.bars.title),
    element('div', {style: 'max-height: 420px; overflow: auto'}, bars),
    element('p', {class: 'note'}, data.bars.meaning));
if (data.bars) {
  drawBars(bars, rows.map((name, row) => ({name, value: data.bars.values[row] ?? 0, text: number(data.bars.values[row])})));
}

// ---- Two statistics against each other ----------------------------------------------------------
const scatter = svgElement('svg');
const axes = [0, 1].map((which) => {
  const select = element('select', {'aria-label': which ? 'vertical' : 'horizontal'}, ...grids.map((grid, i) => option(i, grid.title)));
  select.addEventListener('change', drawScatter);
  return select;
});
const scatterBox = section('side', element('h2', {}, `Every ${data.column_name} as a point`),
    element('div', {class: 'controls'}, axes[1], 'against', axes[0]), scatter,
    element('p', {class: 'note'}, `A colour for each ${data.row_name}.`));
// A number and its change would only make a line.
const hasScatter = grids.length > 2 && !isMap && !isCurve;
function drawScatter() {
  if (!hasScatter) return;
  scatter.textContent = '';
  const [size, edge] = [300, 44];
  setAttributes(scatter, {viewBox: `0 0 ${size} ${size}`, width: '100%', role: 'img', 'aria-label': 'scatter plot'});
  const of = axes.map((select) => grids[Number(select.value)]);
  const ends = of.map((grid) => scaleOf(flat(grid), false));
  const place = (which, value) => {
    const share = (value - ends[which].low) / (ends[which].high - ends[which].low || 1);
    return which ? size - edge - share * (size - edge - 12) : edge + share * (size - edge - 12);
  };
  scatter.append(
      svgElement('line', {class: 'axis', x1: edge, y1: size - edge, x2: size - 12, y2: size - edge}),
      svgElement('line', {class: 'axis', x1: edge, y1: 12, x2: edge, y2: size - edge}));
  for (const end of ['low', 'high']) {
    scatter.append(
        svgElement('text', {class: 'soft', x: place(0, ends[0][end]), y: size - edge + 16, 'text-anchor': end === 'low' ? 'start' : 'end'},
            number(ends[0][end])),
        svgElement('text', {class: 'soft', x: edge - 5, y: place(1, ends[1][end]) + 4, 'text-anchor': 'end'}, number(ends[1][end])));
  }
  scatter.append(
      svgElement('text', {x: (size + edge) / 2, y: size - 6, 'text-anchor': 'middle'}, of[0].title),
      svgElement('text', {x: 12, y: (size - edge) / 2, 'text-anchor': 'middle', transform: `rotate(-90 12 ${(size - edge) / 2})`}, of[1].title));
  rows.forEach((_, row) => columns.forEach((_, column) => {
    const values = of.map((grid) => valueAt(grid, row, column));
    if (values.includes(null)) return;
    const here = state.chosen && state.chosen[0] === row && state.chosen[1] === column;
    const dot = svgElement('circle', {
      cx: place(0, values[0]), cy: place(1, values[1]), r: here ? 7 : 4.5, fill: headColor(row, rows.length),
      stroke: here ? 'var(--accent)' : 'var(--panel)', 'stroke-width': here ? 3 : 1, style: 'cursor: pointer',
    }, svgElement('title', {}, `${cellName(row, column)}: ${of[0].title} ${number(values[0])}, ${of[1].title} ${number(values[1])}`));
    dot.addEventListener('mouseenter', () => point(row, column));
    dot.addEventListener('click', () => choose(row, column));
    scatter.append(dot);
  }));
}

// ---- Putting it together ------------------------------------------------------------------------
function point(row, column) {
  if (column === null) return;
  const moved = row !== rowNow();
  [state.row, state.column] = [row, column];
  if (isMap) picture.point(row, column);
  const grid = gridNow();
  const others = grids.filter((other) => other !== grid).map((other) => `${other.title} ${number(valueAt(other, row, column))}`);
  readout.textContent = [`${cellName(row, column)}: ${grid.title} ${fullNumber(valueAt(grid, row, column))}`, ...others].join(' · ');
  if (moved && data.rank_by_row) drawRanked();
}
function choose(row, column) {
  state.chosen = [row, column];
  if (!isMap && !isCurve) picture.choose(row, column);
  point(row, column);
  drawScatter();
}
function draw() {
  const grid = gridNow();
  scale = scales[state.grid]();
  choice.choose(state.grid);
  title.textContent = grid.title + (data.base_text ? ` (${data.base_text})` : '');
  meaning.textContent = grid.meaning;
  if (isCurve) {
    drawCurve(picture, rows.map((x, i) => ({x, y: grid.values[i][0], text: `${rowText(i)}: ${fullNumber(grid.values[i][0])}`})),
        {base: grid.signed ? 0 : data.base, onPoint: (i) => point(i, 0)});
  } else if (isMap) {
    picture.draw();
  } else {
    picture.fill();
  }
  strip.hidden = isCurve;
  strip.draw(isChange(grid) ? 'blue is less, orange more than without the edit' : grid.signed ? 'blue is below 0, orange above'
      : grid.scale === 'log' ? 'by the logarithm' : grid.scale === 'root' ? 'by the square root' : grids.length > 1 ? 'each on its own scale' : '');
  drawRanked();
  drawScatter();
  if (state.row !== null) point(state.row, state.column);
}
if (data.tokens.length) {
  byId('main').append(section('text', element('h2', {}, 'The text'), ribbon(data.tokens).box));
}
choice.hidden = grids.length < 2;
byId('main').append(element('div', {class: 'columns', style: 'margin-top: 14px'},
    section('wide', choice.hidden ? '' : element('div', {class: 'controls'}, choice), title, meaning, pictureBox, readout, strip),
    isCurve && !barsBox ? '' : section('side', isCurve ? '' : rankedTitle, isCurve ? '' : ranked, barsBox),
    hasScatter ? scatterBox : ''));
if (grids.length > 1) axes[1].value = 1;
frame(data.heading, [data.source.model && data.source.model.name,
  data.tokens.length ? count(data.tokens.length, 'token') : '', data.dropped], data.note);
if (isMap) {
  scale = scales[state.grid]();
  picture.fit();
}
drawn(draw);
