'use strict';
// heed explore and heed explain: one row of attention from query and keys to the logit, with weights to drag at. What
// follows from the row alone is computed here; the prediction comes from the server, when the page is served by one.
// `data` is described in client/cli/explore/explore_page.h; messages are protobuf's JSON.

// ---- Messages -----------------------------------------------------------------------------------
const floatsOf = (tensor) => tensor && tensor.data ? Array.from(f32Of(tensor.data)) : [];
// A token as the command line shows it: spaces, line ends and tabs can be seen.
function visible(token) {
  const text = token.text || '';
  if (token.special || !text) return token.piece || text || '(empty)';
  const hex = (value, digits) => value.toString(16).toUpperCase().padStart(digits, '0');
  if (text.includes('\uFFFD') && token.bytes) {  // part of a character
    return Array.from(bytesOf(token.bytes), (byte) => byte > 0x20 && byte < 0x7F ? String.fromCharCode(byte) : byte === 0x20 ? '·' : `<${hex(byte, 2)}>`).join('');
  }
  const shown = [...text].map((c) => c === ' ' ? '·' : c === '\n' ? '↵' : c === '\t' ? '⇥'
      : /[\p{C}\p{Z}]/u.test(c) ? `<U+${hex(c.codePointAt(0), 4)}>` : c);
  return shown.join('');
}
// The row in plain arrays.
function readRow(message) {
  const keyCount = Number(message.keyCount);
  const vectors = (tensor) => {
    const values = floatsOf(tensor);
    const width = keyCount ? values.length / keyCount : 0;
    return width ? Array.from({length: keyCount}, (_, key) => values.slice(key * width, (key + 1) * width)) : null;
  };
  return {
    layer: message.layer || 0, head: message.head || 0, query: Number(message.query || 0), keyCount,
    q: floatsOf(message.queryVector), k: vectors(message.keyVectors), v: vectors(message.valueVectors),
    raw: floatsOf(message.raw), scaled: floatsOf(message.scaled), masked: floatsOf(message.masked),
    weights: floatsOf(message.weights), norms: floatsOf(message.valueNorms), context: floatsOf(message.context),
    shares: (message.logitShares || []).map(({token, share, byKey}) => ({token: visible(token), share: share || 0, byKey: floatsOf(byKey)})),
  };
}
const readPrediction = (message) => ({
  position: Number(message.position || 0), kl: message.klFromBase || 0, entropy: message.entropy || 0,
  baseEntropy: message.baseEntropy || 0,
  words: new Map([...(message.baseCandidates || []), ...(message.candidates || []), ...(message.followed || [])].map((one) => [
    one.candidate.token.id || 0,
    {token: visible(one.candidate.token), p: one.candidate.probability || 0, base: one.baseProbability || 0},
  ])),
});

// ---- State --------------------------------------------------------------------------------------
const {opened} = data.response;
const tokens = (opened.prompt.tokens || []).map(visible);
const label = (position) => `${tokens[position]} ${position}`;
let own = readRow(data.response.hovered.base || data.response.hovered.row);  // the model's row
let weights = readRow(data.response.hovered.row).weights;                    // the row as it is now
let prediction = data.response.predictions && data.response.predictions.length ? readPrediction(data.response.predictions[0]) : null;
let pointed = largestAt(own.weights);  // the key whose vectors are shown
let beta = 1;
let showAll = false;
let stale = false;  // the prediction is not of these weights
let connection = data.live ? 'live' : 'file';
const isOwn = () => weights.every((weight, key) => weight === own.weights[key]);

