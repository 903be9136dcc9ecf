'use strict';
// heed ladder: the rungs one below the other, each with where it looked and what it expects.
const letters = ['A', 'B'];
const two = data.prompts.length === 2;

// ---- One row of weights over the words ----------------------------------------------------------
const cells = [];  // {span, weight, prompt, position, rung, faint}
const readout = element('div', {id: 'word', 'aria-live': 'polite'}, 'Point at a word to compare its weight on all rungs.');
function weightRow(answer, prompt, rung, title, weights, faint) {
  const box = element('div', {class: faint ? 'look faint' : 'look'});
  box.append(element('div', {class: 'look-title'},
      two && !faint ? element('span', {class: 'letter'}, letters[prompt]) : null, title));
  const line = element('div', {class: 'words'});
  const largest = Math.max(...weights);
  const alone = weights.filter((weight) => weight === largest).length === 1;
  weights.forEach((weight, position) => {
    const span = element('span', {
      class: alone && weight === largest ? 'strongest' : '', tabindex: 0,
      title: `${answer.tokens[position]} (position ${position}): ${weight.toFixed(4)}`,
    }, answer.tokens[position], element('small', {}, short(weight)));
    const cell = {span, weight, prompt, position, rung, faint};
    span.addEventListener('mouseenter', () => point(cell));
    span.addEventListener('focus', () => point(cell));
    cells.push(cell);
    line.append(span);
  });
  box.append(line);
  return box;
}
// Shows the weight of one word on all rungs.
function point(at) {
  readout.textContent = '';
  const word = data.rungs[at.rung].answers[at.prompt].tokens[at.position];
  readout.append(element('b', {}, `${two ? letters[at.prompt] + ': ' : ''}${word} (position ${at.position})  `));
  const parts = [];
  for (const cell of cells) {
    const same = cell.prompt === at.prompt && cell.position === at.position;
    cell.span.classList.toggle('here', same);
    if (same && !cell.faint) parts.push(`${data.rungs[cell.rung].model.name} ${cell.weight.toFixed(3)}`);
  }
  readout.append(parts.join(' · '));
}

// ---- What a rung expects ------------------------------------------------------------------------
function expected(answer, vocabulary) {
  const bars = element('table', {class: 'bars'});
  for (const candidate of answer.candidates) {
    const bar = element('div');
    bar.style.width = 100 * candidate.probability + '%';
    const line = bars.insertRow();
    line.append(element('td', {class: 'name'}, candidate.token), element('td', {class: 'bar'}, bar),
        element('td', {class: 'number'}, probability(candidate.probability)));
    line.title = `${candidate.token}: probability ${candidate.probability.toPrecision(6)}, rank ${candidate.rank}`;
  }
  return element('div', {}, bars, element('div', {
    class: 'entropy', title: `0 is certain; ${Math.log(vocabulary).toFixed(1)} nats is any of ${vocabulary} tokens alike`,
  }, `entropy ${answer.entropy_nats.toFixed(2)} nats`));
}

function answerBox(answer, prompt, rung) {
  const left = element('div');
  if (answer.error) left.append(element('div', {class: 'error'}, answer.error));
  if (answer.look) {
    const look = answer.look;
    left.append(weightRow(answer, prompt, rung, look.title, look.weights, false));
    if (look.reason) left.firstChild.firstChild.title = `Shown because ${look.reason}.`;
    if (look.mean_title) left.append(weightRow(answer, prompt, rung, look.mean_title, look.mean_weights, true));
  }
  if (answer.note) left.append(element('p', {class: 'note'}, answer.note + '.'));
  if (answer.dropped) left.append(element('p', {class: 'note'}, answer.dropped + '.'));
  return element('div', {class: 'answer'}, left, answer.candidates ? expected(answer, data.rungs[rung].vocabulary) : null);
}

function rungBox(rung, index) {
  const head = element('div', {class: 'head'}, element('h2', {}, rung.title), element('span', {class: 'meaning'}, rung.meaning));
  if (rung.verdict) head.append(element('span', {class: rung.alike ? 'verdict alike' : 'verdict'}, rung.verdict));
  return section('rung', head, element('div', {class: two ? 'answers two' : 'answers one'},
      ...rung.answers.map((answer, prompt) => answerBox(answer, prompt, index))));
}

