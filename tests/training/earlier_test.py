"""Tests of what rows of earlier versions mean now."""

import json
import types

import gymnasium
from gymnasium import spaces
import numpy as np
import pytest
import small

from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import earlier
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs


def found(observation, action, there=None, **kwargs):
  class Env(gymnasium.Env):
    observation_space, action_space = observation, action

    def reset(self, *, seed=None, options=None):
      return observation.sample(), {}

  made = custom.from_factory('env', lambda seed: Env()).make(0)
  return earlier.differences(made, there or {}, **kwargs)


_BOX, _CHOICE = spaces.Box(-1, 1, (2,)), spaces.Discrete(3)


@pytest.mark.parametrize('observation, action', [
    (_BOX, _CHOICE), (_BOX, spaces.Box(-1, 1, (3,))),
    (spaces.Discrete(4), _CHOICE), (spaces.MultiBinary(3), _CHOICE),
    (spaces.Box(0, 255, (70, 80, 3), np.uint8), _CHOICE),
    (spaces.Box(0, 1, (70, 80, 3), np.float32), _CHOICE),
    (spaces.Box(0, 255, (128,), np.uint8), _CHOICE)])
def test_what_is_stored_as_it_was_is_no_difference(observation, action):
  assert found(observation, action) == []


@pytest.mark.parametrize('action', [
    spaces.Box(-2, 2, (1,)), spaces.Discrete(3, start=5),
    spaces.MultiDiscrete([2, 3]), spaces.Box(0, np.inf, (1,))])
def test_actions_that_were_stored_in_other_units_are_named(action):
  line, = found(_BOX, action)
  assert line.startswith('actions ') and 'earlier version' in line
  assert found(_BOX, action, actions=False) == []
  assert found(_BOX, action, {'action': {}}) == []


@pytest.mark.parametrize('observation', [
    spaces.Box(0, 9, (3,), np.int64), spaces.Box(0, 1, (4,), np.uint8),
    spaces.Box(0, 255, (7, 7, 3), np.uint8),
    spaces.Box(0, 255, (70, 80, 3), np.int64),
    spaces.Box(0, 10, (70, 80), np.float32),
    spaces.Box(0, 255, (3, 70, 80, 3), np.uint8),
    spaces.Box(0, 255, (128, 32, 3), np.uint8)])
def test_observations_that_were_read_otherwise_are_named(observation):
  line, = found(observation, _CHOICE, actions=False)
  assert line.startswith('observation ') and 'earlier version' in line


def parts_of(observation, action=_CHOICE):
  """What a run in such an environment is made of."""
  class Env(gymnasium.Env):
    observation_space, action_space = observation, action

    def reset(self, *, seed=None, options=None):
      return observation.sample(), {}

  made = custom.from_factory('env', lambda seed: Env()).make(0)
  agent = small.make_agent(
      observation=made.observation_spec(), action=made.action_spec())
  return types.SimpleNamespace(
      task=types.SimpleNamespace(name='env', action_repeat=1), agent=agent,
      environment=made, evaluation_environment=made, precision='float32')


def write(root, described):
  """The folder of a run that has written this protocol."""
  folder = runs.RunFolder(root)
  folder.protocol.write_text(json.dumps(described))
  return folder


def test_rows_of_an_earlier_version_are_refused_and_its_weights_are_not(
    tmp_path):
  facts = protocol.describe(parts_of(_BOX), (), 0)
  for key in ('observation', 'action', 'shown', 'environments'):
    del facts[key]
  folder = write(tmp_path, facts)
  now = parts_of(_BOX, spaces.Box(-2, 2, (1,)))
  for check in (comparison.check, comparison.check_rows):
    with pytest.raises(ValueError, match='means something else: got actions'):
      check(folder, now)
  comparison.check_weights(folder, now.environment)
  comparison.check(folder, parts_of(_BOX))


def test_a_space_that_has_changed_behind_the_same_specs_is_refused(tmp_path):
  parts = lambda high: parts_of(spaces.Box(0, high, (3,), np.int64))
  before = parts(9)
  folder = write(tmp_path, protocol.describe(before, (), 0))
  weights = lambda folder, parts: comparison.check_weights(
      folder, parts.environment)
  for check in (comparison.check, comparison.check_rows, weights):
    check(folder, before)
    with pytest.raises(ValueError, match='from 0 to 8, .*from 0 to 9, .*there'):
      check(folder, parts(8))
