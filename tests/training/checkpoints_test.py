"""Tests of checkpoints: all of it comes back, or is refused."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.metrics import tf_metrics

from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.training import checkpoints


def _make(*bindings, precision='mixed_float16'):
  """An agent, its counter of steps, and every variable that they made."""
  made = []

  def note(create, **kwargs):
    made.append(create(**kwargs))
    return made[-1]

  with tf.variable_creator_scope(note):
    agent = small.make_agent(*bindings, precision=precision)
    steps = tf_metrics.EnvironmentSteps()
    environment = catch.Catch(seed=7)
  return agent, {'agent': agent, 'steps': steps,
                 'environment': environment.state}, made


def _scramble(variables):
  """Gives every variable a value of its own."""
  rng = np.random.default_rng(0)
  for variable in variables:
    if variable.dtype.is_floating:
      value = rng.uniform(0.5, 1.5, variable.shape)
    else:
      value = rng.integers(1, 1000, variable.shape)
    variable.assign(tf.cast(value, variable.dtype))


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  """A folder with a scrambled agent's checkpoint; and its variables."""
  root = tmp_path_factory.mktemp('run')
  _, parts, variables = _make()
  saver = checkpoints.Checkpoints(root / 'checkpoints', **parts)
  assert not saver.resumed and saver.latest is None
  _scramble(variables)
  saver.save(1200)
  return root, variables


@pytest.fixture(scope='module')
def restored(saved):
  """A fresh agent that took the checkpoint; and its variables."""
  agent, parts, variables = _make()
  saver = checkpoints.Checkpoints(saved[0] / 'checkpoints', **parts)
  return agent, parts, variables, saver


def test_a_folder_with_a_checkpoint_is_resumed(saved, restored):
  assert restored[3].resumed
  assert restored[3].latest == str(saved[0] / 'checkpoints' / 'ckpt-1200')


def test_every_variable_comes_back(saved, restored):
  pairs = list(zip(saved[1], restored[2], strict=True))
  lost = [
      one.name for one, other in pairs
      if not np.array_equal(one.numpy(), other.numpy())
  ]
  assert len(pairs) > 100 and not lost


def test_the_loss_scale_comes_back(saved, restored):
  fresh = _make()[0]._model_optimizer._loss_scale.numpy()
  assert restored[0]._model_optimizer._loss_scale.numpy() != fresh


def test_the_counters_come_back(restored):
  agent, parts, _, _ = restored
  # _scramble gave them numbers of 1 or more.
  assert int(agent.train_step_counter) > 0
  assert int(parts['steps'].result()) > 0
  assert int(agent._actor_optimizer.iterations) > 0


def test_the_generators_of_the_policies_come_back(restored):
  agent = restored[0]
  fresh = _make()[0]
  for one, other in (
      (agent.policy, fresh.policy), (agent.collect_policy, fresh.collect_policy)
  ):
    assert (one._generator.state != other._generator.state).numpy().any()


def test_the_two_last_checkpoints_are_kept(tmp_path):
  value = tf.train.Checkpoint(x=tf.Variable(1.0))
  saver = checkpoints.Checkpoints(tmp_path / 'checkpoints', value=value)
  for step in (10, 20, 30):
    saver.save(step)
  names = sorted(p.name for p in (tmp_path / 'checkpoints').glob('*.index'))
  assert names == ['ckpt-20.index', 'ckpt-30.index']


def test_saving_removes_no_file_of_another_checkpoint(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path / 'checkpoints', x=tf.Variable(1.0))
  saver.save(3)
  other = tmp_path / 'checkpoints' / 'ckpt-30.mine'
  other.touch()
  for step in (4, 5):
    saver.save(step)
  names = {path.name for path in (tmp_path / 'checkpoints').glob('ckpt-*')}
  assert names == {
      'ckpt-30.mine', *(f'ckpt-{step}.{ending}' for step in (4, 5)
                        for ending in ('index', 'data-00000-of-00001'))}


@pytest.mark.parametrize('binding', [
    'RSSM.deter = 6', 'RSSM.stoch = 2', 'RSSM.ensemble = 2', 'MLP.layers = 2',
    "RSSM.norm = 'layer'",
])
def test_a_larger_or_other_network_is_refused(saved, binding):
  _, parts, _ = _make(binding)
  with pytest.raises(ValueError, match='does not fit this configuration'):
    checkpoints.Checkpoints(saved[0] / 'checkpoints', **parts)


def test_a_network_that_is_a_part_of_the_saved_one_is_refused(tmp_path):
  _, parts, _ = _make('MLP.layers = 2')
  checkpoints.Checkpoints(tmp_path / 'checkpoints', **parts).save(1)
  _, parts, _ = _make()
  with pytest.raises(ValueError, match='does not fit this configuration'):
    checkpoints.Checkpoints(tmp_path / 'checkpoints', **parts)


def test_a_refusal_says_what_to_do(saved):
  _, parts, _ = _make('RSSM.deter = 6')
  with pytest.raises(ValueError) as refusal:
    checkpoints.Checkpoints(saved[0] / 'checkpoints', **parts)
  message = str(refusal.value)
  assert str(saved[0] / 'checkpoints') in message
  assert 'Take another --root_dir' in message and '\n' not in message
