"""Observations of any name: nothing else is called so, and none gets lost."""

import json

import gymnasium
from gymnasium import spaces
import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.policies import policy_saver

import dreamerv2_tfa
from dreamerv2_tfa import specs
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.deployment import export
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.deployment import replay
from dreamerv2_tfa.reports import open_loop
from dreamerv2_tfa.training import named
from dreamerv2_tfa.training import saved

TAKEN = ('kl', 'reward', 'discount', 'continue', 'model', 'actor', 'critic',
         'expl_expl', 'expl_actor', 'expl_critic', 'previous', 'prev_action',
         'action', 'is_first', 'state_deter', 'observation', 'loss', 'eval_x')
# Names that are one, or none, to something that they pass through.
WILD = ('a-b', 'a.b', 'a/b', 'A-B', 'größe', 'Größe', 'é', 'e\u0301', '日本',
        '🙂', 'a b', 'a\nb', "it's", '"', '\\', '%', '.', '..', '', 'x' * 300)
_KEYS = strategies.text(max_size=8)
_VECTOR = tf.TensorSpec([2], tf.float32)


# Names ------------------------------------------------------------------------


@hypothesis.given(strategies.sets(_KEYS, max_size=8))
def test_no_two_observations_share_a_metric(keys):
  keys |= {f'observation/{key}' for key in keys} | set(TAKEN)
  found = [specs.metric_name(key) for key in keys]
  assert len(set(found)) == len(keys)


@pytest.mark.parametrize('key', [
    'kl', 'reward', 'discount', 'continue', 'model', 'actor', 'critic',
    'expl_actor', 'eval_return', 'observation/kl',
])
def test_an_observation_does_not_take_the_name_of_something_else(key):
  assert specs.metric_name(key) == f'observation/{key}'


@pytest.mark.parametrize('key', [
    'image', 'position', 'arm/position', 'observation', 'rewards', 'model_x',
])
def test_other_observations_are_called_by_their_key(key):
  assert specs.metric_name(key) == key


@hypothesis.given(strategies.lists(_KEYS, max_size=8, unique=True))
@hypothesis.example(list(WILD))
@hypothesis.example(['a', 'A', 'a_ca978112'])
def test_tensors_have_different_names_that_every_format_can_hold(keys):
  found = specs.tensor_names(keys)
  assert list(found) == keys
  assert len({name.lower() for name in found.values()}) == len(keys)
  for name in names.observations(keys).values():
    assert name.isascii() and name.isidentifier()


def test_names_that_were_plain_are_as_they_were():
  assert names.observations(['image', 'arm/position', 'x-1']) == {
      'image': 'observation_image', 'x-1': 'observation_x_1',
      'arm/position': 'observation_arm_position',
  }


def test_names_do_not_depend_on_the_order_of_the_keys():
  assert specs.tensor_names(WILD) == specs.tensor_names(WILD[::-1])


def test_two_parts_with_one_path_are_refused():
  with pytest.raises(ValueError, match="called 'a/b'.*Rename one"):
    specs.flat_observation({'a': {'b': _VECTOR}, 'a/b': _VECTOR})


# Losses and reports -----------------------------------------------------------


def _agent(keys, *bindings, **kwargs):
  made = small.make_agent(
      *bindings, observation=dict.fromkeys(keys, _VECTOR), jit='off', **kwargs
  )
  small.randomise(made.world_model)
  return made


@pytest.fixture(scope='module')
def agent():
  return _agent(TAKEN, exploration='model_loss')


def test_every_head_learns_whatever_an_observation_is_called(agent):
  batch = small.make_batch(agent)
  before = small.values(agent.world_model)
  agent.train(batch)
  model = agent.world_model
  for variable, old in zip(model.variables, before, strict=True):
    assert not np.array_equal(variable, old), variable.name


def test_every_loss_is_a_metric_of_its_own(agent):
  metrics = agent.loss(small.make_batch(agent)).extra
  others = {'kl', 'reward', 'discount', 'model', 'actor', 'critic',
            'expl_expl', 'expl_actor', 'expl_critic'}
  observations = {specs.metric_name(key) for key in TAKEN}
  assert {name for name in metrics if name.endswith('_loss')} == {
      f'{name}_loss' for name in others | observations
  }
  parts = [metrics[f'{name}_loss']
           for name in ('kl', 'reward', 'discount', *observations)]
  np.testing.assert_allclose(sum(parts), metrics['model_loss'], rtol=1e-5)


def test_the_losses_are_those_of_plain_names(agent):
  plain = _agent([f'{i:02}' for i in range(len(TAKEN))])
  batch = small.make_batch(agent)
  order = dict(enumerate(sorted(TAKEN)))
  renamed = batch._replace(observation={
      f'{i:02}': batch.observation[key] for i, key in order.items()
  })
  for mine, theirs in zip(plain.world_model.variables,
                          agent.world_model.variables, strict=True):
    mine.assign(theirs)
  for mine, theirs in zip(plain.actor_critic.variables,
                          agent.actor_critic.variables, strict=True):
    mine.assign(theirs)
  plain.train_step_counter.assign(agent.train_step_counter)
  wanted, found = plain.loss(renamed).extra, agent.loss(batch).extra
  for i, key in order.items():
    np.testing.assert_allclose(
        found[f'{specs.metric_name(key)}_loss'], wanted[f'{i:02}_loss'],
        rtol=1e-5, err_msg=key,
    )
  for name in ('kl', 'reward', 'discount', 'model'):
    np.testing.assert_allclose(
        found[f'{name}_loss'], wanted[f'{name}_loss'], rtol=1e-5
    )


