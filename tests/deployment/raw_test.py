"""Tests of exports in the units of the environment."""

import json

import exported as exported_lib
import gymnasium
from gymnasium import spaces
import numpy as np
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import loaded
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import recording
from dreamerv2_tfa.deployment import requests
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import custom

_SHOWN = spaces.Dict({
    'arm': spaces.Dict({
        'angle': spaces.Box(-3, 5, (2, 3)),
        'mode': spaces.Discrete(4, start=2)}),
    'board': spaces.Box(0, 3, (3, 2), np.uint8),
    'both': spaces.Tuple([
        spaces.MultiDiscrete([2, 3]), spaces.Box(-1, 1, (), np.float64)]),
    'flag': spaces.Box(0, 1, (2,), np.bool_),
    'word': spaces.Text(4),
})
_PICTURES = spaces.Dict({
    'float': spaces.Box(0, 1, (3, 32, 40), np.float32),
    'large': spaces.Box(0, 255, (90, 80, 3), np.uint8)})
_ACTIONS = {
    'a box of float64 that is half open': spaces.Box(
        np.array([0.1, -3.0]), np.array([0.9, np.inf]), dtype=np.float64),
    'a choice from 5': spaces.Discrete(3, start=5),
    'several choices': spaces.MultiDiscrete([2, 3]),
}


class Random(gymnasium.Env):
  """Shows random members of its space, and notes them and the actions."""

  def __init__(self, observation, action):
    self.observation_space, self.action_space = observation, action
    self.observation_space.seed(3)
    self.shown, self.played = [], []

  def _look(self):
    self.shown.append(self.observation_space.sample())
    return self.shown[-1]

  def reset(self, *, seed=None, options=None):
    self.t = 0
    return self._look(), {}

  def step(self, action):
    self.played.append(action)
    self.t += 1
    return self._look(), 0.0, self.t >= 9, False, {}


def make(observation, action):
  """An agent, the environment it plays, and what is inside of that."""
  inside = Random(observation, action)
  with small.configured("load_gym.keys = '(?!word)'"):
    environment = custom.from_factory('random', lambda seed: inside).make(0)
    agent = agent_lib.DreamerV2Agent(
        environment.time_step_spec(), environment.action_spec())
  small.randomise(agent.world_model, scale=0.4)
  small.randomise(agent.actor_critic, seed=1)
  return agent, environment, inside


def write(folder, form='saved_model', action='several choices', shown=_SHOWN):
  """Exports such an agent: also its environment and what is inside."""
  agent, environment, inside = make(shown, _ACTIONS[action])
  folder.mkdir(exist_ok=True)
  parts = batch.adapted(environment).parts
  export.write(agent, form, folder, {'task': 'random', 'updates': 7}, parts)
  return agent, environment, inside


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  folder = tmp_path_factory.mktemp('raw')
  return folder, *write(folder)


# The same as in training ------------------------------------------------------


@pytest.mark.parametrize('action, shown', [
    ('a choice from 5', _SHOWN),
    pytest.param(
        'a box of float64 that is half open', _PICTURES,
        marks=pytest.mark.slow),
    pytest.param('several choices', _SHOWN, marks=pytest.mark.slow)])
def test_it_acts_in_the_environment_as_training_played_in_every_bit(
    action, shown, tmp_path):
  agent, environment, inside = write(tmp_path / 'out', 'saved_model', action,
                                     shown)
  record = recording.record(environment, agent.policy, seed=4)
  first = inside.shown[:recording.LENGTHS[0]]
  policy = dreamerv2_tfa.load_policy(tmp_path / 'out', seed=4)
  begins = record['is_first'][:len(first)]
  acted = [policy.act(*pair) for pair in zip(first, begins, strict=True)]
  np.testing.assert_array_equal(acted, record['action'][:len(first)])
  # What the environment was given is in its space, and what the policy says.
  assert all(inside.action_space.contains(x) for x in inside.played)
  led_on = ~record['is_first'][1:recording.LENGTHS[0]]
  np.testing.assert_array_equal(
      np.array(inside.played[:led_on.sum()], acted[0].dtype),
      np.array(acted[:-1])[led_on])


@pytest.mark.slow
@pytest.mark.parametrize('form, action, shown', [
    ('saved_model', 'several choices', _PICTURES),
    ('tflite', 'a choice from 5', _SHOWN),
    ('tflite', 'a box of float64 that is half open', _PICTURES),
    ('onnx', 'several choices', _SHOWN),
    ('onnx', 'a box of float64 that is half open', _PICTURES)])
def test_both_signatures_of_each_format_act_as_the_agent(
    form, action, shown, tmp_path):
  if form == 'onnx':
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
  agent, environment, _ = write(tmp_path / 'out', form, action, shown)
  found = export.compare(agent, environment, tmp_path / 'out')
  assert found['largest'] <= (0.0 if form == 'saved_model' else 1e-5)
  assert found['by_client'] == (['large'] if shown is _PICTURES else [])


def test_several_environments_act_as_each_alone(saved):
  folder, _, _, inside = saved
  rows = [inside.observation_space.sample() for _ in range(3)]
  stack = lambda *path: np.stack(
      [_at(row, path) for row in rows])
  together = {
      'arm': {'angle': stack('arm', 'angle'), 'mode': stack('arm', 'mode')},
      'board': stack('board'), 'flag': stack('flag'),
      'both': (stack('both', 0), stack('both', 1))}
  policy = dreamerv2_tfa.load_policy(folder)
  acted = policy.act(together)
  assert acted.shape == (3, 2)
  policy.reset()
  np.testing.assert_array_equal(policy.act(rows[0]), acted[0])