// ---- Putting it together ------------------------------------------------------------------------
document.head.append(element('style', {}, `
  body { max-width: 1240px; padding-bottom: 60px; }
  .rung { margin-top: 10px; padding: 12px 16px; }
  .rung h2 { font-size: 16px; margin: 0; }
  .prompt { font: 17px/1.6 var(--mono); overflow-wrap: anywhere; white-space: pre-wrap; }
  .letter {
    display: inline-block; min-width: 1.7em; text-align: center; font: bold 13px/1.7 var(--mono); color: var(--page);
    background: var(--soft); border-radius: 5px; margin-right: 8px;
  }
  .lesson { margin-top: 8px; }
  .head { display: flex; align-items: baseline; gap: 12px; flex-wrap: wrap; margin-bottom: 8px; }
  .head .meaning { color: var(--soft); }
  .verdict { margin-left: auto; font: 13px var(--mono); color: var(--accent); }
  .verdict.alike { color: var(--same); }
  .answers { border-top: 1px solid var(--line); padding-top: 8px; }
  .answers.two { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 12px 28px; }
  .answers.one .answer { display: grid; grid-template-columns: minmax(0, 1fr) 340px; gap: 6px 24px; }
  .answers.two table.bars { margin-top: 8px; }
  .answers table.bars { font-size: 14px; }
  .answers table.bars .name { width: 38%; max-width: 120px; }
  .look-title { color: var(--soft); font-size: 13px; margin-bottom: 2px; }
  .look + .look { margin-top: 6px; }
  .words { display: flex; flex-wrap: wrap; gap: 2px; font: 14px/1.35 var(--mono); max-height: 220px; overflow: auto; padding: 2px; }
  .words span {
    display: inline-block; text-align: center; padding: 1px 5px; border-radius: 4px; border: 1px solid var(--line);
    min-width: 38px; cursor: default; overflow-wrap: anywhere; white-space: pre-wrap;
  }
  .words span small { display: block; font-size: 11px; opacity: .85; }
  .words span.strongest { font-weight: bold; border-color: var(--accent); }
  .words span.here { outline: 2px solid var(--accent); }
  .look.faint .words { font-size: 12px; }
  .entropy { color: var(--soft); font-size: 13px; text-align: right; padding-right: 6px; }
  #word {
    position: fixed; left: 0; right: 0; bottom: 0; padding: 7px 24px; background: var(--panel);
    border-top: 1px solid var(--line); font: 13px var(--mono); overflow-wrap: anywhere;
  }
  #word b { color: var(--accent); }
  @media (max-width: 820px) {
    body { padding-bottom: 90px; }
    .answers.one .answer, .answers.two { grid-template-columns: minmax(0, 1fr); }
  }
  @media print { #word { display: none; } .words { max-height: none; } }`));
const prompts = section('');
data.prompts.forEach((prompt, i) => prompts.append(
    element('div', {class: 'prompt'}, two ? element('span', {class: 'letter'}, letters[i]) : null, prompt)));
for (const text of [...data.lesson, ...data.pieces, data.missing].filter((line) => line)) {
  prompts.append(element('p', {class: data.lesson.includes(text) ? 'lesson' : 'note'}, text));
}
const strip = legend(() => ({low: 0, high: 1, lowText: '0', highText: '1', color: (w) => sequential(Math.sqrt(w))}));
byId('main').append(prompts, ...data.rungs.map(rungBox), strip, readout);
frame('The ladder: from the last word to a transformer',
    [`${data.rungs.length} models, each of which can do one thing more than the one before`],
    data.rungs.map(({model}) => `${model.name} ${model.digest}`).join(' · ') + '. All numbers with --json.');
drawn(() => {
  for (const {span, weight} of cells) {
    const color = sequential(Math.sqrt(weight));
    span.style.background = css(color);
    span.style.color = inkOn(color);
  }
  strip.draw('How much the place that predicts reads from each word: after softmax, a row adds up to 1, the largest is ' +
      'framed. Of several heads the one is shown that looks hardest at a word past its neighbour and the first. Colours on ' +
      'a square-root scale. A weight says where a model read from, not what its answer depended on.');
});