@pytest.mark.parametrize('target', ['reward', 'observation/reward', 'x'])
def test_model_loss_seeks_the_loss_that_it_is_told(target):
  made = _agent(
      ('reward', 'x'), f"ModelLoss.target = '{target}'",
      exploration='model_loss',
  )
  assert made.exploration.explorer._target == target
  assert target in made.world_model.loss_names
  made.loss(small.make_batch(made))


def test_the_report_of_the_horizon_keeps_them_apart(agent):
  errors = open_loop.measure(agent, small.make_batch(agent), 2)
  assert set(errors) == {'reward', 'continue'} | {
      specs.metric_name(key) for key in TAKEN
  }


# The whole way ----------------------------------------------------------------


class _Toy(gymnasium.Env):
  """Shows a vector for each key, with a number of its own in it."""

  def __init__(self, keys):
    box = spaces.Box(-99, 99, (2,), np.float32)
    self.observation_space = spaces.Dict(dict.fromkeys(keys, box))
    self.action_space = spaces.Discrete(2)
    self._keys = keys

  def _look(self):
    return {key: np.float32([i, self._t]) for i, key in enumerate(self._keys)}

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self._t = 0
    return self._look(), {}

  def step(self, action):
    self._t += 1
    return self._look(), 1.0, self._t >= 5, False, {}


_KEYS_OF = {'wild': [key for key in WILD if key], 'taken': list(TAKEN)}


@pytest.fixture(scope='module', params=_KEYS_OF)
def run(request, tmp_path_factory):
  """A run of the debug preset: keys, and its folder."""
  root = tmp_path_factory.mktemp('names')
  keys = _KEYS_OF[request.param]
  with small.configured():
    dreamerv2_tfa.train(
        _Toy(keys), root_dir=root, preset=('gym', 'debug'),
        evaluation=_Toy(keys), **{'train.steps': 70, 'train.eval_every': 70},
    )
    tf.config.run_functions_eagerly(False)
  return keys, root


def test_a_run_writes_a_loss_for_each_observation(run):
  keys, root = run
  lines = (root / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  written = set().union(*map(json.loads, lines))
  assert {f'{specs.metric_name(key)}_loss' for key in keys} <= written
  assert {'kl_loss', 'reward_loss', 'model_loss', 'actor_loss'} <= written


def test_a_run_is_loaded_exported_and_acts(run, tmp_path):
  keys, root = run
  agent = saved.load(root)
  assert set(agent.time_step_spec.observation) == set(keys)
  export.write(agent, 'saved_model', tmp_path, {'task': 'toy', 'updates': 3})
  policy = client.load_policy(tmp_path)
  observation = {key: np.float32([i, 0]) for i, key in enumerate(keys)}
  assert policy.act(observation) in (0, 1)


def test_the_policies_of_a_run_take_its_keys(run):
  keys, root = run
  policy = tf.saved_model.load(str(root / 'policies' / 'greedy'))
  agent = saved.load(root)
  step = tf.nest.map_structure(
      lambda spec: tf.zeros([1] + spec.shape.as_list(), spec.dtype),
      agent.time_step_spec,
  )
  taken = policy.action(step, policy.get_initial_state(1))
  assert int(taken.action[0]) in (0, 1)


def test_a_policy_under_own_names_acts_as_the_one_inside(tmp_path):
  agent = _agent(('a-b', 'a.b', 'größe'))
  assert named.needed(agent.policy)
  saver = policy_saver.PolicySaver(
      named.NamedPolicy(agent.policy), use_nest_path_signatures=False
  )
  saver.save(str(tmp_path))
  loaded = tf.saved_model.load(str(tmp_path))
  inputs = loaded.signatures['action'].structured_input_signature[1]
  observations = [name for name in inputs if 'observation' in name]
  assert len(observations) == 3
  assert all(name.isascii() for name in observations)
  row = tf.nest.map_structure(lambda x: x[:, 0], small.make_batch(agent))
  step = tf.nest.map_structure(
      lambda spec: tf.ones([2] + spec.shape.as_list(), spec.dtype),
      agent.time_step_spec,
  )._replace(observation=row.observation)
  seeds = agent.policy.variables()[-1].read_value()
  wanted = agent.policy.action(step, agent.policy.get_initial_state(2))
  agent.policy.variables()[-1].assign(seeds)
  found = loaded.action(step, loaded.get_initial_state(2))
  np.testing.assert_array_equal(found.action, wanted.action)
  assert found.state.action.shape == wanted.state.action.shape


def test_a_policy_with_plain_keys_is_saved_as_before():
  assert not named.needed(_agent(('image.0', 'arm/x-1')).policy)


@pytest.mark.parametrize('form', ['tflite', 'onnx'])
@pytest.mark.slow
def test_other_formats_hold_every_name(form, tmp_path):
  if form == 'onnx':
    pytest.importorskip('tf2onnx')
    pytest.importorskip('onnxruntime')
  keys = [key for key in WILD if key]
  agent = _agent(keys)
  export.write(agent, form, tmp_path, {'task': 'toy', 'updates': 3})
  facts = manifest.read(tmp_path)
  start, step = replay.load(tmp_path, facts, 'action', facts['inputs'])
  shown = {
      name: np.zeros([1] + field['shape'], field['dtype'])
      for name, field in facts['inputs'].items()
  }
  assert int(step(shown | start(1))['action'][0]) in range(6)
