'use strict';
// heed lens: what the residual stream of each layer would predict at each position.
const {layers, positions, cells} = data;
// The word that the model goes on from, or that it fills in.
const answers = positions.indexOf(data.position);
const state = {row: layers.length - 1, column: answers < 0 ? positions.length - 1 : answers, pinned: false, by: 'probability'};
const cellAt = (row, column) => cells[row][column];
const followed = data.followed;  // the tokens that are watched

// What colours the cells: the value, and what it says.
const measures = {
  probability: {text: 'probability of the first', value: (cell) => cell.top[0].p, low: 0, high: 1},
  entropy: {text: 'entropy in nats', value: (cell) => cell.entropy},
  kl: {text: 'KL to the model in nats', value: (cell) => cell.kl},
};
followed.forEach((token, i) => {
  measures[`p${i}`] = {text: `probability of ${token}`, value: (cell) => cell.followed[i].p, low: 0, high: 1};
  measures[`r${i}`] = {text: `log10 of the rank of ${token}`, value: (cell) => Math.log10(cell.followed[i].rank)};
});
let scale = null;
function makeScale() {
  const measure = measures[state.by];
  const found = scaleOf(cells.flat().map(measure.value), false);
  const low = measure.low ?? found.low;
  const high = measure.high ?? found.high;
  scale = {low, high, color: (value) => sequential((value - low) / (high - low || 1))};
}

document.head.append(element('style', {}, `
  table.lens { border-collapse: separate; border-spacing: 2px; font: 12px var(--mono); }
  table.lens th { font-weight: 400; color: var(--soft); padding: 2px 4px; white-space: nowrap; text-align: left; }
  table.lens th.row { position: sticky; left: 0; background: var(--panel); z-index: 1; text-align: right; }
  table.lens thead th { position: sticky; top: 0; background: var(--panel); z-index: 2; max-width: 110px; overflow: hidden; text-overflow: ellipsis; white-space: pre; }
  table.lens thead th.row { z-index: 3; }
  table.lens td { padding: 0; }
  table.lens button {
    width: 100%; min-width: 62px; max-width: 110px; padding: 2px 5px; border-radius: 3px; font: 12px/1.25 var(--mono); text-align: left;
    white-space: pre; overflow: hidden; text-overflow: ellipsis; border: 1px solid var(--line);
  }
  table.lens button small { display: block; font-size: 10px; opacity: .85; }
  table.lens button.chosen { outline: 3px solid var(--accent); }
  table.lens button.settled { border-style: double; border-width: 3px; padding: 0 3px; }
  table.lens .here { color: var(--accent); font-weight: bold; }`));

// ---- The table ----------------------------------------------------------------------------------
const table = element('table', {class: 'lens'});
const head = element('tr', {}, element('th', {class: 'row'}, data.at_or_after));
for (const position of positions) {
  head.append(element('th', {scope: 'col', title: `${data.tokens[position]} (position ${position})`}, `${data.tokens[position]} ${position}`));
}
table.append(element('thead', {}, head));
const body = element('tbody');
table.append(body);
const buttons = layers.map((layer, row) => {
  const line = element('tr', {}, element('th', {class: 'row', scope: 'row'}, layer));
  body.append(line);
  return positions.map((_, column) => {
    const cell = cellAt(row, column);
    const best = cell.top[0];
    const settled = cellAt(layers.length - 1, column).top[0].token === best.token;
    const button = element('button', {
      type: 'button', class: settled ? 'settled' : '', tabindex: -1,
      'aria-label': `${layer}, ${data.at_or_after} ${data.tokens[positions[column]]}: ${best.token} ${probability(best.p)}`,
    }, best.token, element('small', {}, probability(best.p)));
    button.addEventListener('mouseenter', () => !state.pinned && point(row, column));
    button.addEventListener('focus', () => point(row, column));
    button.addEventListener('click', () => {
      state.pinned = !(state.pinned && state.row === row && state.column === column);
      point(row, column);
    });
    button.addEventListener('keydown', (event) => {
      const steps = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
      if (!steps) return;
      event.preventDefault();
      buttons[clamp(row + steps[0], 0, layers.length - 1)][clamp(column + steps[1], 0, positions.length - 1)].focus();
    });
    line.append(element('td', {}, button));
    return button;
  });
});

// ---- One cell in numbers, and its position through the layers -----------------------------------
const cellTitle = element('h2');
const bars = element('table');
const cellNote = element('p', {class: 'note'});
const courseTitle = element('h2');
const course = svgElement('svg');
function drawCell() {
  const cell = cellAt(state.row, state.column);
  const position = positions[state.column];
  cellTitle.textContent = `${layers[state.row]}, at ${data.tokens[position]} ${position}` + (state.pinned ? ' (pinned)' : '');
  drawBars(bars, cell.top.map(({token, p}) => ({name: token, value: p, text: probability(p), color: css(sequential(Math.sqrt(p)))})));
  cellNote.textContent = `Entropy ${cell.entropy.toFixed(2)} nats, KL to the model ${number(cell.kl)} nats.` +
      cell.followed.map(({p, rank}, i) => ` ${followed[i]}: ${probability(p)}, rank ${rank}.`).join('');
  const last = cellAt(layers.length - 1, state.column);
  const watched = last.top[0].token;
  courseTitle.textContent = 'How far from the answer: KL by layer';
  drawCurve(course, layers.map((layer, row) => ({
    x: layer.replace('after ', ''), y: cellAt(row, state.column).kl,
    text: `${layer}: KL ${number(cellAt(row, state.column).kl)}, says ${cellAt(row, state.column).top[0].token}`,
  })));
  course.setAttribute('aria-label', `KL to the model's answer ${watched} by layer`);
}
function point(row, column) {
  buttons[state.row][state.column].classList.remove('chosen');
  buttons[state.row][state.column].tabIndex = -1;
  Object.assign(state, {row, column});
  buttons[row][column].classList.add('chosen');
  buttons[row][column].tabIndex = 0;
  drawCell();
}

// ---- Putting it together ------------------------------------------------------------------------
const by = element('select', {'aria-label': 'colours'}, ...Object.entries(measures).map(([key, {text}]) => option(key, text)));
by.addEventListener('change', () => { state.by = by.value; draw(); });
const strip = legend(() => scale);
function draw() {
  makeScale();
  const {value} = measures[state.by];
  buttons.forEach((line, row) => line.forEach((button, column) => {
    const color = scale.color(value(cellAt(row, column)));
    button.style.background = css(color);
    button.style.color = inkOn(color);
  }));
  strip.draw(`${measures[state.by].text}. A double border: the same word as the model's own answer, the last row.`);
  drawCell();
}
const scroller = element('div', {class: 'scroller'}, table);
byId('main').append(element('div', {class: 'columns'},
    section('wide', element('h2', {}, `What each layer would say ${data.at_or_after === 'at' ? 'in each place' : 'next'}, read by the model's own last norm and unembedding`),
        element('div', {class: 'controls'}, element('label', {}, 'colours ', by)), scroller, strip),
    section('side', cellTitle, bars, cellNote, courseTitle, course)));
frame('The logit lens', [data.source.model.name, count(data.tokens.length, 'token'), data.dropped],
    'Point at a cell for its words, click to keep it; the arrow keys move.');
point(state.row, state.column);
if (data.at_or_after === 'after') scroller.scrollLeft = scroller.scrollWidth;
drawn(draw);
