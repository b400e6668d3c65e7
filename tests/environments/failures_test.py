"""Each way in which an environment may fail has an end that is stated here."""

import functools
import importlib
import pathlib
import re
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import door
from dreamerv2_tfa.environments import failures
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import waiting

_FAILING = pathlib.Path(__file__).with_name('failing.py')
FIRST, MID, LAST = ts.StepType.FIRST, ts.StepType.MID, ts.StepType.LAST


def _load_failing():
  """The module as the workers find it, which share no package with tests."""
  if str(_FAILING.parent) not in sys.path:
    sys.path.insert(0, str(_FAILING.parent))
  return importlib.import_module('failing')


failing = _load_failing()
_SAYS = {  # of the failure, in one line
    'exception': "KeyError: 'worn out'",
    'exit': 'SystemExit: the window was closed',
    'interrupt': 'KeyboardInterrupt: q was pressed',
    'shape': r"'observation' .*got float32 \[3\], wanted float32 \[2\]",
    'dtype': "'observation' .*got array.* wanted float32",
    'nan': "'observation' .*NaN or infinity", 'infinite': 'NaN or infinity',
    'huge': "'observation' is not finite: got 1e\\+16, wanted .*1e\\+15",
    'reward_nan': 'reward must be finite.*got nan',
    'reward_infinite': 'reward must be finite.*got inf',
    'reward_huge': "reward cannot be used: got '1e\\+16'.*to 1e\\+15",
    'reward_none': "one number; got 'None'", 'reward_text': "got 'one'",
    'none': r'step\(\) returned None; wanted observation, reward',
    'text': "returned 'observation'", 'observation_none': 'returned None as',
    'hang': 'no answer within [13] s, train.environment_timeout',
    'killed': 'it is gone',
}


_TRACED = ('exception', 'exit', 'interrupt', 'hang')


@pytest.fixture(autouse=True)
def as_before():
  """Waits as long as usual, in the end."""
  yield
  waiting.set_limit(600)
  waiting.proceed()


@pytest.fixture
def play():
  """Plays a task for so many steps; the rows of step types and rewards."""
  made = []

  def play(task, steps, num_environments=1, processes=False):
    environment = task.make(3, num_environments, processes)
    made.append(environment)
    with faults.surfaced():
      time_steps = [environment.reset()]
      for _ in range(steps):
        time_steps.append(environment.step(
            tf.zeros([num_environments], tf.int32)))
    return [(x.step_type.numpy().tolist(), x.reward.numpy().tolist())
            for x in time_steps]

  play.made = made
  yield play
  for environment in made:
    batch.close(environment)


def _factory(how, episodes=(2,)):
  """A task that makes a failing environment, and sound ones after it."""
  return custom.from_factory('failing', functools.partial(
      failing.Failing, how, episodes))


# An environment that is made again begins with a first episode.
_EPISODE = [FIRST, MID, MID, MID, LAST]
_RESTARTED = [*_EPISODE, FIRST, MID, *_EPISODE]
_HERE = [how for how in failing.FAILURES if how not in ('hang', 'killed')]


def _check_report(errors, how, name):
  report, = errors
  assert report.startswith(
      f'{name} failed (step(0) at step 2 of episode 2')
  assert re.search(_SAYS[how], report)
  assert 'is restarted; its unfinished episode is dropped' in report
  assert ('failing.py' in report) == (how in _TRACED)


@pytest.mark.parametrize('how', _HERE)
def test_one_in_this_process_is_restarted(play, errors, how):
  rows = play(_factory(how), len(_RESTARTED) - 1)
  assert [types[0] for types, _ in rows] == _RESTARTED
  assert rows[7] == ([FIRST], [0.0])
  _check_report(errors, how, 'The environment')
  assert batch.restarts(play.made[0]) == 1