def _at(value, path):
  for step in path:
    value = value[step]
  return value


# What it says of itself -------------------------------------------------------


def test_policy_json_describes_the_environment_and_the_agent(saved):
  facts = manifest.read(saved[0])
  assert facts['signature'] == 'environment'
  assert facts['action'] == {
      'shape': [2], 'dtype': 'int32', 'minimum': 0, 'maximum': [1, 2]}
  assert facts['observation']['arm/mode'] == {
      'shape': [], 'dtype': 'int64', 'minimum': 2, 'maximum': 5,
      'input': facts['observation']['arm/mode']['input']}
  assert facts['agent']['signature'] == 'agent_action'
  assert facts['agent']['observation']['arm/mode']['shape'] == [4]
  model = tf.saved_model.load(str(saved[0]))
  for signature, inputs in (
      ('action', facts['inputs']), ('agent_action', facts['agent']['inputs'])):
    _, taken = model.signatures[signature].structured_input_signature
    assert inputs == {
        name: {'shape': spec.shape[1:].as_list(), 'dtype': spec.dtype.name}
        for name, spec in taken.items()}
  assert {field['input'] for field in facts['observation'].values()} < set(
      facts['inputs'])


def test_a_picture_that_the_client_shrinks_is_named(tmp_path):
  write(tmp_path / 'out', shown=_PICTURES)
  facts = manifest.read(tmp_path / 'out')
  assert facts['by_client'] == ['large']
  assert facts['observation']['large']['shape'] == [90, 80, 3]
  name = facts['observation']['large']['input']
  assert facts['inputs'][name]['shape'] == [64, 64, 3]


def test_an_export_of_version_1_loads_and_says_what_it_takes(tmp_path):
  agent, world = exported_lib.write(tmp_path, action=small.BOX)
  path = tmp_path / 'policy.json'
  facts = json.loads(path.read_text())
  for key in ('signature', 'parts', 'by_client', 'agent', 'sum'):
    del facts[key]
  path.write_text(json.dumps({**facts, 'version': 1}))
  with pytest.warns(UserWarning, match='earlier version.*level uint8.*again'):
    policy = dreamerv2_tfa.load_policy(tmp_path, seed=6)
  record = recording.record(world, agent.policy, seed=6)
  seen = {key: record[f'observation_{key}'][0] for key in exported_lib.MIXED}
  np.testing.assert_array_equal(policy.act(seen), record['action'][0])
  assert export.compare(agent, world, tmp_path)['differ'] == 0


# What is refused --------------------------------------------------------------


@pytest.mark.parametrize('path, wrong, message', [
    (('arm', 'mode'), 1, "'arm/mode' is not in its space: .* from 2 to 5"),
    (('arm', 'angle'), np.full((2, 3), np.nan), 'NaN or infinity'),
    (('arm', 'angle'), np.zeros((3, 2)), 'axes are in another order'),
    (('board',), np.full((3, 2), 4), "'board' is not in its space"),
    (('board',), np.full((3, 2), 0.5), 'Return whole numbers'),
    (('flag',), np.array([2, -7]), 'Return True and False'),
    (('arm', 'angle'), np.full((2, 3), 5.5), "'arm/angle' is not in its space"),
    (('arm', 'angle'), np.full((2, 3), -1e300), 'infinity, in float32 too'),
])
def test_what_is_not_in_the_space_is_refused(saved, path, wrong, message):
  policy = dreamerv2_tfa.load_policy(saved[0])
  shown = saved[3].observation_space.sample()
  _at(shown, path[:-1])[path[-1]] = wrong
  with pytest.raises(ValueError, match=message):
    policy.act(shown)


def test_a_part_that_is_missing_is_refused_and_one_too_many_is_not_read(saved):
  policy = dreamerv2_tfa.load_policy(saved[0])
  shown = saved[3].observation_space.sample()
  policy.act({**shown, 'more': 1})
  with pytest.raises(ValueError, match="'board' is missing"):
    policy.act({key: x for key, x in shown.items() if key != 'board'})


def test_the_server_takes_what_the_environment_shows(saved):
  policy = loaded.SavedPolicy(saved[0])
  shown = saved[3].observation_space.sample()
  body = json.loads(json.dumps(shown, default=lambda x: x.tolist()))
  arrays, _ = requests.observation(policy, {'observation': body})
  wanted, _ = client.read(policy, shown)
  assert arrays.keys() == wanted.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(array[0], wanted[name])
  inputs = {
      name: np.zeros([1, *field['shape']], field['dtype']).tolist()
      for name, field in policy.inputs.items()}
  with pytest.raises(ValueError, match="'arm/mode' is not in its space"):
    requests.step_inputs(policy, {'inputs': inputs})


@pytest.mark.slow
@pytest.mark.parametrize('form', ['tflite', 'onnx'])
def test_a_run_in_bfloat16_is_converted_in_float32(form, tmp_path):
  if form == 'onnx':
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
  dreamerv2_tfa.train(
      'gymnasium_Pendulum-v1', root_dir=str(tmp_path / 'run'),
      preset=['gym', 'debug'], precision='bf16', steps=80, seed=3)
  found = export.export(tmp_path / 'run', tmp_path / 'out', form)
  assert found['largest'] <= 1e-5
  assert found['rounding']['precision'] == 'mixed_bfloat16'
  # Where rounding takes another class of a latent, of two that are nearly
  # equal, an action moves by up to 1.9 of 4: the largest says nothing.
  assert 0 < found['rounding']['largest']
  assert 0 < found['rounding']['median'] < 0.1
  assert export.verify(tmp_path / 'run', tmp_path / 'out')['largest'] <= 1e-5
