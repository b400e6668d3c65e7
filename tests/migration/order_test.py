"""Observations that the published package joined in another order."""

import shutil

from golden import cases
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.migration import order
from dreamerv2_tfa.migration import run
from dreamerv2_tfa.migration import weights
from dreamerv2_tfa.world_model import world_model

_FILE = cases.FOLDER / 'variables_order.pkl'
_KEYS = ('wide', 'eye', 'position', 'velocity', 'touch', 'arm/touch', 'arm-tip')
_IMAGE = lambda channels: tensor_spec.BoundedTensorSpec(
    (64, 64, channels), tf.uint8, 0, 255
)
_VECTOR = lambda size: tf.TensorSpec([size], tf.float32)
_OBSERVATION = {
    'wide': _IMAGE(1), 'eye': _IMAGE(2), 'position': _VECTOR(3),
    'velocity': _VECTOR(2), 'touch': _VECTOR(3), 'arm/touch': _VECTOR(2),
    'arm-tip': _VECTOR(2),
}


@pytest.fixture(scope='module')
def golden():
  """What the published package did, with keys in its environment's order."""
  return cases.Golden('policy_order')


@pytest.fixture
def agent(golden):
  """Of the right sizes, with weights of its own."""
  with_all = ("Encoder.image_keys = '.*'", "Decoder.image_keys = '.*'")
  made = cases.make_agent(
      golden, 'dmc_proprio', *with_all, observation=_OBSERVATION
  )
  for variable in weights.named(made).values():
    variable.assign(tf.fill(variable.shape, 0.5))
  return made


def _observations(golden):
  data = golden.group('data')
  return [{key: tf.constant(data[key][:, t]) for key in _OBSERVATION}
          for t in range(cases.T)]


def _acts_alike(agent, golden, monkeypatch):
  """Plays the golden steps: whether the actions are the golden ones."""
  data = golden.group('data')
  state, alike = agent.policy.get_initial_state(cases.B), []
  for t, observation in enumerate(_observations(golden)):
    row = ts.TimeStep(
        tf.where(data['is_first'][:, t], 0, 1), data['reward'][:, t],
        1.0 - data['is_terminal'][:, t].astype(np.float32), observation,
    )
    with cases.fed(monkeypatch) as feed:
      feed.give([golden[f'eval/noise/{t}/0']])
      step = agent.policy.action(row, state)
    state = step.state
    found = np.concatenate([np.ravel(x) for x in state.latent[:2]])
    wanted = np.concatenate([
        np.ravel(golden[f'eval/latents/{t}/{name}'])
        for name in ('deter', 'stoch')
    ])
    alike.append(
        np.array_equal(
            step.action, np.argmax(golden[f'eval/actions/{t}'], -1)
        ) and np.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    )
  return all(alike)


def test_the_moved_policy_acts_as_it_did(agent, golden, monkeypatch):
  weights.load(agent, _FILE, _KEYS)
  assert _acts_alike(agent, golden, monkeypatch)


def test_in_alphabetical_order_it_would_not(agent, golden, monkeypatch):
  weights.load(agent, _FILE)
  assert not _acts_alike(agent, golden, monkeypatch)


def test_every_weight_of_a_head_comes_to_its_key(agent, golden):
  weights.load(agent, _FILE, _KEYS)
  wanted, found = golden.group('weights'), weights.named(agent)
  assert set(found) == set(wanted)
  joined = {'encoder/conv0/kernel', 'encoder/dense0/kernel',
            'decoder/conv3/kernel', 'decoder/conv3/bias'}
  for name in set(found) - joined:
    np.testing.assert_array_equal(found[name], wanted[name], name)
  # Ours: arm-tip 2, arm/touch 2, position 3, touch 3, velocity 2.
  kernel = wanted['encoder/dense0/kernel']
  rows = [10, 11, 8, 9, 0, 1, 2, 5, 6, 7, 3, 4]
  np.testing.assert_array_equal(found['encoder/dense0/kernel'], kernel[rows])
  for name, axis in (('encoder/conv0/kernel', 2), ('decoder/conv3/kernel', 2),
                     ('decoder/conv3/bias', 0)):
    np.testing.assert_array_equal(
        found[name], np.take(wanted[name], [1, 2, 0], axis), name
    )


