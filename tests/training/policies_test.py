"""Tests of the exported policies of a run: whole, or those before."""

import types

import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tf_agents.policies import tf_policy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.training import policies as policies_lib


class _Constant(tf_policy.TFPolicy):
  """Always takes the action in its variable."""

  def __init__(self, action):
    super().__init__(
        ts.time_step_spec(tf.TensorSpec([3], tf.float32)),
        tensor_spec.BoundedTensorSpec((), tf.int32, 0, 9),
    )
    self.constant = tf.Variable(action)

  def _variables(self):
    return (self.constant,)

  def _action(self, time_step, policy_state, seed):
    action = tf.repeat(self.constant, tf.shape(time_step.step_type)[0])
    return policy_step.PolicyStep(action, policy_state, ())

  def _distribution(self, time_step, policy_state):
    action = tf.repeat(self.constant, tf.shape(time_step.step_type)[0])
    distribution = tfp.distributions.Deterministic(action)
    return policy_step.PolicyStep(distribution, policy_state, ())


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
  """A folder with two exports, the first over what a killed one left."""
  root = tmp_path_factory.mktemp('run')
  half = root / 'policies' / 'greedy.new'
  half.mkdir(parents=True)
  (half / 'left').write_text('behind')
  agent = types.SimpleNamespace(
      policy=_Constant(1), collect_policy=_Constant(2),
      train_step_counter=tf.Variable(10, dtype=tf.int64),
  )
  policies = policies_lib.Policies(root / 'policies', agent)
  policies.save(10)
  agent.policy.constant.assign(3)
  agent.collect_policy.constant.assign(4)
  agent.train_step_counter.assign(20)
  policies.save(20)
  return root / 'policies'


@pytest.mark.parametrize('name, action', [('greedy', 3), ('collect', 4)])
def test_an_export_replaces_the_one_before(exported, name, action):
  policy = tf.saved_model.load(str(exported / name))
  time_step = ts.restart(tf.zeros([2, 3]), 2)
  assert policy.action(time_step, ()).action.numpy().tolist() == [action] * 2
  assert int(policy.get_train_step()) == 20


def test_exports_leave_nothing_half_made(exported):
  assert sorted(p.name for p in exported.iterdir()) == [
      'collect', 'exported.json', 'greedy']
  assert not (exported / 'greedy' / 'left').exists()


def test_preparing_an_export_writes_nothing(tmp_path):
  agent = types.SimpleNamespace(
      policy=_Constant(1), collect_policy=_Constant(2),
      train_step_counter=tf.Variable(0, dtype=tf.int64),
  )
  policies_lib.Policies(tmp_path / 'policies', agent)
  assert not list(tmp_path.iterdir())


def test_policies_of_fewer_steps_are_not_those_of_the_end(exported):
  assert policies_lib.is_exported(exported, 20)
  assert not policies_lib.is_exported(exported, 21)


def test_without_a_note_any_policy_counts_and_a_damaged_note_counts_none(
    exported, tmp_path):
  assert not policies_lib.is_exported(tmp_path, 20)
  (tmp_path / 'greedy').mkdir()  # of an earlier version
  assert policies_lib.is_exported(tmp_path, 20)
  (tmp_path / 'exported.json').write_text('{')
  assert not policies_lib.is_exported(tmp_path, 20)
