'use strict';
// What all pages have in common: their data, colours for both kinds of background, and the pictures that more than one
// of them shows. Texts from the model only ever become text nodes.
const data = JSON.parse(document.getElementById('data').textContent);
const byId = (id) => document.getElementById(id);

// Makes an element: attributes, on* handlers, and children, where texts become text.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  setAttributes(made, attributes);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
function svgElement(name, attributes = {}, ...children) {
  const made = document.createElementNS(byId('svg').namespaceURI, name);
  setAttributes(made, attributes);
  made.append(...children);
  return made;
}
function setAttributes(made, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
}
const option = (value, text) => element('option', {value}, text);

// ---- Numbers ------------------------------------------------------------------------------------
const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;
// Four columns at most, for weights.
const short = (w) => w === 0 ? '0' : w >= 0.995 ? '1.0' : w.toFixed(2).slice(1);
const probability = (p) => p > 0 && p < 0.0005 ? p.toExponential(1) : p.toFixed(3);
// About three digits of any number.
function number(value) {
  if (value === null || Number.isNaN(value)) return '?';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 0.001 || size >= 1e5) return value.toExponential(1);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
}
// Five columns at most, for cells.
function compact(value) {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-9) return '~0';
  if (size < 0.005) return value.toExponential(0);
  return value.toFixed(size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2).replace(/^(-?)0\./, '$1.');
}
const signed = (value) => value > 0 ? '+' + number(value) : number(value);
const entropyNats = (weights) => weights.reduce((sum, w) => w > 0 ? sum - w * Math.log(w) : sum, 0);
const largestAt = (values) => values.reduce((best, value, i) => value > values[best] ? i : best, 0);

// Little-endian arrays in base64.
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; ++i) bytes[i] = text.charCodeAt(i);
  return bytes;
}
const u16Of = (base64) => new Uint16Array(bytesOf(base64).buffer);
const f32Of = (base64) => new Float32Array(bytesOf(base64).buffer);

// ---- Light and dark -----------------------------------------------------------------------------
const prefersDark = window.matchMedia('(prefers-color-scheme: dark)');
const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === 'dark' : prefersDark.matches;
};
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawings = [];
// `draw` runs now and whenever the colours change.
function drawn(draw) {
  drawings.push(draw);
  draw();
}
function redraw() {
  makeColors();
  for (const draw of drawings) draw();
}

// ---- Colours ------------------------------------------------------------------------------------
// Blue for less and orange for more, which those who cannot tell red from green tell apart.
const signedStops = {
  dark: [[134, 196, 255], [46, 112, 186], [24, 44, 78], [22, 26, 38], [84, 48, 18], [196, 112, 34], [255, 190, 110]],
  light: [[10, 62, 130], [67, 131, 193], [178, 208, 232], [250, 250, 247], [248, 208, 168], [214, 124, 50], [140, 58, 8]],
};
let sequentialTable = [];
let signedTable = [];
function ramp(stops) {
  return Array.from({length: 256}, (_, i) => {
    const place = i / 255 * (stops.length - 1);
    const at = Math.min(Math.floor(place), stops.length - 2);
    return stops[at].map((from, c) => Math.round(from + (stops[at + 1][c] - from) * (place - at)));
  });
}
function makeColors() {
  sequentialTable = ramp(isDark() ? data.dark_stops : data.light_stops);
  signedTable = ramp(isDark() ? signedStops.dark : signedStops.light);
}
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
// Of a share in [0, 1].
const sequential = (share) => sequentialTable[Math.round(clamp(share, 0, 1) * 255)];
// Of a share in [-1, 1].
const diverging = (share) => signedTable[Math.round((clamp(share, -1, 1) + 1) * 127.5)];
const css = (c) => `rgb(${c[0]}, ${c[1]}, ${c[2]})`;
const inkOn = (c) => 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2] > 120 ? '#000' : '#fff';
// A colour for one head of many, light enough on dark pages and dark enough on light ones.
const headColor = (index, count) => `hsl(${Math.round(index / Math.max(count, 1) * 360 + 205) % 360}, 75%, ${isDark() ? 64 : 40}%)`;