@pytest.mark.parametrize('how', failing.FAILURES)
@pytest.mark.parametrize('num_environments', [1, 2])
def test_in_processes_it_is_restarted_beside_the_others(
    play, errors, how, num_environments):
  def make(seed, first=3):
    from dreamerv2_tfa.environments import parallel

    wrong = first if num_environments == 1 else parallel.seeds_of(first, 2)[1]
    return failing.Failing(how, (2,) if seed == wrong else ())

  task = custom.from_factory('failing', lambda seed: make(seed))
  if how == 'hang':
    waiting.set_limit(3)
  rows = play(task, len(_RESTARTED) - 1, num_environments, True)
  assert [types[-1] for types, _ in rows] == _RESTARTED
  if num_environments == 2:
    whole = (_EPISODE * 3)[:len(_RESTARTED)]
    assert [types[0] for types, _ in rows] == whole
  name = 'Environment 1 of 2' if num_environments == 2 else 'The environment'
  report, = errors
  assert report.startswith(f'{name} failed (') and (
      re.search(_SAYS[how], report))
  assert 'step(0) at step 2 of episode 2: ' in report
  assert ('failing.py' in report) == (how in _TRACED)
  assert batch.restarts(play.made[0]) == 1


@pytest.mark.parametrize('how', _HERE)
def test_an_object_is_reset(play, errors, how):
  task = custom.from_object('mine', failing.Failing(how))
  rows = play(task, len(_RESTARTED) - 1)
  assert [types[0] for types, _ in rows] == _RESTARTED
  _check_report(errors, how, 'The environment')


@pytest.mark.parametrize('make', [
    _factory, lambda how, episodes: custom.from_object(
        'mine', failing.Failing(how, episodes))])
@pytest.mark.parametrize('how', ['exception', 'exit', 'nan'])
def test_the_third_failure_in_a_row_ends_the_run(play, errors, make, how):
  with pytest.raises(faults.EnvironmentFailed) as caught:
    play(make(how, (1, 2, 3)), 20)
  assert 'failed 3 times without a finished episode' in str(caught.value)
  assert re.search(_SAYS[how], caught.value.said)
  assert len(errors) == 2


def test_the_traceback_of_a_failure_is_printed_once(play, errors):
  with pytest.raises(faults.EnvironmentFailed) as caught:
    play(_factory('exception', (1,)), 20, 2)
  first, *others = errors
  assert first.count('Traceback') == 1
  assert others and all(len(each.splitlines()) == 1 for each in others)
  assert all("KeyError: 'worn out'" in each for each in others)
  assert 'Traceback' in caught.value.trace  # the run ends with it, once


# Hangs ------------------------------------------------------------------------


@pytest.mark.parametrize('make', [
    _factory, lambda how: custom.from_object('mine', failing.Failing(how))])
def test_a_hang_in_this_process_ends_the_run_and_says_where_it_is(
    play, errors, make):
  waiting.set_limit(1)
  with pytest.raises(faults.EnvironmentFailed) as caught:
    play(make('hang'), 20)
  assert re.search(_SAYS['hang'], caught.value.said)
  assert 'set train.processes = True' in caught.value.said
  assert 'in _hang' in caught.value.trace and 'failing.py' in caught.value.trace
  with pytest.raises(faults.EnvironmentFailed, match='no answer within'):
    with faults.surfaced():  # it is not waited for again
      play.made[0].step(tf.zeros([1], tf.int32))
  batch.close(play.made[0])
  report, = errors
  assert 'was not closed (it hangs)' in report
  assert play(_factory('exception', ()), 5)  # others take another thread


def test_a_slow_batch_is_no_hang(play):
  class Slow(failing.Failing):
    def step(self, action):
      threading.Event().wait(0.3)
      return super().step(action)

  waiting.set_limit(1)
  play(custom.from_factory('slow', lambda: Slow('none', ())), 2, 4)


@pytest.mark.parametrize('processes', [False, True])
def test_an_interrupted_run_does_not_wait_for_a_hang(play, processes):
  waiting.set_limit(0)
  timer = threading.Timer(1.0, waiting.interrupt)
  timer.start()
  try:
    with pytest.raises(
        faults.EnvironmentFailed, match='not answered when the run was inte'):
      play(_factory('hang', (1,)), 20, 1, processes)
  finally:
    timer.cancel()


# The first time step, the wait, the door --------------------------------------


