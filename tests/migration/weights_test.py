"""The published package's checkpoint becomes an agent that acts the same."""

import os
import pickle

from golden import cases
import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.migration import weights

_FILE = cases.FOLDER / 'variables.pkl'


@pytest.fixture
def golden():
  return cases.Golden('policy_discrete')


@pytest.fixture
def agent(golden):
  """Of the right sizes, with weights of its own."""
  made = cases.make_agent(golden, 'dmc_proprio')
  for variable in weights.named(made).values():
    variable.assign(tf.fill(variable.shape, 0.5))
  return made


def _write(path, arrays):
  path.write_bytes(pickle.dumps(arrays))
  return path


def test_every_weight_has_one_name_and_one_place(agent):
  names = list(weights.named(agent))
  modules = agent.world_model, agent.actor_critic
  trainable = [v for module in modules for v in module.trainable_variables]
  assert len(names) == len(set(names)) == len(trainable)
  order = [name for name, _ in weights.file_order(agent)]
  assert sorted(order) == sorted(
      [*names, 'step', 'updates', 'reward_magnitude']
  )


def test_the_names_are_said_in_the_map(agent):
  assert {'rssm/gru/kernel', 'rssm/img_in/bias', 'reward/dense0/kernel',
          'encoder/dense1/kernel', 'decoder/dense_position/kernel',
          'actor/out/bias', 'slow_critic/out/kernel'} <= set(
              weights.named(agent))


def test_norms_and_images_have_names_too(golden):
  del golden
  made = small.make_agent(
      "RSSM.norm = 'layer'", "MLP.norm = 'layer'", "Encoder.norm = 'layer'",
      "Decoder.norm = 'layer'", observation=small.IMAGE,
  )
  assert {'encoder/conv3/kernel', 'encoder/convnorm0/gamma',
          'decoder/convin/bias', 'decoder/conv3/kernel',
          'decoder/convnorm2/beta', 'rssm/gru/norm/gamma',
          'rssm/img_out_norm_0/beta', 'actor/norm0/gamma'} <= set(
              weights.named(made))


def test_a_file_brings_weights_and_counts(agent, golden):
  assert weights.load(agent, _FILE) == {'step': 1234, 'updates': 321}
  wanted = golden.group('weights')
  for name, variable in weights.named(agent).items():
    np.testing.assert_array_equal(variable, wanted[name], name)
  assert int(agent.actor_critic.updates) == 321
  assert float(agent.actor_critic.reward_magnitude) == 1.75


def test_the_moved_policy_takes_the_old_actions(agent, golden, monkeypatch):
  weights.load(agent, _FILE)
  sequence = cases.sequence(golden)
  state = agent.policy.get_initial_state(cases.B)
  for t in range(cases.T):
    row = ts.TimeStep(
        tf.where(sequence.is_first[:, t], 0, 1), sequence.reward[:, t],
        sequence.continue_[:, t],
        {key: x[:, t] for key, x in sequence.observation.items()},
    )
    with cases.fed(monkeypatch) as feed:
      feed.give([golden[f'eval/noise/{t}/0']])
      step = agent.policy.action(row, state)
    state = step.state
    wanted = np.argmax(golden[f'eval/actions/{t}'], -1)
    np.testing.assert_array_equal(step.action, wanted)


def test_nothing_but_numpy_arrays_is_unpickled(agent, tmp_path):
  class Attack:

    def __reduce__(self):
      return os.system, (f'touch {tmp_path}/attacked',)

  path = _write(tmp_path / 'variables.pkl', [Attack()])
  with pytest.raises(ValueError, match='it names posix.system'):
    weights.load(agent, path)
  assert not (tmp_path / 'attacked').exists()


@pytest.mark.parametrize('arrays', [
    {'a': np.zeros(2)}, 3, [np.array(['x'])], [np.array([None])], ['text'],
])
def test_other_pickles_are_refused(arrays, tmp_path):
  with pytest.raises(ValueError, match='is no variables.pkl'):
    weights.read(_write(tmp_path / 'variables.pkl', arrays))


@pytest.mark.parametrize('pickled, said', [
    (b'cnumpy\nndarray\n((L10000000000L\nttR.', 'not callable'),
    (b'cnumpy.core.multiarray\n_reconstruct\n'
     b'(cnumpy\nndarray\n(L10000000000L\ntC\x01btR.', 'an array of the shape'),
], ids=['ndarray', '_reconstruct'])
def test_an_array_that_claims_a_size_is_not_made(pickled, said, tmp_path):
  path = tmp_path / 'variables.pkl'
  path.write_bytes(pickled)
  with pytest.raises(ValueError, match=f'is no variables.pkl.*{said}'):
    weights.read(path)


def test_a_file_of_any_size_is_not_read(tmp_path):
  path = tmp_path / 'variables.pkl'
  with path.open('wb') as file:
    file.truncate(40 * 10**9)
  with pytest.raises(ValueError, match='it has 40,000,000,000 bytes'):
    weights.read(path)


@pytest.mark.parametrize('size', [0, 7, 1000])
def test_a_file_cut_short_is_refused(size, tmp_path):
  path = tmp_path / 'variables.pkl'
  path.write_bytes(_FILE.read_bytes()[:size])
  with pytest.raises(ValueError, match='is no variables.pkl'):
    weights.read(path)


def test_another_number_of_arrays_is_refused(agent, tmp_path):
  arrays = weights.read(_FILE)
  count = len(arrays)
  path = _write(tmp_path / 'variables.pkl', arrays[:-2])
  wanted = f'holds {count - 2} arrays.*wants {count}'
  with pytest.raises(ValueError, match=wanted):
    weights.load(agent, path)


def test_a_misfit_names_the_layer_and_changes_nothing(agent, tmp_path):
  arrays = weights.read(_FILE)
  arrays[-1] = np.zeros(3, np.float32)
  before = small.values(agent.world_model)
  path = _write(tmp_path / 'variables.pkl', arrays)
  with pytest.raises(ValueError, match=r'rssm/obs_out/bias.*\[3\].*\[7\]'):
    weights.load(agent, path)
  assert small.same(before, small.values(agent.world_model))


def test_a_weight_that_is_not_finite_is_refused(agent, tmp_path):
  arrays = weights.read(_FILE)
  arrays[-1] = np.full(7, np.nan, np.float32)
  path = _write(tmp_path / 'variables.pkl', arrays)
  with pytest.raises(ValueError, match='rssm/obs_out/bias is not finite'):
    weights.load(agent, path)
