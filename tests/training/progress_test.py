"""Tests of the terminal: plain lines, or a bar where there is one."""

import io
import re
import sys

import pytest

from dreamerv2_tfa.training import progress


class _Terminal(io.StringIO):

  def isatty(self):
    return True


@pytest.fixture
def clock(monkeypatch):
  """Returns a list whose only item is what the clock shows, in seconds."""
  now = [100.0]
  monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
  return now


def _plain(monkeypatch, total=8000, done=0):
  output = io.StringIO()
  monkeypatch.setattr(sys, 'stdout', output)
  return progress.Progress(total, done), output


def _shown(monkeypatch, use):
  """What a wide terminal has got after `use` of a display, without colours."""
  terminal = _Terminal()
  monkeypatch.setattr(sys, 'stdout', terminal)
  monkeypatch.setenv('COLUMNS', '200')
  monkeypatch.setenv('TERM', 'xterm')
  display = progress.Progress(8000, 0)
  use(display)
  display.close()
  return re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', terminal.getvalue())


@pytest.mark.parametrize('fact', [
    '2,000 frames', '375 updates', '200 fps', 'train_return -1.5',
    'model_loss 12.3', '0 min left',
])
def test_a_plain_line_has(monkeypatch, clock, fact):
  display, output = _plain(monkeypatch)
  clock[0] += 10
  display.report(2000, 375, {'train_return': -1.5, 'model_loss': 12.34})
  line, = output.getvalue().splitlines()
  assert fact in line.split(' | ')


def test_the_time_left_is_what_the_rest_takes_at_the_speed_so_far(
    monkeypatch, clock):
  # 1,000 frames in 100 s; 6,000 are left: 600 s.
  display, output = _plain(monkeypatch)
  clock[0] += 100
  display.report(1000, 1, {})
  clock[0] += 100
  display.report(2000, 1, {})
  assert output.getvalue().splitlines()[1].endswith('10 min left')


def test_frames_of_earlier_sessions_do_not_count_as_speed(monkeypatch, clock):
  # 1,000 frames in 100 s; 2,000 are left: 200 s.
  display, output = _plain(monkeypatch, done=5000)
  clock[0] += 100
  assert display.report(6000, 1, {}) == pytest.approx(10)
  assert output.getvalue().rstrip().endswith('3 min left')


def test_frames_a_second_are_those_since_the_last_report(monkeypatch, clock):
  display, _ = _plain(monkeypatch)
  clock[0] += 10
  assert display.report(500, 1, {}) == pytest.approx(50)
  clock[0] += 4
  assert display.report(600, 2, {}) == pytest.approx(25)


def test_without_a_terminal_only_reports_are_written(monkeypatch):
  display, output = _plain(monkeypatch)
  display.phase('Prefill')
  display.advance(400, 3)
  display.close()
  assert output.getvalue() == ''


def test_without_a_terminal_no_control_characters_are_written(
    monkeypatch, clock):
  display, output = _plain(monkeypatch)
  display.say('Done.')
  clock[0] += 1
  display.report(400, 3, {'train_return': 1.0})
  display.close()
  assert output.getvalue().startswith('Done.\n')
  assert '\x1b' not in output.getvalue() and '\r' not in output.getvalue()


@pytest.mark.parametrize('fact', [
    'Train', '2,000/8,000 frames', '375 updates', 'fps', 'return -1.50', 'left',
])
def test_the_bar_of_a_terminal_has(monkeypatch, fact):
  def use(display):
    display.phase('Train')
    display.report(1000, 250, {'train_return': -1.5})
    display.advance(2000, 375)

  assert fact in _shown(monkeypatch, use)


def test_the_bar_shows_no_return_before_there_is_one(monkeypatch):
  use = lambda display: display.advance(2000, 375)
  assert 'return' not in _shown(monkeypatch, use)


def test_a_terminal_gets_no_plain_lines(monkeypatch):
  use = lambda display: display.report(2000, 375, {'model_loss': 1.0})
  assert 'model_loss' not in _shown(monkeypatch, use)


def test_the_bar_returns_frames_a_second_as_well(monkeypatch, clock):
  def use(display):
    clock[0] += 10
    speeds.append(display.report(2000, 375, {}))

  speeds = []
  _shown(monkeypatch, use)
  assert speeds == [pytest.approx(200)]


def test_words_are_written_beside_the_bar_as_they_are(monkeypatch):
  use = lambda display: display.say('Evaluation [at 5] frames.')
  assert 'Evaluation [at 5] frames.\n' in _shown(monkeypatch, use)
