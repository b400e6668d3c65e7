"""Tests of `examples/browser`: the game, and the policy that plays it."""

import contextlib
import functools
import http.server
import json
import pathlib
import queue
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
import small
from tf_agents.utils import common

from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.environments import catch

_PAGE = pathlib.Path(__file__).resolve().parents[1] / 'examples' / 'browser'
_NODE = shutil.which('node')
_CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
_PATIENCE = 120  # seconds that the browser may take

# Plays the games on stdin: a JSON list of {balls, width, columns, actions}.
_GAMES = """
import {readFileSync} from 'node:fs';
const {Catch} = await import(process.argv[1]);
const hex = (image) => Buffer.from(image).toString('hex');
const played = JSON.parse(readFileSync(0)).map((told) => {
  let drawn = 0;
  const game = new Catch({
    nextColumn: () => told.columns[drawn++], balls: told.balls,
    paddleWidth: told.width});
  const seen = [game.reset(), ...told.actions.map((a) => game.step(a))];
  return {
    frames: seen.map((s) => hex(s.image)), rewards: seen.map((s) => s.reward),
    last: seen.map((s) => s.last), drawn};
});
console.log(JSON.stringify(played));
"""
# Holds the page, and sends here what it says until it has a record.
_WATCH = """
<iframe id="page" src="index.html?QUERY"></iframe>
<script>
setInterval(() => {
  const page = document.getElementById('page').contentDocument;
  const text = (id) => page?.getElementById(id)?.textContent ?? '';
  fetch('/', {method: 'POST', body: JSON.stringify(
      {record: text('record'), message: text('message')})});
}, 250);
</script>
"""
# Holds the page at a width, presses what there is and sends what it saw.
_PRESS = """
<iframe id="page" src="index.html?QUERY"
        style="width: WIDTHpx; height: 667px; border: 0"></iframe>
<script type="module">
const frame = document.getElementById('page');
const element = (id) => frame.contentDocument?.getElementById(id);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const until = async (met) => { while (!met()) await wait(20); };
const picture = () => element('board').toDataURL();
const paddle = () => {  // its leftmost pixel, -1 under a ball that lands
  const {data} =
      element('board').getContext('2d').getImageData(0, 59, 64, 1);
  return Array.from({length: 64}, (_, i) => data[4 * i]).indexOf(160);
};
const pointer = (id, kind) => element(id).dispatchEvent(
    new frame.contentWindow.PointerEvent(kind, {bubbles: true}));
const key = (kind) => frame.contentWindow.dispatchEvent(
    new frame.contentWindow.KeyboardEvent(kind, {key: 'ArrowRight'}));
const seen = {};

await until(() => element('toggle') && !element('toggle').disabled);
const page = frame.contentDocument;
seen.width = [frame.contentWindow.innerWidth, page.documentElement.scrollWidth];
seen.boxes = [...page.body.querySelectorAll(
    'canvas, button, input, output, td, p')].map((each) => {
  const box = each.getBoundingClientRect();
  return [each.id, box.left, box.right, box.height];
});
element('toggle').focus();
seen.outline = frame.contentWindow.getComputedStyle(
    element('toggle')).outlineStyle;

element('toggle').click();
const still = picture();
await wait(400);
seen.paused = [element('toggle').textContent, still === picture()];
element('toggle').click();
await until(() => picture() !== still);
seen.running = element('toggle').textContent;

seen.agents = [element('left').disabled, element('who').textContent];
element('who').click();
pointer('left', 'pointerdown');
await until(() => paddle() === 2);
pointer('left', 'pointerup');
key('keydown');
await until(() => paddle() === 50);
key('keyup');
seen.yours = [element('left').disabled, element('who').textContent];
await until(() => element('you-episodes').textContent);
seen.episodes = element('agent-episodes').textContent;
element('who').click();
await until(() => element('agent-episodes').textContent !== seen.episodes);
seen.done = true;
fetch('/', {method: 'POST', body: JSON.stringify(seen)});
</script>
"""