@pytest.mark.parametrize('processes', [False, True])
def test_what_never_worked_is_a_mistake_and_no_failure(
    play, errors, processes):
  class Wrong(failing.Failing):
    def step(self, action):
      return np.zeros(3, np.float32), 1.0, False, False, {}

  with pytest.raises(checks.UserError) as caught:
    play(custom.from_factory('wrong', lambda: Wrong('none')), 3, 1, processes)
  assert str(caught.value).startswith(
      "step(0) at step 1 of episode 1: The observation 'observation' is not in")
  assert errors == []


def test_restarts_wait_twice_as_long_each_time_up_to_a_bound(
    monkeypatch, errors):
  waits = []
  monkeypatch.setattr(waiting, 'pause', waits.append)
  counts = failures.Failures('It')
  counts.most = 12
  for _ in range(11):
    counts.add(faults.EnvironmentFailed('failed', ''))
  assert waits[:4] == [0.1, 0.2, 0.4, 0.8] and waits[-1] == 30
  counts.finished()
  counts.add(faults.EnvironmentFailed('failed', ''))
  assert waits[-1] == 0.1 and len(errors) == counts.restarts == 12


def test_one_that_cannot_be_made_again_is_tried_again(play, errors):
  made = []

  def make():
    made.append(0)
    if len(made) == 2:
      raise OSError('the port is taken')
    return failing.Failing('exception', (2,) if len(made) == 1 else ())

  rows = play(custom.from_factory('failing', make), len(_RESTARTED) - 1)
  assert [types[0] for types, _ in rows] == _RESTARTED
  assert len(made) == 3 and 'the port is taken' in errors[1]


class _Returns:
  """An environment whose `step` returns what it is told to."""

  batched = False

  def __init__(self, spec, time_step=None):
    self._spec, self.time_step = spec, time_step

  def observation_spec(self):
    return self._spec

  def step(self, action):
    return self.time_step


@pytest.mark.parametrize('change, message', [
    (dict(discount=np.float32(np.nan)), 'discount cannot be used: got .nan'),
    (dict(discount=np.float32(1.5)), 'wanted a number from 0 to 1'),
    (dict(discount=None), "discount cannot be used: got 'None'"),
    (dict(reward='a'), 'reward cannot be used'),
    (dict(step_type=np.int32(3)), 'step type cannot be used'),
    (dict(observation={'a': np.zeros(2, np.float32)}), 'has other parts'),
    (dict(observation=None), "other parts: got 'None', wanted a, b/c"),
])
def test_the_door_refuses_every_part_of_a_time_step(change, message):
  from tf_agents.specs import array_spec

  spec = {'b/c': array_spec.ArraySpec((1, 2), np.uint8),
          'a': array_spec.ArraySpec((2,), np.float32)}
  good = ts.transition({
      'a': np.full(2, 9e14, np.float32), 'b/c': np.zeros((1, 2), np.uint8),
  }, np.float32(1))
  environment = _Returns(spec, good)
  guarded = door.Door(environment)
  assert guarded.call('step', 0) is good
  environment.time_step = good._replace(**change)
  with pytest.raises(faults.EnvironmentFailed, match=message):
    guarded.call('step', 0)
  environment.time_step = 'no time step'
  with pytest.raises(faults.EnvironmentFailed, match='wanted a TimeStep'):
    guarded.call('step', 0)


@pytest.mark.parametrize('processes', [False, True])
@pytest.mark.parametrize('error', [SystemExit, KeyboardInterrupt])
def test_one_that_exits_while_it_is_made_is_named(play, error, processes):
  def make():
    raise error('no display')

  with pytest.raises(
      faults.EnvironmentFailed, match=f'cannot be made: {error.__name__}: no'):
    play(custom.from_factory('exits', make), 3, 1, processes)


@pytest.mark.parametrize('code', ['import sys; sys.exit(0)', 'exit()'])
def test_a_module_that_exits_at_import_is_named(
    tmp_path, monkeypatch, code):
  (tmp_path / 'exits.py').write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  with pytest.raises(
      faults.EnvironmentFailed, match="'exits' .* be imported: SystemExit"):
    custom.load_factory('exits:make')
