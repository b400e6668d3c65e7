"""Tests of the look at a task before training: facts, and planted faults."""

import pathlib
import re
import subprocess
import sys

import gin
import gymnasium
import numpy as np
import pytest
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.reports import inspection

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean():
  gin.clear_config()
  yield
  gin.clear_config()


class Walk(py_environment.PyEnvironment):
  """A walk of four steps that ends by itself, with one fault or none."""

  def __init__(self, seed=0, fault=None):
    super().__init__(handle_auto_reset=True)
    self._fault, self._place = fault, 0
    if fault == 'seed':
      seed = None
    self._random = np.random.default_rng(seed)

  def observation_spec(self):
    return {'place': array_spec.BoundedArraySpec((2,), np.float32, 0, 9)}

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 1)

  def _see(self):
    if self._fault == 'raises' and self._place == 3:
      raise OSError('no more paper')
    scale = {'nan': np.nan, 'bounds': 3.0}.get(self._fault, 1.0)
    noise = self._random.random()
    return {'place': np.array([scale * self._place, noise], np.float32)}

  def _reset(self):
    self._place = 0
    return ts.restart(self._see())

  def _step(self, action):
    self._place += 1
    reward = np.float32(np.inf if self._fault == 'reward' else 1)
    if self._place < 4:
      discount = 0.9 if self._fault == 'discount' else 1.0
      return ts.transition(self._see(), reward, discount)
    if self._fault == 'no last':
      return self._reset()
    if self._fault == 'half':
      return ts.termination(self._see(), reward)._replace(
          discount=np.float32(0.5))
    if self._fault == 'cut':
      return ts.truncation(self._see(), reward)
    return ts.termination(self._see(), reward)


def _inspect(monkeypatch, fault=None, **kwargs):
  task = custom.from_factory('walk', lambda seed: Walk(seed, fault))
  monkeypatch.setattr(tasks, 'load', lambda name: task)
  return inspection.inspect('walk', **{'steps': 20, **kwargs})


def test_a_sound_environment_has_facts_and_no_fault(monkeypatch):
  report = _inspect(monkeypatch)
  text = '\n'.join(report.lines)
  assert report.faults == []
  assert ('Observation place: shown as float32 [2] from 0 to 9, numbers as '
          'they are; as float32 [2] from 0 to 9; read by the MLP.') in text
  assert 'Action: int32 [] from 0 to 1.' in text
  # Two floats, action, two step types, reward, discount and the row's number.
  assert f'Memory: {2 * 4 + 5 * 4 + 8} bytes' in text
  # 20 steps: LAST after 4, then FIRST, and so on.
  assert 'Step types: 5 FIRST, 12 MID, 4 LAST.' in text
  assert '4 terminations (discount 0), 0 truncations' in text
  assert 'Rewards: from 0 to 1.' in text
  assert 'agree over' in text and 'steps a second' in text


def test_truncations_are_told_from_terminations(monkeypatch):
  report = _inspect(monkeypatch, 'cut')
  assert report.faults == []
  assert any('0 terminations (discount 0), 4 trunc' in x for x in report.lines)


def test_an_episode_that_does_not_end_in_time_is_mentioned(monkeypatch):
  report = _inspect(monkeypatch, steps=3)
  assert any('None was reached: take more' in line for line in report.lines)


@pytest.mark.parametrize('fault, named, way_out', [
    ('nan', "'place' is not in its space: .*NaN or infinity", 'Find where'),
    ('reward', 'reward must be finite', 'clip it there'),
    ('discount', r'within an episode are \[0.8999', 'leave 1 here'),
    ('half', r'at LAST steps are \[0.5\]', '0 at a termination'),
    ('no last', 'FIRST step follows with no LAST', 'ts.termination'),
    ('bounds', "'place' is not in its space: .* to 12, wanted .*from 0 to 9",
     'widen its bounds'),
    ('raises', 'Step 3 failed: .*no more paper', 'Fix the environment'),
    ('seed', 'same seed, step 0 differs', 'from the seed'),
])
def test_a_fault_is_named_with_its_fix(monkeypatch, fault, named, way_out):
  report = _inspect(monkeypatch, fault)
  line, = report.faults
  assert re.search(named, line) and way_out in line


def test_what_the_agent_would_refuse_is_named_before_training(monkeypatch):
  class Huge(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (64, 64, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, **unused):
      return np.zeros((64, 64, 3), np.uint8), {}

    def step(self, action):
      return np.zeros((64, 64, 3), np.uint8), 0.0, False, False, {}

  task = custom.from_factory('huge', lambda seed: Huge())
  monkeypatch.setattr(tasks, 'load', lambda name: task)
  gin.parse_config("Encoder.image_keys = '$^'")
  report = inspection.inspect('huge', steps=5)
  assert any('no encoder' in line for line in report.lines)
  assert any('nothing to read' in line for line in report.faults)


def _shell(*arguments):
  return subprocess.run(
      [sys.executable, '-m', 'dreamerv2_tfa.commands.check_env', *arguments],
      cwd=_ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_the_command_tells_of_a_sound_task_and_ends_with_0():
  process = _shell('catch', '--steps=60')
  assert (process.returncode, process.stderr) == (0, '')
  assert 'read by the convolutions' in process.stdout
  assert process.stdout.endswith('No fault was found.\n')


@pytest.mark.slow
def test_the_command_without_a_task_is_one_line():
  process = _shell()
  assert process.returncode == 1
  assert process.stderr.startswith('Error: Which task?')
