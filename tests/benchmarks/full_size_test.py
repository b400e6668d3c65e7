"""`benchmarks/full_size/run`: its verdict by hand, and a tiny run, resumed."""

import csv
import math
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PROGRAM = _ROOT / 'benchmarks' / 'full_size' / 'run'
sys.path.append(str(_PROGRAM.parent))
import verdicts  # noqa: E402 - needs the path

# A figure at f is the mean over (f - 30, f + 10].
_SUITE = verdicts.Suite(('one',), 2, 'train_return', 30, 10, 5)
_POINTS = [
    verdicts.Point(30, 12.0, 10.0, 15.0, 5),
    verdicts.Point(60, 22.0, 20.0, 26.0, 5),
]


def _rows(**returns):
  return [{'step': int(step[1:]), 'train_return': value}
          for step, value in returns.items()]


def _verdict(rows):
  return verdicts.verdict(verdicts.compare(rows, _POINTS, _SUITE))


@pytest.mark.parametrize('value, where', [
    (9.9, 'below'), (10.0, 'inside'), (15.0, 'inside'), (15.1, 'above')])
def test_the_verdict_is_by_the_lowest_and_the_highest_seed(value, where):
  assert _verdict(_rows(f40=value)) == where


def test_it_is_too_early_until_the_whole_mean_is_there():
  assert _verdict([]) == 'too early'
  assert _verdict(_rows(f30=12.0, f39=12.0)) == 'too early'
  assert _verdict(_rows(f30=12.0, f40=12.0)) == 'inside'


def test_the_value_is_the_mean_of_the_frames_of_the_figure():
  rows = _rows(f0=90.0, f1=3.0, f40=7.0, f41=80.0, f70=40.0)
  compared = verdicts.compare(rows, _POINTS, _SUITE)
  assert [each.value for each in compared] == [5.0, (7 + 80 + 40) / 3]


def test_the_verdict_is_the_one_at_the_last_frame():
  compared = verdicts.compare(_rows(f40=30.0, f70=0.0), _POINTS, _SUITE)
  assert [each.word for each in compared] == ['above', 'below']
  assert verdicts.verdict(compared) == 'below'


def test_only_the_metric_that_was_published_is_compared():
  rows = [{'step': 40, 'eval_return': 12.0}, {'step': 40, 'train_return': None}]
  assert _verdict(rows) == 'too early'
  assert _verdict(rows + _rows(f40=16.0)) == 'above'


def test_the_files_have_the_published_figures():
  # Means of the authors' file over the points from a frame to another, which
  # were computed from it apart from the restated ones.
  for task, begin, end, mean in (
      ('walker_walk', 90, 120, 441.5), ('walker_walk', 210, 300, 848.6),
      ('walker_walk', 480, 540, 933.9), ('walker_walk', 930, 1080, 959.9),
      ('cheetah_run', 210, 300, 526.7), ('hopper_hop', 90, 120, 42.4),
      ('reacher_hard', 930, 1080, 549.6), ('finger_spin', 480, 540, 365.4)):
    points = [p for p in verdicts.published(f'dmc_{task}')
              if 1000 * begin <= p.frames <= 1000 * end]
    assert sum(p.mean for p in points) / len(points) == pytest.approx(
        mean, abs=0.3), task
  pong = verdicts.published('atari_pong')
  assert pong[0] == verdicts.Point(1_000_000, -13.42, -17.0, -9.75, 8)
  assert pong[-1].frames == 199_000_000


def test_every_task_has_a_whole_curve():
  tasks = list(verdicts._figures())
  assert sum(task.startswith('dmc_') for task in tasks) == 20
  assert sum(task.startswith('atari_') for task in tasks) == 55
  for task in tasks:
    points = verdicts.published(task)
    frames = [point.frames for point in points]
    assert frames == sorted(set(frames)), task
    assert all(p.low <= p.mean <= p.high and p.seeds > 1 for p in points), task
    if task.startswith('dmc_'):
      assert frames == list(range(30_000, 1_200_001, 30_000)), task