// From the smallest to the largest of the values, or around 0; the root scale spreads out what is small.
function scaleOf(values, isSigned, root = false) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || !Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) low = high = 0;
  if (isSigned) {
    const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return {low: -most, high: most, isSigned, color: (value) => diverging(value / most)};
  }
  const span = high - low || 1;
  const share = (value) => (value - low) / span;
  return {low, high, isSigned, color: (value) => sequential(root ? Math.sqrt(Math.max(0, share(value))) : share(value))};
}
// The same by the logarithm, of values that are not below 0: those of 0 share the colour of the smallest above it.
function logScaleOf(values) {
  const above = values.filter((value) => value > 0);
  const {low, high} = scaleOf(above, false);
  if (!(low > 0 && high > low)) return scaleOf(values, false);
  const at = (share) => low * (high / low) ** share;
  return {low, high, at, color: (value) => sequential(Math.log(Math.max(value, low) / low) / Math.log(high / low))};
}
// The scale as a strip with its ends. `make()` gives {low, high, color}; `text` says what it is.
function legend(make, text) {
  const low = element('span');
  const high = element('span');
  const strip = element('canvas', {width: 180, height: 12, 'aria-hidden': 'true'});
  const words = element('span', {}, text || '');
  const box = element('div', {class: 'legend'}, low, strip, high, words);
  box.draw = (newText) => {
    const scale = make();
    low.textContent = scale.lowText ?? number(scale.low);
    high.textContent = scale.highText ?? number(scale.high);
    if (newText !== undefined) words.textContent = newText;
    const context = strip.getContext('2d');
    for (let x = 0; x < 180; ++x) {
      const share = x / 179;
      context.fillStyle = css(scale.color(scale.at ? scale.at(share) : scale.low + (scale.high - scale.low) * share));
      context.fillRect(x, 0, 1, 12);
    }
  };
  return box;
}

// ---- Canvas: everything is drawn in CSS pixels --------------------------------------------------
function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  canvas.style.width = width + 'px';
  canvas.style.height = height + 'px';
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}
function fitted(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  while (text.length > 1 && context.measureText(text + '…').width > room) text = text.slice(0, -1);
  return text + '…';
}

// ---- Tokens as running text ---------------------------------------------------------------------
// `onPoint(position)` on hover, `onChoose(position)` on a click. Returns {box, spans}.
function ribbon(tokens, {onPoint, onChoose} = {}) {
  const box = element('div', {class: 'ribbon', tabindex: 0, role: 'group', 'aria-label': 'The text, token by token'});
  const spans = tokens.map((token, position) => {
    const span = element('span', {}, token);
    if (onPoint) span.addEventListener('mouseenter', () => onPoint(position));
    if (onChoose) span.addEventListener('click', () => onChoose(position));
    box.append(span);
    if (token.endsWith('↵')) box.append(element('br'));
    return span;
  });
  return {box, spans};
}

// ---- A cell for each layer and head -------------------------------------------------------------
// A table of buttons; the arrow keys go from cell to cell. `fill(button, row, column)` draws one. Returns the table,
// with choose(row, column) to mark one and `buttons`, row by row.
function cellGrid({rows, columns, rowName, fill, onPoint, onChoose}) {
  const table = element('table', {class: 'grid'});
  const top = table.insertRow();
  top.append(element('th', {class: 'row'}, rowName || ''));
  for (const column of columns) top.append(element('th', {scope: 'col'}, String(column)));
  const buttons = [];
  const at = (row, column) => buttons[row * columns.length + column];
  rows.forEach((name, row) => {
    const line = table.insertRow();
    line.append(element('th', {class: 'row', scope: 'row'}, String(name)));
    columns.forEach((_, column) => {
      const button = element('button', {type: 'button', tabindex: row + column === 0 ? 0 : -1});
      const point = () => onPoint && onPoint(row, column);
      button.addEventListener('mouseenter', point);
      button.addEventListener('focus', point);
      button.addEventListener('click', () => onChoose && onChoose(row, column));
      button.addEventListener('keydown', (event) => {
        const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
        if (!steps) return;
        event.preventDefault();
        const next = [clamp(row + steps[0], 0, rows.length - 1), clamp(column + steps[1], 0, columns.length - 1)];
        at(...next).focus();
        if (onChoose) onChoose(...next);
      });
      line.insertCell().append(button);
      buttons.push(button);
    });
  });
  table.buttons = buttons;
  table.fill = () => buttons.forEach((button, i) => fill(button, Math.floor(i / columns.length), i % columns.length));
  table.choose = (row, column) => {
    for (const button of buttons) {
      const chosen = button === at(row, column);
      button.classList.toggle('chosen', chosen);
      button.tabIndex = chosen ? 0 : -1;
    }
  };
  return table;
}
// Fills a cell with a number on its colour.
function fillValue(button, value, color, title) {
  button.className = button.classList.contains('chosen') ? 'value chosen' : 'value';
  button.textContent = value === null ? '' : compact(value);
  button.style.background = color ? css(color) : 'transparent';
  button.style.color = color ? inkOn(color) : 'inherit';
  button.title = title;
  button.setAttribute('aria-label', title);
}