def play(environment, choose):
  """Plays an episode of one game with what `choose(time_step)` gives.

  Returns:
    Dict: `columns` of the balls, `actions`, `frames` in hexadecimal, `rewards`
    and `last`, the latter three of the first time step too.
  """
  time_step = environment.reset()
  played = {'columns': [], 'actions': [], 'frames': [], 'rewards': [],
            'last': []}
  while True:
    image = time_step.observation['image'].numpy()
    played['frames'].append(image.tobytes().hex())
    played['rewards'].append(float(time_step.reward[0]))
    played['last'].append(bool(time_step.is_last()[0]))
    if played['last'][-1]:
      return played
    if len(played['actions']) % catch.FALL == 0:
      played['columns'].append(int(environment.state.falling[0]))
    played['actions'].append(int(choose(time_step)))
    time_step = environment.step([played['actions'][-1]])


# The game ---------------------------------------------------------------------


@pytest.mark.skipif(not _NODE, reason='needs `node`')
@pytest.mark.parametrize('balls, width', [(5, 2), (1, 3), (2, 1), (2, 10)])
def test_the_game_in_javascript_is_that_of_the_environment(balls, width):
  environment = catch.Catch(seed=4, balls=balls, paddle_width=width)
  rng, state = np.random.default_rng(balls * width), environment.state

  def meet(offset):  # the ball with that column of the paddle, or beside it
    aim = lambda: np.sign(int(state.falling[0] - state.paddle[0]) - offset)
    return lambda _: 1 + aim() * rng.integers(1, 3)  # also out of bounds

  games = [
      play(environment, meet(offset)) for offset in (-1, 0, width - 1, width)
  ]
  told = [{**game, 'balls': balls, 'width': width} for game in games]
  process = subprocess.run(
      [_NODE, '--input-type=module', '--eval', _GAMES, _PAGE / 'catch.js'],
      input=json.dumps(told), capture_output=True, text=True, timeout=60,
      check=False,
  )
  assert process.returncode == 0, process.stderr[-2000:]
  for game, there in zip(games, json.loads(process.stdout), strict=True):
    assert there['drawn'] == balls
    for key in ('frames', 'rewards', 'last'):
      assert there[key] == game[key], key


# The page ---------------------------------------------------------------------


@contextlib.contextmanager
def serving(folder):
  """Serves a folder: its port, and a queue of what is posted to it."""
  posted = queue.Queue()

  class Handler(http.server.SimpleHTTPRequestHandler):

    def do_POST(self):
      length = int(self.headers['Content-Length'])
      posted.put(json.loads(self.rfile.read(length)))
      self.send_response(204)
      self.end_headers()

    def log_message(self, *unused_args):
      pass

  server = http.server.ThreadingHTTPServer(
      ('127.0.0.1', 0), functools.partial(Handler, directory=str(folder)))
  thread = threading.Thread(target=server.serve_forever)
  thread.start()
  try:
    yield server.server_address[1], posted
  finally:
    server.shutdown()
    thread.join()
    server.server_close()


@contextlib.contextmanager
def browsing(address, profile):
  """Chromium, without a window, that shows an address."""
  process = subprocess.Popen(
      [_CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu',
       '--disable-dev-shm-usage', f'--user-data-dir={profile}', address],
      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
  )
  try:
    yield
  finally:
    process.terminate()
    process.wait(30)


def look(folder, query, wanted, watch=_WATCH):
  """Opens the page: what it says once `wanted` is true of it."""
  (folder / 'watch.html').write_text(watch.replace('QUERY', query))
  said, deadline = 'nothing', time.monotonic() + _PATIENCE
  with serving(folder) as (port, posted), browsing(
      f'http://127.0.0.1:{port}/watch.html', folder.parent / 'profile'):
    while time.monotonic() < deadline:
      with contextlib.suppress(queue.Empty):
        said = posted.get(timeout=1)
        if wanted(said):
          return said
  pytest.fail(f'After {_PATIENCE} s the page says: {said}')