@pytest.mark.parametrize('call, said', [
    (lambda: verdicts.published(None), 'Got no --task'),
    (lambda: verdicts.published('dmc_walker_wak'),
     "'dmc_walker_wak'. Did you mean dmc_walker_walk"),
    (lambda: verdicts.preset('atari_pong', 'dmc_vision'),
     'Got --preset=dmc_vision for atari_pong; wanted atari or atari_paper'),
    (lambda: verdicts.seconds(0), 'Got --minutes=0; wanted more than 0'),
    (lambda: verdicts.seconds(-2.5), 'Got --minutes=-2.5; wanted'),
    (lambda: verdicts.seconds(math.nan), 'Got --minutes=nan; wanted'),
    (lambda: verdicts.check_same(
        'mine', dict(task='dmc_walker_run', presets=['a', 'b'], seed=0),
        task='dmc_walker_walk', presets=['a', 'b'], seed=0),
     'Got task dmc_walker_walk, presets a \\+ b, seed 0; the run in mine has '
     'task dmc_walker_run, .*another --folder'),
])
def test_a_mistake_is_refused_in_one_line(call, said):
  with pytest.raises(ValueError, match=said) as caught:
    call()
  assert '\n' not in str(caught.value)


def test_the_default_preset_and_the_same_run_are_taken():
  assert verdicts.preset('dmc_cup_catch', None) == 'dmc_proprio'
  assert verdicts.preset('dmc_cup_catch', 'dmc_vision') == 'dmc_vision'
  assert verdicts.seconds(0.5) == 30.0
  verdicts.check_same('new', None, task='atari_pong')
  verdicts.check_same('old', dict(task='a', seed=1, more=2), task='a', seed=1)


@pytest.mark.parametrize('task, presets, rows', [
    ('dmc_walker_walk', ['dmc_proprio'], []),
    ('dmc_walker_walk', ['dmc_vision'],
     [{'step': step, 'train_return': 200.0}
      for step in range(10_000, 70_000, 10_000)]),
    ('atari_pong', ['atari'], [{'step': 2_000_000, 'eval_return': -10.0}]),
])
def test_the_files_say_what_was_compared(tmp_path, task, presets, rows):
  points, suite = verdicts.published(task), verdicts.suite_of(task)
  compared = verdicts.compare(rows, points, suite)
  frames = rows[-1]['step'] if rows else 0
  text = verdicts.text(
      dict(task=task, presets=presets, seed=3), points, compared, frames)
  verdicts.draw(tmp_path / 'curve.png', rows, points, compared, task)
  assert (tmp_path / 'curve.png').stat().st_size > 1000
  assert f'`{suite.metric}`' in text and 'seed 3' in text
  assert ('joint positions' in text) == (presets == ['dmc_proprio'])
  if not rows:
    assert text.startswith(f'# {task}: too early\n')
    assert 'first comparison is at 30,000 frames' in text
  elif task == 'atari_pong':
    assert '| 1,000,000 | -10.0 | -17 | -13.42 | -9.75 | inside |' in text
  else:
    assert '| 30,000 | 200.0 | 83 | 129.6 | 239 | inside |' in text
    assert '| 60,000 | 200.0 | 197 | 303.4 | 466 | inside |' in text


def _session(folder, minutes, until=lambda: True):
  """Runs a session; SIGTERM once `until()`: exit status and what it said."""
  with subprocess.Popen(
      [_PROGRAM, '--task=dmc_walker_walk', '--small', f'--folder={folder}',
       f'--minutes={minutes}'], stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, text=True) as process:
    while not until() and process.poll() is None:
      time.sleep(0.2)
    if minutes > 1:
      process.terminate()
    said, _ = process.communicate(timeout=300)
  return process.returncode, said


def _curve(folder):
  with (folder / 'curve.csv').open(newline='') as file:
    return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_second_session_resumes_the_run_of_the_first(tmp_path):
  run = runs.RunFolder(tmp_path / 'run')
  code, said = _session(tmp_path, 10, lambda: metrics.read(run.metrics))
  assert code == 128 + signal.SIGTERM, said
  before, steps = _curve(tmp_path), run.saved_steps()
  assert before[0]['frames'] == '1000' and steps >= 500
  code, said = _session(tmp_path, 0.001)  # which ends as soon as it trains
  assert code == 0, said
  assert f'Resumed at {2 * steps:,} frames' in said
  assert 'SIGTERM: the run stops and saves' in said
  assert _curve(tmp_path)[:len(before)] == before
  assert run.saved_steps() >= steps
  assert (tmp_path / 'curve.png').exists()
  assert (tmp_path / 'verdict.md').read_text().startswith(
      '# dmc_walker_walk: too early\n')