// ---- A heat map ---------------------------------------------------------------------------------
// Rows by columns on a canvas, with axes that stay in view, a size of cell to choose, and a cursor for mouse and keys.
// options:
//   rows, columns        labels
//   value(row, column)   a number, or NaN where there is none
//   color(value, row)    [red, green, blue]
//   text(value)          for cells that have room for it
//   strongest(row)       the column to frame, or -1
//   onPoint(row, column) the cursor moved; column is null when it left the map
//   onChoose(row, column)
//   label                what it is, for those who do not see it
class HeatMap {
  constructor(options) {
    Object.assign(this, {text: short, strongest: () => -1, onPoint: () => {}, onChoose: () => {}, label: 'Heat map'}, options);
    this.row = this.rows.length - 1;
    this.column = null;
    this.cell = 38;
    const part = (name) => element('canvas', {class: name});
    [this.topCanvas, this.leftCanvas, this.bodyCanvas] = [part('top'), part('left'), part('cells')];
    Object.assign(this.bodyCanvas, {tabIndex: 0});
    setAttributes(this.bodyCanvas, {role: 'application', 'aria-label': `${this.label}; arrow keys move, plus and minus zoom`});
    this.rowBand = element('div', {class: 'band'});
    this.columnBand = element('div', {class: 'band'});
    this.scroller = element('div', {class: 'scroller'},
        element('div', {class: 'board'}, element('div', {class: 'corner'}), element('div', {class: 'top'}, this.topCanvas),
            element('div', {class: 'left'}, this.leftCanvas),
            element('div', {class: 'body'}, this.bodyCanvas, this.rowBand, this.columnBand)));
    this.zoom = element('input', {type: 'range', min: 1, max: 40, 'aria-label': 'cell size'});
    this.zoom.addEventListener('input', () => this.setCell(Number(this.zoom.value)));
    this.zoomLabel = element('label', {}, 'cell size ', this.zoom);
    this.listen();
  }
  listen() {
    this.bodyCanvas.addEventListener('mousemove', (event) => {
      const at = this.under(event);
      if (at && (at.row !== this.row || at.column !== this.column)) this.onPoint(at.row, at.column);
    });
    this.bodyCanvas.addEventListener('mouseleave', () => this.onPoint(this.row, null));
    this.bodyCanvas.addEventListener('click', (event) => {
      const at = this.under(event);
      if (at) this.onChoose(at.row, at.column);
    });
    this.bodyCanvas.addEventListener('keydown', (event) => {
      const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (steps) {
        const column = this.column === null ? Math.max(0, this.strongest(this.row)) : this.column + steps[1];
        this.onPoint(clamp(this.row + steps[0], 0, this.rows.length - 1), clamp(column, 0, this.columns.length - 1), true);
        this.follow();
      } else if (event.key === '+' || event.key === '-') {
        this.setCell(clamp(this.cell + (event.key === '+' ? 2 : -2), 1, 40));
      } else if (event.key === 'Enter' && this.column !== null) {
        this.onChoose(this.row, this.column);
      } else {
        return;
      }
      event.preventDefault();
    });
  }
  under(event) {
    const box = this.bodyCanvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - box.top) / this.cell);
    const column = Math.floor((event.clientX - box.left) / this.cell);
    return row < 0 || row >= this.rows.length || column < 0 || column >= this.columns.length ? null : {row, column};
  }
  // Keeps the cursor's cell in view.
  follow() {
    const {scroller, cell, edgeLeft, edgeTop} = this;
    const into = (from, size, shown, now) => from < now ? from : from + size > now + shown ? from + size - shown : now;
    scroller.scrollTop = into(this.row * cell, cell, scroller.clientHeight - edgeTop, scroller.scrollTop);
    if (this.column === null) return;
    scroller.scrollLeft = into(this.column * cell, cell, scroller.clientWidth - edgeLeft, scroller.scrollLeft);
  }
  setCell(cell) {
    // Browsers draw nothing at all on a canvas that is too large.
    const [rows, columns, ratio] = [this.rows.length, this.columns.length, window.devicePixelRatio || 1];
    const most = Math.min(30000 / Math.max(rows, columns), Math.sqrt(1e8 / (rows * columns))) / ratio;
    this.cell = clamp(cell, 1, Math.max(1, Math.floor(most)));
    this.zoom.value = this.cell;
    this.draw();
  }
  // The largest cells of at most `most` with which the columns fit.
  fit(most = 38) {
    this.cell = most;
    this.measure();
    this.setCell(clamp(Math.floor((this.scroller.clientWidth - this.edgeLeft - 16) / this.columns.length), 1, most));
  }
  point(row, column) {
    this.row = row;
    this.column = column;
    this.drawAxes();
    this.placeBands();
  }
  measure() {
    this.axis = `${clamp(this.cell - 1, 10, 13)}px ${style('--mono')}`;
    const context = this.leftCanvas.getContext('2d');
    const widest = (labels, font) => {
      context.font = font;
      return Math.ceil(Math.min(labels.reduce((most, text) => Math.max(most, context.measureText(text).width), 0), 150)) + 10;
    };
    this.edgeLeft = widest(this.rows, this.axis);
    this.edgeTop = widest(this.columns, this.axis);
  }
  draw() {
    this.measure();
    this.drawCells();
    this.drawAxes();
    this.placeBands();
  }
  drawCells() {
    const {cell, rows, columns} = this;
    const context = sized(this.bodyCanvas, columns.length * cell, rows.length * cell);
    context.fillStyle = style('--page');
    context.fillRect(0, 0, columns.length * cell, rows.length * cell);
    if (cell < 8) {
      context.imageSmoothingEnabled = false;
      context.drawImage(this.pixels(), 0, 0, columns.length * cell, rows.length * cell);
      return;
    }
    const numbers = cell >= 26;
    context.font = `${Math.min(13, Math.floor(cell * 0.31))}px ${style('--mono')}`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    const gap = 1;
    const accent = style('--accent');
    for (let row = 0; row < rows.length; ++row) {
      for (let column = 0; column < columns.length; ++column) {
        const value = this.value(row, column);
        if (Number.isNaN(value)) continue;
        const color = this.color(value, row, column);
        context.fillStyle = css(color);
        context.fillRect(column * cell, row * cell, cell - gap, cell - gap);
        if (!numbers) continue;
        context.fillStyle = inkOn(color);
        context.fillText(this.text(value), (column + 0.5) * cell, (row + 0.5) * cell);
      }
      const framed = this.strongest(row);
      if (framed < 0) continue;
      context.strokeStyle = accent;
      context.lineWidth = 1.5;
      context.strokeRect(framed * cell + 0.75, row * cell + 0.75, cell - gap - 1.5, cell - gap - 1.5);
    }
  }
  // The map with a pixel for each cell: many small ones are drawn at once.
  pixels() {
    const canvas = element('canvas', {width: this.columns.length, height: this.rows.length});
    const context = canvas.getContext('2d');
    const image = context.createImageData(canvas.width, canvas.height);
    for (let row = 0, at = 0; row < this.rows.length; ++row) {
      for (let column = 0; column < this.columns.length; ++column, at += 4) {
        const value = this.value(row, column);
        if (Number.isNaN(value)) continue;
        const color = this.color(value, row, column);
        [image.data[at], image.data[at + 1], image.data[at + 2], image.data[at + 3]] = [color[0], color[1], color[2], 255];
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }
  drawAxes() {
    const {cell, rows, columns} = this;
    const left = sized(this.leftCanvas, this.edgeLeft, rows.length * cell);
    const top = sized(this.topCanvas, columns.length * cell, this.edgeTop);
    left.textAlign = 'right';
    left.textBaseline = top.textBaseline = 'middle';
    const [ink, accent] = [style('--ink'), style('--accent')];
    const write = (context, labels, at, chosen, rotated) => {
      // The first and the last label stay whole where cells are lower than letters.
      const place = clamp((at + 0.5) * cell, 7, Math.max(7, labels.length * cell - 7));
      context.save();
      context.fillStyle = chosen ? accent : ink;
      context.font = chosen ? 'bold ' + this.axis : this.axis;
      if (rotated) {
        context.translate(place, this.edgeTop - 5);
        context.rotate(-Math.PI / 2);
      }
      const text = fitted(context, labels[at], (rotated ? this.edgeTop : this.edgeLeft) - 10);
      context.fillText(text, rotated ? 0 : this.edgeLeft - 5, rotated ? 0 : place);
      context.restore();
    };
    // A label that is pointed at takes the place of its neighbours where labels are thinned out.
    const step = Math.max(1, Math.ceil(14 / cell));
    const thinned = (context, labels, chosen, rotated) => labels.forEach((_, at) => {
      const far = (chosen === null || Math.abs(at - chosen) >= step) && (at === 0 || (at + 0.5) * cell >= 20);
      if (at === chosen || (at % step === 0 && far)) write(context, labels, at, at === chosen, rotated);
    });
    thinned(left, rows, this.row, false);
    thinned(top, columns, this.column, true);
  }
  placeBands() {
    const {cell} = this;
    const place = (band, left, top, width, height) => Object.assign(band.style, {
      left: left - 1 + 'px', top: top - 1 + 'px', width: width + 2 + 'px', height: height + 2 + 'px',
    });
    this.columnBand.hidden = this.column === null;
    place(this.rowBand, 0, this.row * cell, this.columns.length * cell, cell);
    place(this.columnBand, (this.column || 0) * cell, 0, cell, this.rows.length * cell);
  }
}

// ---- Bars and curves ----------------------------------------------------------------------------
// Bars beside names. Of signed values, those below 0 are blue. items: {name, value, text, color, place}.
function drawBars(table, items) {
  table.className = 'bars';
  table.textContent = '';
  const most = items.reduce((largest, {value}) => Math.max(largest, Math.abs(value)), 0) || 1;
  for (const {name, value, text, color, place} of items) {
    const line = table.insertRow();
    if (place !== undefined) line.append(element('td', {class: 'number'}, String(place)));
    const bar = element('div');
    bar.style.width = 100 * Math.abs(value) / most + '%';
    if (color) bar.style.background = color;
    line.append(element('td', {class: 'name', title: name}, name), element('td', {class: 'bar'}, bar),
        element('td', {class: 'number'}, text));
  }
}

// A curve through points {x, y, text}, whose x are drawn at even steps; `base` is a level to compare with.
function drawCurve(svg, points, {base = null, onPoint = () => {}} = {}) {
  svg.textContent = '';
  const width = clamp((svg.parentElement ? svg.parentElement.clientWidth : 0) - 32, 220, 760);
  const height = width < 400 ? 170 : 300;
  const widest = points.reduce((most, point) => Math.max(most, String(point.x).length), 1) * 7 + 8;
  const edge = {left: 58, right: Math.max(20, widest / 2), top: 14, bottom: 30};
  setAttributes(svg, {viewBox: `0 0 ${width} ${height}`, width, height, role: 'img'});
  const ys = points.map(({y}) => y).filter(Number.isFinite).concat(base === null ? [] : [base]);
  const low = Math.min(...ys);
  const high = Math.max(...ys);
  const x = (i) => edge.left + (width - edge.left - edge.right) * (points.length > 1 ? i / (points.length - 1) : 0.5);
  const y = (value) => edge.top + (height - edge.top - edge.bottom) * (1 - (value - low) / (high - low || 1));
  const line = (x1, y1, x2, y2, dash) => svgElement('line', {class: 'axis', x1, y1, x2, y2, 'stroke-dasharray': dash});
  for (const value of [low, (low + high) / 2, high]) {
    svg.append(line(edge.left, y(value), width - edge.right, y(value)),
        svgElement('text', {x: edge.left - 6, y: y(value) + 4, 'text-anchor': 'end'}, number(value)));
  }
  if (base !== null) svg.append(svgElement('line', {
    x1: edge.left, x2: width - edge.right, y1: y(base), y2: y(base), stroke: 'var(--soft)', 'stroke-dasharray': '5 4',
  }));
  const known = points.map((point, i) => [i, point]).filter(([, point]) => Number.isFinite(point.y));
  svg.append(svgElement('polyline', {class: 'curve', points: known.map(([i, p]) => `${x(i)},${y(p.y)}`).join(' ')}));
  const step = Math.max(1, Math.ceil(widest * points.length / (width - edge.left - edge.right)));
  for (const [i, point] of known) {
    const dot = svgElement('circle', {cx: x(i), cy: y(point.y), r: points.length > 60 ? 2 : width < 400 ? 3.5 : 5, fill: 'var(--accent)', tabindex: 0},
        svgElement('title', {}, point.text));
    dot.addEventListener('mouseenter', () => onPoint(i));
    dot.addEventListener('focus', () => onPoint(i));
    svg.append(dot);
    if (i % step === 0) svg.append(svgElement('text', {x: x(i), y: height - 8, 'text-anchor': 'middle'}, String(point.x)));
  }
}

// ---- Tabs ---------------------------------------------------------------------------------------
// Buttons of which one is chosen. choices: [key, text]. Returns the box, with choose(key).
function tabs(choices, onChoose) {
  const box = element('div', {class: 'tabs', role: 'tablist'});
  box.choose = (key) => {
    for (const button of box.children) {
      button.setAttribute('aria-selected', button.dataset.key === String(key));
    }
  };
  for (const [key, text] of choices) {
    box.append(element('button', {type: 'button', role: 'tab', 'data-key': key, onclick: () => {
      box.choose(key);
      onChoose(key);
    }}, text));
  }
  return box;
}

// ---- The frame of the page ----------------------------------------------------------------------
const section = (className, ...children) => element('section', {class: className}, ...children);
// The line of facts above and of where the numbers come from below. `facts` are texts, empty ones left out.
function frame(heading, facts, note) {
  byId('heading').textContent = heading;
  byId('facts').textContent = facts.filter((text) => text).join(' · ');
  const from = data.source || {};
  const edits = from.edits && from.edits.length ? `Edits: ${from.edits.join(', ')}.`
      : from.edit_count ? `${count(from.edit_count, 'edit')}.` : data.base == null ? 'No edits.' : 'The base has no edits.';
  byId('footer').textContent = [
    from.model ? `Model ${from.model.name}, ${from.model.digest}${from.compute_dtype ? `, ${from.compute_dtype}` : ''}.` : '',
    from.definition ? `Definition: ${from.definition}.` : '',
    edits,
    from.counterfactual ? 'Rows saw what the model never shows them: a counterfactual.' : '',
    `Made by heed ${data.version}.`, note || '',
  ].filter((text) => text).join(' ');
}
byId('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  redraw();
});
prefersDark.addEventListener('change', redraw);
// Paper is light.
let themeBeforePrint;
window.addEventListener('beforeprint', () => {
  themeBeforePrint = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = 'light';
  redraw();
});
window.addEventListener('afterprint', () => {
  if (themeBeforePrint === undefined) delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = themeBeforePrint;
  redraw();
});
makeColors();
