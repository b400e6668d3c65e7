// The page: one episode after another, by the policy or by who looks at it.

import {Catch, SIZE} from './catch.js';

const STAY = 1; // the action; LEFT and RIGHT are those of the buttons
const MOVES = {left: 0, right: 2};
const KEYS = {ArrowLeft: 'left', ArrowRight: 'right'};

const parameters = new URLSearchParams(location.search);
const folder = parameters.get('policy') ?? 'policy';
const columns = parameters.get('columns')?.split(',').map(Number);

const element = (id) => document.getElementById(id);
const say = (id, text) => element(id).textContent = text;
const context = element('board').getContext('2d');

// What the controls have set.
let pause = Number(parameters.get('pause') ?? 120); // ms between steps
let paused = false;
let player = 'agent';  // or 'you'
let switched = false;  // whether the player is another than a step ago
let held = null;       // 'left' or 'right', while it is pressed
let tapped = null;     // likewise, until the next step
let resume = () => {}; // ends the wait of a pause

/** Shows an image of Catch on the canvas, which the style scales up. */
function draw(image) {
  const shown = context.createImageData(SIZE, SIZE);
  image.forEach((grey, i) => shown.data.set([grey, grey, grey, 255], 4 * i));
  context.putImageData(shown, 0, 0);
}

/** What the canvas holds: a string, two hexadecimal digits a pixel. */
function shown() {
  const {data} = context.getImageData(0, 0, SIZE, SIZE);
  const grey = Array.from({length: SIZE * SIZE}, (_, i) => data[4 * i]);
  return grey.map((level) => level.toString(16).padStart(2, '0')).join('');
}

/** The action of the pressed button or key; a short tap counts for a step. */
function yours() {
  const move = held ?? tapped;
  tapped = null;
  return move ? MOVES[move] : STAY;
}

/** Waits for the next step, and as long as the game is paused. */
async function wait() {
  await new Promise((resolve) => setTimeout(resolve, pause));
  while (paused) await new Promise((resolve) => resume = resolve);
}

/**
 * Plays an episode, and calls `seen` after each frame.
 *
 * @return {Promise<?number>} Its return; null where the player was switched.
 */
async function episode(policy, game, seen) {
  const who = player;
  policy?.reset();
  switched = false;
  let total = 0;
  for (let frame = game.reset(); ; ) {
    total += frame.reward;
    draw(frame.image);
    say(`${who}-return`, total);
    let action = null;
    if (!frame.last && who === 'agent') {
      action = (await policy.act({image: frame.image}))[0];
    }
    seen(frame.reward, action);
    if (frame.last) return total;
    await wait();
    if (switched) return null;
    frame = game.step(action ?? yours());
  }
}

/** Plays with balls in `columns` until none is left, and records it. */
async function record(policy) {
  const left = [...columns];
  const game = new Catch({nextColumn: () => left.shift()});
  const kept = {rewards: [], actions: [], frames: []};
  while (left.length) {
    await episode(policy, game, (reward, action) => {
      kept.rewards.push(reward);
      kept.frames.push(shown());
      if (action !== null) kept.actions.push(action);
    });
  }
  say('record', JSON.stringify(kept));
}

/** Plays for ever; `policy` is null where there is none. */
async function play(policy) {
  const game = new Catch();
  const count = {agent: 0, you: 0}, sum = {agent: 0, you: 0};
  enable(policy);
  for (;;) {
    const who = player;
    const total = await episode(policy, game, () => {});
    if (total === null) continue;
    sum[who] += total;
    count[who] += 1;
    say(`${who}-mean`, (sum[who] / count[who]).toFixed(2));
    say(`${who}-episodes`, count[who]);
  }
}

// The controls -----------------------------------------------------------------

/** Lets a player play; the arrows are for you alone. */
function choose(who) {
  switched ||= who !== player;
  player = who;
  held = tapped = null;
  say('who', who === 'agent' ? 'Play yourself' : 'Let it play');
  for (const id in MOVES) element(id).disabled = who === 'agent';
  if (paused) toggle();
}

function toggle() {
  paused = !paused;
  say('toggle', paused ? 'Play' : 'Pause');
  resume();
}

function press(move) {
  held = tapped = move;
}

function release(move) {
  if (held === move) held = null;
}

/** Connects the controls; without a policy you play. */
function enable(policy) {
  element('toggle').disabled = false;
  element('toggle').onclick = toggle;
  element('who').disabled = !policy;
  element('who').onclick = () => choose(player === 'agent' ? 'you' : 'agent');
  for (const id in MOVES) {
    element(id).onpointerdown = () => press(id);
    element(id).onclick = (event) => { // by a key, which has no pointer
      if (event.detail === 0 && !held) tapped = id;
    };
    for (const end of ['pointerup', 'pointercancel', 'pointerleave']) {
      element(id).addEventListener(end, () => release(id));
    }
    element(id).oncontextmenu = (event) => event.preventDefault();
  }
  addEventListener('keydown', (event) => {
    const move = KEYS[event.key];
    if (!move || player === 'agent' || event.target === element('pause')) return;
    event.preventDefault();
    if (!event.repeat) press(move);
  });
  addEventListener('keyup', (event) => release(KEYS[event.key]));
  addEventListener('blur', () => held = null);
  if (!policy) choose('you');
}

function slide() {
  pause = Number(element('pause').value);
  say('milliseconds', `${pause} ms`);
}

/** Loads the policy, and refuses one for another game. */
async function load() {
  const {Policy} = await import('./policy.js').catch((error) => {
    throw new Error(`${error.message}. Was \`npm install\` run here?`);
  });
  const policy = await Policy.load(folder);
  const {shape} = policy.facts.observation.image ?? {shape: []};
  if (String(shape) !== '64,64,1' || policy.facts.action.maximum !== 2) {
    throw new Error(`${folder} is no policy for Catch, ` +
                    `but for ${policy.facts.task}.`);
  }
  return policy;
}

element('pause').value = pause;
say('milliseconds', `${pause} ms`);
element('pause').oninput = slide;
try {
  const policy = await load();
  say('message', `Policy of ${policy.facts.task} after ` +
                 `${policy.facts.updates} updates.`);
  await (columns ? record : play)(policy);
} catch (error) {
  say('message', `${error.message} Until then, play yourself.`);
  if (!columns) await play(null);
}