def test_the_decoder_draws_each_image_under_its_key(agent, golden):
  weights.load(agent, _FILE, _KEYS)
  bias = golden['weights/decoder/conv3/bias']
  model = agent.world_model
  for variable in (v for n, v in weights.named(agent).items()
                   if n.startswith('decoder/conv') and 'bias' not in n):
    variable.assign(tf.zeros_like(variable))
  predictions = model.decode(tf.zeros([1, model.rssm.feature_size]))
  for key, channels in (('wide', bias[:1]), ('eye', bias[1:])):
    np.testing.assert_allclose(predictions[key].mode()[0, 0, 0], channels)
  assert world_model.WorldModel.encoded_keys.fget(model)[0] == ('eye', 'wide')


# Where the order is known from ------------------------------------------------


def _episode(folder, columns, number=0):
  folder.mkdir(exist_ok=True)
  path = folder / f'2021010{number}T000000-a-3.npz'
  np.savez(path, **{key: np.zeros(4) for key in columns})
  return path


_FLAGS = ('reward', 'is_first', 'is_last', 'is_terminal')
_JOINED = [[], ['position', 'touch', 'velocity']]


def test_its_own_environments_say_the_order_in_their_episodes(tmp_path):
  old = _episode(tmp_path, (*_FLAGS, 'touch', 'position', 'velocity'))
  new = _episode(
      tmp_path,
      (*_FLAGS, 'image', 'position', 'velocity', 'touch', 'action'), 1,
  )
  found = order.of_run([old, new], None, _JOINED)
  assert found == ['position', 'velocity', 'touch']


def test_a_sorted_space_of_gym_may_differ_from_the_episode(tmp_path):
  path = _episode(
      tmp_path, ('position', 'velocity', 'touch', *_FLAGS, 'action')
  )
  with pytest.raises(ValueError, match='may have sorted them. Give the order '
                     'of position, touch, velocity.*--keys=position,touch,v'):
    order.of_run([path], None, _JOINED)
  keys = ['velocity', 'position', 'touch']
  assert order.of_run([path], keys, _JOINED) == keys


def test_an_alphabetical_episode_of_gym_is_what_it_says(tmp_path):
  path = _episode(
      tmp_path, ('position', 'touch', 'velocity', *_FLAGS, 'action')
  )
  assert order.of_run([path], None, _JOINED) == _JOINED[1]


def test_without_episodes_the_order_of_several_must_be_given():
  with pytest.raises(ValueError, match='no episodes .*Give the order of posit'):
    order.of_run([], None, _JOINED)
  assert order.of_run([], list('ba'), [['a'], ['b']]) == ['b', 'a']


def test_one_image_and_one_vector_need_no_order():
  assert order.of_run([], None, [['image'], ['position']]) == [
      'image', 'position'
  ]


@pytest.mark.parametrize('keys', [['position'], ['position', 'touch', 'speed'],
                                  ['position', 'touch', 'touch', 'velocity']])
def test_keys_that_are_not_those_of_the_observation_are_refused(keys):
  with pytest.raises(ValueError, match='--keys names .*the observation has'):
    order.of_run([], keys, _JOINED)


def test_a_run_without_episodes_is_moved_with_keys(
    agent, golden, monkeypatch, tmp_path):
  shutil.copy(_FILE, tmp_path / 'variables.pkl')
  with pytest.raises(ValueError, match='--keys=eye,wide,arm-tip,arm/touch,pos'):
    run.load(agent, tmp_path)
  run.load(agent, tmp_path, list(_KEYS))
  assert _acts_alike(agent, golden, monkeypatch)


def test_a_run_with_episodes_is_moved_as_they_say(
    agent, golden, monkeypatch, tmp_path):
  shutil.copy(_FILE, tmp_path / 'variables.pkl')
  data = golden.group('data')
  rows = {key: data[key][1] for key in (*_FLAGS, *_KEYS, 'action')}
  rows['is_first'] = np.arange(cases.T) == 0
  rows['is_last'] = np.arange(cases.T) == cases.T - 1
  (tmp_path / 'train_episodes').mkdir()
  np.savez(tmp_path / 'train_episodes' / '20210101T000000-a-4.npz', **rows)
  run.load(agent, tmp_path)
  assert _acts_alike(agent, golden, monkeypatch)