// ---- Weights ------------------------------------------------------------------------------------
const sees = (key) => own.masked.length ? own.masked[key] > -Infinity : true;
// One weight as given; the others keep their proportions and share the rest.
function setWeight(key, value) {
  const others = weights.map((_, other) => other).filter((other) => other !== key && sees(other));
  const rest = others.reduce((sum, other) => sum + weights[other], 0);
  const next = weights.map(() => 0);
  for (const other of others) next[other] = rest > 1e-9 ? weights[other] * (1 - value) / rest : (1 - value) / others.length;
  next[key] = others.length ? value : 1;
  changed(next);
}
function softmax(scores, factor) {
  // 0 times minus infinity is no number: what is masked stays masked.
  const seen = scores.map((score) => score === -Infinity ? -Infinity : score * factor);
  const most = Math.max(...seen);
  const raised = seen.map((score) => Math.exp(score - most));
  const sum = raised.reduce((total, value) => total + value, 0);
  return raised.map((value) => value / sum);
}
const presets = {
  own: ["the model's", () => own.weights.slice()],
  uniform: ['average', () => { const n = own.weights.filter((_, key) => sees(key)).length; return own.weights.map((_, key) => sees(key) ? 1 / n : 0); }],
  last: ['last word', () => { const last = own.weights.map((_, key) => key).filter(sees).pop(); return own.weights.map((_, key) => key === last ? 1 : 0); }],
  first: ['first word', () => own.weights.map((_, key) => key === 0 ? 1 : 0)],
};
function changed(next, newBeta = null) {
  weights = next;
  beta = newBeta;
  drawRow();
  tell();
}

// ---- The server ---------------------------------------------------------------------------------
// One post at a time: what changes meanwhile goes with the next.
const page = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
let sequence = 0;
let isOpen = false;
let underWay = false;
let waiting = null;
function editNow() {
  if (isOwn()) return {};
  const place = {layers: [own.layer], heads: [own.head], positions: [{begin: own.query, end: own.query + 1}]};
  if (beta !== null) return {interventions: [{...place, scaleScores: {beta}}]};
  return {interventions: [{...place, setWeights: {weights: weights.slice(), renormalize: true}}]};
}
function tell(more = {}) {
  if (connection !== 'live') {
    fromRecord();
    return;
  }
  stale = true;
  waiting = {...(waiting || {}), edits: editNow(), ...more};
  drawPrediction();
  if (!underWay) post();
}
async function post() {
  underWay = true;
  while (waiting) {
    const request = {...(isOpen ? {} : data.request), ...waiting, sequence: ++sequence};
    waiting = null;
    try {
      const response = await fetch('/explore', {
        method: 'POST', headers: {'Content-Type': 'application/json', 'X-Heed-Page': page}, body: JSON.stringify(request),
      });
      if (response.status === 204) continue;
      const answer = await response.json();
      if (response.status === 410 && isOpen) {  // the session is over: begin another
        isOpen = false;
        waiting = {hover: hoverNow(), edits: editNow(), ...(waiting || {})};
        continue;
      }
      if (!response.ok) throw new Error((answer.error && answer.error.message) || `the server answered ${response.status}`);
      isOpen = true;
      receive(answer);
    } catch (error) {
      connection = 'lost';
      status(`No live predictions: ${error.message}. The numbers of the row still follow.`);
      waiting = null;
    }
  }
  underWay = false;
}
function receive(answer) {
  if (answer.error) {
    status(answer.error.message || 'The server refused the edit.');
    return;
  }
  for (const message of answer.predictions || []) prediction = readPrediction(message);
  if (answer.hovered && (answer.hovered.base || (answer.hovered.row && isOwn()))) {
    const row = readRow(answer.hovered.base || answer.hovered.row);
    const moved = row.layer !== own.layer || row.head !== own.head || row.query !== own.query;
    own = row;
    if (moved) {
      weights = own.weights.slice();
      beta = 1;
      pointed = largestAt(weights);
      build();
    }
  }
  stale = waiting !== null;
  status('');
  drawPrediction();
}
const hoverNow = () => ({...(data.request.hover || {}), layer: own.layer, head: own.head, query: own.query, vectors: true});
function look(layer, head, query) {
  if (connection !== 'live') return;
  weights = own.weights.slice();
  beta = 1;
  tell({hover: {...hoverNow(), layer, head, query}});
}
// In a file: the dial's answers that were kept.
const records = (data.recorded || []).map(({request, response}) => {
  const edits = (request.edits && request.edits.interventions) || [];
  const scale = edits.length ? edits[0].scaleScores : null;
  return {beta: scale ? scale.beta || 0 : 1, response};
});
function fromRecord() {
  const kept = isOwn() ? {response: data.response} : beta !== null && records.find((record) => Math.abs(record.beta - beta) < 1e-9);
  stale = !kept;
  if (kept && kept.response.predictions && kept.response.predictions.length) prediction = readPrediction(kept.response.predictions[0]);
  drawPrediction();
}