@pytest.fixture
def served(tmp_path):
  """A folder for the page and a policy; skips where the page cannot run."""
  if not _CHROMIUM:
    pytest.skip('needs `chromium`')
  if not (_PAGE / 'node_modules' / 'onnxruntime-web').is_dir():
    pytest.skip('needs `npm install` in examples/browser')
  folder = tmp_path / 'served'
  folder.mkdir()
  for name in (
      'index.html', 'page.js', 'catch.js', 'policy.js', 'node_modules'):
    (folder / name).symlink_to(_PAGE / name)
  return folder


def write_policy(served, environment):
  """Exports an agent's policy to the page: the policy."""
  pytest.importorskip('tf2onnx')
  agent = small.make_agent(
      observation=small.IMAGE, action=environment.action_spec())
  # Weights of a policy whose choices are none of them close.
  small.randomise(agent.world_model, seed=6, scale=0.4)
  small.randomise(agent.actor_critic, seed=7, scale=1.0)
  (served / 'policy').mkdir()
  export.write(
      agent, 'onnx', served / 'policy', {'task': 'catch', 'updates': 0})
  return export._policy(agent, 'onnx')


@pytest.mark.slow
def test_the_page_sees_and_does_what_the_agent_does(served):
  environment = catch.Catch(seed=2)
  policy = write_policy(served, environment)
  act = common.function(policy.action)
  nothing = policy.get_initial_state(1)
  state, forgetful = nothing, []

  def choose(time_step):
    nonlocal state
    taken, state, _ = act(time_step, state)
    forgetful.append(int(act(time_step, nothing).action))
    return taken

  one, two = (play(environment, choose) for _ in range(2))
  game = {key: one[key] + two[key] for key in one}
  # A constant action, or one that does not depend on the past, shows little.
  assert len(set(game['actions'])) == 3 and forgetful != game['actions']
  columns = ','.join(map(str, game['columns']))
  said = look(
      served, f'pause=0&columns={columns}', lambda said: said['record'])
  there = json.loads(said['record'])
  assert there['frames'] == game['frames']
  assert there['actions'] == game['actions']
  assert there['rewards'] == game['rewards']
  assert said['message'] == 'Policy of catch after 0 updates.'


@pytest.mark.slow
def test_without_a_policy_the_page_says_how_to_make_one(served):
  said = look(served, '', lambda said: '404' in said['message'])
  assert 'bin/export' in said['message'] and said['record'] == ''


@pytest.mark.slow
@pytest.mark.parametrize('width', [320, 375])
def test_on_a_phone_nothing_is_cut_and_the_buttons_work(width, served):
  write_policy(served, catch.Catch())
  seen = look(served, 'pause=20', lambda said: 'done' in said,
              _PRESS.replace('WIDTH', str(width)))
  inside, content = seen['width']
  assert content <= inside == width
  for name, left, right, height in seen['boxes']:
    assert 0 <= left <= right <= width, name
    if name in ('left', 'right', 'toggle', 'who', 'pause'):
      assert height >= 44 and right - left >= 44, name  # of a fingertip
    if name == 'board':
      assert right - left == height >= 200
  assert seen['outline'] == 'solid'
  assert seen['paused'] == ['Play', True] and seen['running'] == 'Pause'
  assert seen['agents'] == [True, 'Play yourself']
  assert seen['yours'] == [False, 'Let it play']


@pytest.mark.slow
def test_without_a_policy_you_may_play(served):
  seen = look(served, 'pause=0', lambda said: said['you'],
              _WATCH.replace("record: text('record')",
                             "you: text('you-episodes')"))
  assert seen['message'].endswith('Until then, play yourself.')
