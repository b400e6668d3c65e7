"""Tests of the terminal: plain lines, or a bar where there is one."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest

from dreamerv2_tfa.training import forecast
from dreamerv2_tfa.training import progress
from dreamerv2_tfa.training import timetable

_TIMETABLE = timetable.make(
    steps=8000, prefill=1000, pretrain=9, steps_per_update=5, log_every=500,
    eval_every=100_000, save_every=100_000)


class _Terminal(io.StringIO):

  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  """Returns a list whose only item is what the clock shows, in seconds."""
  now = [100.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  monkeypatch.setattr(forecast.time, 'monotonic', lambda: now[0])
  return now


def _plain(monkeypatch, steps=0, updates=0, steps_due=_TIMETABLE, **kwargs):
  output = io.StringIO()
  monkeypatch.setattr(sys, 'stdout', output)
  display = progress.Progress(steps_due, steps, updates, **kwargs)
  display.start()
  return display, output


def _train(display, clock, *, begin=1000, cycles=20, seconds=1.0):
  """Lets a display see updates: one every 5 steps, `seconds` each."""
  updates = _TIMETABLE.updates_due(begin)
  display.phase('train')
  for number in range(1, cycles + 1):
    display.advance(begin + 5 * number, updates + number - 1)
    clock[0] += seconds
    display.advance(begin + 5 * number, updates + number)
  return begin + 5 * cycles, updates + cycles


def _shown(monkeypatch, use, width=200, encoding='utf-8'):
  """What a terminal has got after `use` of a display, without colours."""
  terminal = _Terminal()
  monkeypatch.setattr(_Terminal, 'encoding', encoding, raising=False)
  monkeypatch.setattr(sys, 'stdout', terminal)
  monkeypatch.setenv('COLUMNS', str(width))
  monkeypatch.setenv('TERM', 'xterm')
  display = progress.Progress(_TIMETABLE, 1000, 10)
  display.start()
  use(display)
  display.close()
  return re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', terminal.getvalue())


def _refresh(display):
  display._live.refresh()


@pytest.mark.parametrize('fact', [
    '2,000 frames', '  375 updates', '200 fps', 'return -1.5',
    'model loss 3,760', 'critic loss 0.0912',
])
def test_a_plain_line_has(monkeypatch, clock, fact):
  display, output = _plain(monkeypatch)
  clock[0] += 10
  display.report(2000, 375, {
      'train_return': -1.5, 'model_loss': 3759.6, 'critic_loss': 0.0912})
  line, = output.getvalue().splitlines()
  assert fact in line.split(' | ')


def test_lines_of_numbers_are_aligned(monkeypatch, clock):
  display, output = _plain(monkeypatch)
  for frames, updates in (5, 1), (8000, 1410):
    clock[0] += 10
    display.report(frames, updates, {})
  one, other = output.getvalue().splitlines()
  assert one.index('frames') == other.index('frames')
  assert one.index('updates') == other.index('updates')


def test_frames_are_agent_steps_times_the_action_repeat(monkeypatch, clock):
  display, output = _plain(monkeypatch, repeat=4)
  clock[0] += 10
  display.report(400, 1, {})
  # As wide as the 32,000 of the end.
  assert output.getvalue().startswith('   400 frames | ')


def test_the_time_left_is_that_of_the_updates_that_are_left(
    monkeypatch, clock):
  display, output = _plain(monkeypatch, steps=1000, updates=10)
  steps, updates = _train(display, clock)
  display.report(steps, updates, {})
  # 6,900 steps, and five a second.
  assert output.getvalue().splitlines()[-1].endswith('| 23 min 0 s left')


def test_frames_a_second_are_those_since_the_last_report(monkeypatch, clock):
  display, _ = _plain(monkeypatch, steps=100)
  clock[0] += 10
  assert display.report(600, 1, {}) == pytest.approx(50)
  clock[0] += 4
  assert display.report(700, 2, {}) == pytest.approx(25)


def _prefill(display, clock):
  display.phase('prefill', 1000)
  for steps in range(10, 510, 10):
    clock[0] += 2.0
    display.advance(steps, 0)


def _evaluate(display, clock):
  display.phase('evaluate', 20)
  for episodes in range(20):
    clock[0] += 5.0
    display.episodes(episodes)


def _update_slowly(display, clock):
  _train(display, clock, cycles=5, seconds=20.0)


def _step_slowly(display, clock):
  display.phase('train')
  for _ in range(20):
    clock[0] += 5.0
    display.beat()


@pytest.mark.parametrize('use, word', [
    (_prefill, 'Prefill: 150 of 1,000 random steps, 5 steps/s.'),
    (_evaluate, 'Evaluate: 5 of 20 episodes.'),
    (_update_slowly,
     'Train: 13 of 1,410 updates, 20 s an update, 7 h 46 min left.'),
    (_step_slowly, 'Train: 10 of 1,410 updates.'),
], ids=['prefill', 'evaluate', 'update', 'step'])
def test_whatever_is_done_there_is_a_line_every_half_minute(
    monkeypatch, clock, use, word):
  start = {} if use is _prefill else dict(steps=1000, updates=10)
  display, output = _plain(monkeypatch, **start)
  spoken = []
  say = display.say
  monkeypatch.setattr(
      display, 'say', lambda text: spoken.append(clock[0]) or say(text))
  use(display, clock)
  assert word in output.getvalue()
  times = [100.0, *spoken, clock[0]]
  assert max(b - a for a, b in zip(times, times[1:], strict=False)) <= 40.0
  assert len(spoken) <= 4


def test_fast_work_prints_no_more_lines(monkeypatch, clock):
  display, output = _plain(monkeypatch)
  display.phase('prefill', 1000)
  for steps in range(0, 1000, 10):
    clock[0] += 0.1
    display.advance(steps, 0)
  display.close()
  assert output.getvalue() == ''


def test_without_a_terminal_no_control_characters_are_written(
    monkeypatch, clock):
  display, output = _plain(monkeypatch)
  display.say('Done.')
  _train(display, clock, cycles=40)
  display.report(400, 3, {'train_return': 1.0})
  display.close()
  assert output.getvalue().startswith('Done.\n')
  assert '\x1b' not in output.getvalue() and '\r' not in output.getvalue()


def test_the_whole_is_estimated_once_training_has_begun(monkeypatch, clock):
  display, output = _plain(monkeypatch, steps=1000, updates=10)
  _train(display, clock, cycles=25)
  said = [x for x in output.getvalue().splitlines() if 'Estimate' in x]
  # After ten seconds of whole cycles: the eleventh has shown ten to be whole.
  assert said == ['Estimate: 1,389 updates of about 1 s on this machine: '
                  '23 min 8 s in all.']


@pytest.mark.parametrize('gpu, updates, is_told', [
    (False, 3_125_000, True), (True, 3_125_000, False), (False, 100, False)])
def test_a_run_of_months_on_a_cpu_is_told_to_be_one_for_a_gpu(
    gpu, updates, is_told):
  line = progress.estimate(updates, 5.0, 5.0 * updates, gpu)
  assert line.startswith(f'Estimate: {updates:,} updates of about 5 s')
  assert ('180 days' in line) == (updates > 100)
  assert ('meant for a GPU' in line) == is_told


@pytest.mark.parametrize('fact', [
    'Train: 210 of 1,410 updates', '1 s an update', 'return -1.5',
    '20 min 0 s left', '━', '╌'])
def test_the_bar_of_a_terminal_has(monkeypatch, clock, fact):
  def use(display):
    display.report(0, 0, {'train_return': -1.5})
    _train(display, clock, cycles=200)
    _refresh(display)

  assert fact in _shown(monkeypatch, use)


@pytest.mark.parametrize('width', [20, 40, 60, 79, 80, 200])
def test_the_bar_is_never_wider_than_the_terminal(monkeypatch, clock, width):
  def use(display):
    display.report(0, 0, {'train_return': -1.5})
    _train(display, clock, cycles=200)
    _refresh(display)

  lines = re.split(r'[\r\n]+', _shown(monkeypatch, use, width))
  assert max(map(len, lines)) <= width
  assert max(len(line) for line in lines if 'Train:' in line) < width
  assert any(line.strip().startswith('Train: 210 of') for line in lines) or (
      any('━' in line and 'Train: 210 of' in line for line in lines))
  if width >= 60:
    assert any('20 min 0 s left' in line for line in lines)


def test_a_terminal_without_unicode_gets_a_plain_bar(monkeypatch, clock):
  def use(display):
    _train(display, clock, cycles=200)
    _refresh(display)

  text = _shown(monkeypatch, use, encoding='ascii')
  assert '#-' in text and text.isascii()


def test_the_bar_shows_no_return_before_there_is_one(monkeypatch, clock):
  def use(display):
    _train(display, clock, cycles=200)
    _refresh(display)

  assert 'return' not in _shown(monkeypatch, use)


def test_a_terminal_gets_no_plain_lines(monkeypatch):
  use = lambda display: display.report(2000, 375, {'model_loss': 1.0})
  assert 'model loss' not in _shown(monkeypatch, use)


def test_the_bar_returns_frames_a_second_as_well(monkeypatch, clock):
  def use(display):
    clock[0] += 10
    speeds.append(display.report(3000, 375, {}))

  speeds = []
  _shown(monkeypatch, use)
  assert speeds == [pytest.approx(200)]


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(
    monkeypatch, clock):
  terminal = _Terminal()
  monkeypatch.setattr(sys, 'stdout', terminal)
  monkeypatch.setenv('TERM', 'dumb')
  display = progress.Progress(_TIMETABLE, 1000, 10)
  display.start()
  display.report(*_train(display, clock), {'model_loss': 1.0})
  display.close()
  assert 'model loss 1 | 23 min 0 s left\n' in terminal.getvalue()
  assert '\x1b' not in terminal.getvalue()


def test_words_are_written_beside_the_bar_as_they_are(monkeypatch):
  use = lambda display: display.say('Evaluation [at 5] frames.')
  assert 'Evaluation [at 5] frames.\n' in _shown(monkeypatch, use)


_RAISES = '''
from dreamerv2_tfa.training import progress, timetable
import contextlib, time
steps_due = timetable.make(steps=80, prefill=10, pretrain=1, steps_per_update=5,
                     log_every=5, eval_every=50, save_every=50)
with contextlib.closing(progress.Progress(steps_due, 0, 0)) as display:
  display.start()
  display.phase('prefill', 10)
  display.advance(5, 0)
  time.sleep(0.6)
  raise KeyboardInterrupt
'''


def test_ctrl_c_leaves_the_cursor_as_it_was():
  leader, follower = pty.openpty()
  environ = {**os.environ, 'TERM': 'xterm', 'COLUMNS': '60'}
  process = subprocess.Popen(
      [sys.executable, '-c', _RAISES], stdout=follower, stdin=follower,
      stderr=subprocess.DEVNULL, env=environ)
  os.close(follower)
  shown = b''
  while True:
    try:
      got = os.read(leader, 65536)
    except OSError:  # the other end is closed
      break
    if not got:
      break
    shown += got
  os.close(leader)
  process.wait()
  assert b'Prefill: 5 of 10' in shown
  hidden, back = shown.rfind(b'\x1b[?25l'), shown.rfind(b'\x1b[?25h')
  assert -1 < hidden < back