// ---- The parts of the page ----------------------------------------------------------------------
document.head.append(element('style', {}, `
  table.row { border-collapse: collapse; font: 13px var(--mono); width: 100%; }
  table.row th { font: 12px system-ui, sans-serif; font-weight: 400; color: var(--soft); text-align: right; padding: 2px 8px 4px 0; vertical-align: bottom; }
  table.row td { padding: 1px 8px 1px 0; border-top: 1px solid var(--line); text-align: right; white-space: nowrap; }
  table.row .token { text-align: left; white-space: pre; max-width: 150px; overflow: hidden; text-overflow: ellipsis; }
  table.row tr.pointed td { background: color-mix(in srgb, var(--accent) 12%, transparent); }
  table.row tr.masked { opacity: .45; }
  table.row .weight { width: 34%; min-width: 130px; }
  table.row button { font-size: 11px; padding: 0 6px; }
  .when-narrow { display: none; }
  @media (max-width: 600px) {
    table.row :is(th, td):is(:nth-child(3), :nth-child(4), :nth-child(5)) { display: none; }
    .when-narrow { display: block; }
  }
  input.weight-bar { -webkit-appearance: none; appearance: none; width: 100%; height: 16px; border-radius: 3px; cursor: ew-resize; margin: 0;
    background: linear-gradient(to right, var(--bar) var(--share), var(--line) var(--share)); position: relative; vertical-align: middle; }
  input.weight-bar::-webkit-slider-thumb { -webkit-appearance: none; width: 6px; height: 20px; background: var(--ink); border-radius: 2px; }
  input.weight-bar::-moz-range-thumb { width: 6px; height: 20px; background: var(--ink); border: 0; border-radius: 2px; }
  .live { border-left: 4px solid var(--same); padding-left: 10px; }
  .file { border-left: 4px solid var(--soft); padding-left: 10px; }
  code { font: 13px var(--mono); }
  .stale { opacity: .45; }
  table.words td { padding: 1px 6px 1px 0; font: 13px var(--mono); }
  table.words .pair { width: 45%; }
  table.words .pair div { height: 7px; border-radius: 2px; min-width: 1px; margin: 1px 0; }
  table.words .was { background: var(--soft); opacity: .55; }
  table.words .now { background: var(--bar); }
  .strip { display: grid; grid-template-columns: 76px minmax(0, 1fr) 74px; gap: 2px 8px; align-items: center; font: 12px var(--mono); }
  .strip canvas { width: 100%; height: 18px; display: block; border: 1px solid var(--line); border-radius: 2px; }`));
const text = ribbon(tokens, {onPoint: point, onChoose: (position) => look(own.layer, own.head, position)});
const textTitle = element('h2');
const message = element('p', {class: 'note', 'aria-live': 'polite'});
const status = (words) => { message.textContent = words; message.hidden = !words; };
const layerChoice = element('select', {'aria-label': 'layer'},
    ...Array.from({length: opened.layerCount || own.layer + 1}, (_, layer) => option(layer, `layer ${layer}`)));
const headChoice = element('select', {'aria-label': 'head'},
    ...Array.from({length: opened.headCount || own.head + 1}, (_, head) => option(head, `head ${head}`)));
for (const choice of [layerChoice, headChoice]) {
  choice.disabled = !data.live;
  choice.addEventListener('change', () => look(Number(layerChoice.value), Number(headChoice.value), own.query));
}
// The dial: from diffuse over the model's own, in the middle, to sharp; in a file with kept answers, those.
const dialSteps = records.length ? records.map((record) => record.beta) : null;
const dial = element('input', {type: 'range', min: 0, max: dialSteps ? dialSteps.length - 1 : 100, step: 1, 'aria-label': 'focus'});
const dialText = element('span', {class: 'number', style: 'min-width: 9ch'});
const betaOf = (place) => dialSteps ? dialSteps[place] : place <= 50 ? place / 50 : Math.pow(16, (place - 50) / 50);
const placeOf = (factor) => dialSteps ? dialSteps.reduce((best, step, i) => Math.abs(step - factor) < Math.abs(dialSteps[best] - factor) ? i : best, 0)
    : factor <= 1 ? factor * 50 : 50 + 50 * Math.log(factor) / Math.log(16);
dial.addEventListener('input', () => {
  const factor = betaOf(Number(dial.value));
  changed(factor === 1 ? own.weights.slice() : softmax(own.masked, factor), factor);
});
const presetButtons = Object.entries(presets).map(([key, [name, make]]) => {
  const button = element('button', {type: 'button', onclick: () => changed(make(), key === 'own' ? 1 : null)}, name);
  button.make = make;
  return button;
});
const rowTitle = element('h2');
const table = element('table', {class: 'row'});
const more = element('button', {type: 'button', onclick: () => { showAll = !showAll; build(); }});
const rowNote = element('p', {class: 'note', style: 'margin-top: 8px'});
const words = element('table', {class: 'words', style: 'width: 100%'});
const wordsNote = element('p', {class: 'note', style: 'margin-top: 8px'});
const vectorTitle = element('h2');
const strips = element('div', {class: 'strip'});
const vectorNote = element('p', {class: 'note', style: 'margin-top: 8px'});
const where = data.live
    ? element('p', {class: 'live'}, `Live: each change is put to ${data.server || 'the server'}, and the prediction follows. Click a word to look at its row.`)
    : element('p', {class: 'file'}, 'This is a file: drag, and all that follows from the row alone follows, but not the prediction' +
        (records.length ? ', which is kept for the dial\'s steps' : '') + '. To have it live, with a server running: ',
        element('code', {}, data.command));
byId('main').append(
    section('text', where, textTitle, text.box, message),
    element('div', {class: 'columns', style: 'margin-top: 14px'},
        section('wide', rowTitle,
            element('div', {class: 'controls'}, layerChoice, headChoice, ...presetButtons,
                element('label', {}, 'focus ', dial, dialText)),
            element('div', {class: 'scroll'}, table), more, rowNote,
            element('p', {class: 'note when-narrow'}, 'A wider screen has the scores too: q·k, scaled and masked.')),
        section('side', element('h2', {}, data.at_or_after === 'at' ? 'What it says here' : 'What comes next'), words, wordsNote)),
    section('', vectorTitle, strips, vectorNote));

// ---- The row ------------------------------------------------------------------------------------
const mostKeys = 24;
let lines = [];
function build() {
  const order = own.weights.map((_, key) => key);
  const kept = new Set([...order].sort((a, b) => own.weights[b] - own.weights[a]).slice(0, mostKeys));
  const shown = showAll ? order : order.filter((key) => kept.has(key) || key === own.query);
  more.hidden = order.length <= mostKeys;
  more.textContent = showAll ? `only the ${mostKeys} largest` : `all ${order.length} words`;
  layerChoice.value = own.layer;
  headChoice.value = own.head;
  table.textContent = '';
  const head = table.insertRow();
  const titles = [['', ''], ['word', ''], ['q·k', 'the dot product of the query with this key'],
    ['scaled', 'times the scale, 1/√d in most models'], ['masked', 'with position biases, and −∞ where the row may not look'],
    ['weight: drag it', 'softmax of the masked scores'], ['', ''], ['', ''], ['‖v·W‖', 'the length of what this word would give through the output projection'],
    ['w·‖v·W‖', 'the same times the weight']];
  for (const {token} of own.shares) titles.push([`to ${token}`, `what this word gives to the logit of ${token}, by the direct path`]);
  titles.forEach(([name, title], i) => head.append(element('th', {title, style: i === 1 ? 'text-align: left' : null}, name)));
  lines = shown.map((key) => {
    const bar = element('input', {type: 'range', class: 'weight-bar', min: 0, max: 1, step: 0.001, 'aria-label': `weight of ${label(key)}`});
    bar.disabled = !sees(key);
    bar.addEventListener('input', () => setWeight(key, Number(bar.value)));
    bar.addEventListener('focus', () => point(key));
    const cell = (content, className = '') => element('td', {class: className}, content);
    const line = {key, bar, weight: cell(''), norm: cell(''), shares: own.shares.map(() => cell('')),
      cut: element('button', {type: 'button', title: 'weight 0, the others share it', onclick: () => setWeight(key, 0)}, 'cut')};
    line.box = element('tr', {class: sees(key) ? '' : 'masked'}, cell(String(key)), cell(tokens[key], 'token'),
        cell(number(own.raw[key] ?? null)), cell(number(own.scaled[key] ?? null)),
        cell(own.masked[key] === -Infinity ? '−∞' : number(own.masked[key] ?? null)), cell(bar, 'weight'), line.weight, cell(line.cut),
        cell(number(own.norms[key] ?? null)), line.norm, ...line.shares);
    line.box.addEventListener('mouseenter', () => point(key));
    table.append(line.box);
    return line;
  });
  drawRow();
}
// By the direct path a word's share of a logit grows with its weight.
function shareOf(share, key) {
  if (weights[key] === own.weights[key]) return share.byKey[key];
  return own.weights[key] > 1e-20 ? share.byKey[key] * weights[key] / own.weights[key] : weights[key] === 0 ? 0 : NaN;
}
function drawRow() {
  rowTitle.textContent = `Layer ${own.layer}, head ${own.head}: the row of ${label(own.query)}, step by step`;
  textTitle.textContent = `The text, as ${label(own.query)} reads it`;
  for (const {key, bar, weight, norm, shares} of lines) {
    if (Math.abs(Number(bar.value) - weights[key]) > 0.0005) bar.value = weights[key];
    bar.style.setProperty('--share', `${100 * weights[key]}%`);
    weight.textContent = weights[key].toFixed(4);
    norm.textContent = number(own.norms.length ? own.norms[key] * weights[key] : null);
    shares.forEach((cell, i) => {
      const share = shareOf(own.shares[i], key);
      cell.textContent = Number.isNaN(share) ? '?' : signed(share);
      cell.className = share < 0 ? 'down' : 'up';
    });
  }
  dial.value = beta === null ? dial.value : placeOf(beta);
  dialText.textContent = beta === null ? 'by hand' : `β = ${Number(beta.toPrecision(3))}`;
  presetButtons.forEach((button) => {
    const values = button.make();
    button.setAttribute('aria-pressed', weights.every((weight, key) => Math.abs(weight - values[key]) < 1e-9));
  });
  const totals = own.shares.map((share) => {
    const now = weights.reduce((sum, _, key) => sum + shareOf(share, key), 0);
    const was = share.byKey.reduce((sum, value) => sum + value, 0);
    return ` To the logit of ${share.token} the row gives ${Number.isNaN(now) ? '?' : signed(now)}${isOwn() ? '' : ` (the model's: ${signed(was)})`}.`;
  });
  const entropy = entropyNats(weights);
  rowNote.textContent = `Entropy ${entropy.toFixed(3)} nats, as if it read ${Math.exp(entropy).toFixed(1)} words alike; the weights add up to ` +
      `${weights.reduce((sum, weight) => sum + weight, 0).toFixed(4)}.${totals.join('')} Drag a weight and the others keep their ` +
      'proportions and share the rest. The focus dial multiplies the masked scores by β before softmax. Shares of a logit are those ' +
      'of the direct path, at the scale that the last norm had.';
  text.spans.forEach((span, position) => {
    const seen = position < own.keyCount && sees(position);
    const color = seen ? sequential(Math.sqrt(weights[position])) : null;
    span.style.background = seen ? css(color) : 'none';
    span.style.color = seen ? inkOn(color) : 'inherit';
    span.classList.toggle('query', position === own.query);
    span.classList.toggle('hidden', !seen);
    span.title = `position ${position}` + (seen ? `: weight ${weights[position].toFixed(4)}` : ': not seen');
  });
  drawVectors();
  drawFrame();
}

// ---- Vectors ------------------------------------------------------------------------------------
// A vector as a strip of cells, blue below and orange above 0.
function strip(name, values, most, fact) {
  const canvas = element('canvas', {width: Math.max(values.length, 1), height: 1, role: 'img', 'aria-label': name});
  canvas.style.imageRendering = 'pixelated';
  const context = canvas.getContext('2d');
  values.forEach((value, i) => {
    context.fillStyle = css(diverging(value / most));
    context.fillRect(i, 0, 1, 1);
  });
  canvas.addEventListener('mousemove', (event) => {
    const at = clamp(Math.floor(event.offsetX / canvas.clientWidth * values.length), 0, values.length - 1);
    canvas.title = `${name}[${at}] = ${values[at].toPrecision(5)}`;
  });
  strips.append(element('span', {}, name), canvas, element('span', {class: 'number'}, fact));
}
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const norm = (a) => Math.sqrt(dot(a, a));
const most = (...vectors) => Math.max(1e-12, ...vectors.flat().map(Math.abs));
function drawVectors() {
  strips.textContent = '';
  vectorTitle.textContent = `The vectors of ${label(pointed)}, and the blend`;
  if (own.q.length && own.k && pointed < own.keyCount) {
    const [q, k] = [own.q, own.k[pointed]];
    const products = q.map((value, i) => value * k[i]);
    strip('q', q, most(q, k), `|q| ${number(norm(q))}`);
    strip('k', k, most(q, k), `|k| ${number(norm(k))}`);
    strip('q × k', products, most(products), `sum ${number(dot(q, k))}`);
  }
  if (!own.v) {
    vectorNote.textContent = own.context.length ? 'The row is too long for its value vectors to come along, so that the blend cannot be computed here.' : '';
    return;
  }
  const blend = own.v[0].map((_, i) => weights.reduce((sum, weight, key) => sum + weight * own.v[key][i], 0));
  const scale = most(blend, own.context, own.v[pointed] || []);
  if (pointed < own.keyCount) strip('v', own.v[pointed], scale, `|v| ${number(norm(own.v[pointed]))}`);
  if (!isOwn()) strip("model's", own.context, scale, `|z| ${number(norm(own.context))}`);
  strip(isOwn() ? 'blend' : 'your blend', blend, scale, `|z| ${number(norm(blend))}`);
  const apart = isOwn() ? `It differs from the server's by at most ${Math.max(...blend.map((value, i) => Math.abs(value - own.context[i]))).toExponential(1)}.`
      : `Its cosine to the model's is ${(dot(blend, own.context) / (norm(blend) * norm(own.context) || 1)).toFixed(4)}.`;
  vectorNote.textContent = `The blend is the sum of weight × v over all words, computed here from the weights above. ${apart} Point at a word for its vectors.`;
}
function point(key) {
  if (key >= own.keyCount || key === pointed) return;
  pointed = key;
  for (const line of lines) line.box.classList.toggle('pointed', line.key === key);
  drawVectors();
}

// ---- The prediction -----------------------------------------------------------------------------
function drawPrediction() {
  words.textContent = '';
  if (!prediction) {
    wordsNote.textContent = 'This model has no words to predict here.';
    return;
  }
  const list = [...prediction.words.values()].sort((a, b) => Math.max(b.p, b.base) - Math.max(a.p, a.base)).slice(0, 10);
  const top = Math.max(1e-9, ...list.map(({p, base}) => Math.max(p, base)));
  for (const {token, p, base} of list) {
    const was = element('div', {class: 'was', title: `the model's: ${base}`});
    const now = element('div', {class: 'now', title: `now: ${p}`});
    was.style.width = 100 * base / top + '%';
    now.style.width = 100 * p / top + '%';
    words.append(element('tr', {}, element('td', {style: 'white-space: pre; max-width: 110px; overflow: hidden; text-overflow: ellipsis'}, token),
        element('td', {class: 'pair'}, was, now), element('td', {class: 'number'}, Math.abs(p - base) < 5e-7 ? probability(p) : `${probability(base)} → ${probability(p)}`)));
  }
  const known = connection === 'live' || !stale;
  words.classList.toggle('stale', stale);
  wordsNote.textContent = known
      ? `${data.at_or_after === 'at' ? 'At' : 'After'} ${label(prediction.position)}.` + (isOwn() ? '' : ` Above the model's own, below the one with your row; KL ${number(prediction.kl)} nats.`)
      : `The model's own prediction ${data.at_or_after} ${label(prediction.position)}: that of your row needs a server.`;
}

// The foot names what has been done to the row beside the edits of the base.
const {edits, edit_count: editCount, definition} = data.source;
const baseEdits = edits.length || !editCount ? edits : [count(editCount, 'edit')];
const isOfKl = /^KL/.test(definition);  // of the prediction's distance, not of the row
function drawFrame() {
  const place = `layer ${own.layer} head ${own.head}, row ${label(own.query)}`;
  const edit = isOwn() ? [] : [beta === null ? `weights by hand in ${place}` : `focus ${Number(beta.toPrecision(3))} in ${place}`];
  Object.assign(data.source, {edits: [...baseEdits, ...edit], definition: isOfKl ? '' : definition});
  frame('One row of attention', [opened.provenance && opened.provenance.model && opened.provenance.model.name,
    count(tokens.length, 'token'), data.live ? 'live' : ''], isOfKl ? `Definition of KL: ${definition}.` : '');
}
status('');
build();
drawn(() => { drawRow(); drawPrediction(); });
if (data.live) {
  waiting = {};
  post();
}
