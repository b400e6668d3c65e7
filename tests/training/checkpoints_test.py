"""Tests of checkpoints and exports: all of it comes back, or is refused."""

import types

import numpy as np
import pytest
import small
import tensorflow as tf
import tensorflow_probability as tfp
from tf_agents.metrics import tf_metrics
from tf_agents.policies import tf_policy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

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


# The last checkpoint ----------------------------------------------------------


@pytest.fixture
def two(tmp_path):
  """A folder with the checkpoints 10 and 200; and its `checkpoints/`."""
  root = tmp_path / 'run'
  saver = checkpoints.Checkpoints(
      root / 'checkpoints', x=tf.Variable(tf.range(1000)))
  for step in (10, 200):
    saver.save(step)
  return root, root / 'checkpoints'


def _cut(path, bytes_left=100):
  path.write_bytes(path.read_bytes()[:bytes_left])


def test_tensorflow_finds_the_checkpoint_that_is_found_here(two):
  root, directory = two
  assert checkpoints.find(directory) == tf.train.latest_checkpoint(directory)
  assert checkpoints.last(root / 'checkpoints') == str(directory / 'ckpt-200')


def test_no_checkpoint_is_found_in_a_folder_without_one(tmp_path):
  assert checkpoints.find(tmp_path / 'new' / 'checkpoints') is None
  with pytest.raises(ValueError, match='holds no saved run'):
    checkpoints.last(tmp_path / 'checkpoints')


@pytest.mark.parametrize('text', [None, '', 'nothing that is known'])
def test_without_its_state_file_the_newest_checkpoint_is_found(two, text):
  root, directory = two
  (directory / 'checkpoint').unlink()
  if text is not None:
    (directory / 'checkpoint').write_text(text)
  assert checkpoints.find(root / 'checkpoints') == str(directory / 'ckpt-200')


@pytest.mark.parametrize('path', ['/elsewhere/checkpoints/ckpt-10', 'ckpt-10'])
def test_a_state_file_names_a_checkpoint_of_its_own_folder(two, path):
  root, directory = two
  (directory / 'checkpoint').write_text(f'model_checkpoint_path: "{path}"\n')
  for file in directory.glob('ckpt-200.*'):
    file.unlink()
  assert checkpoints.find(root / 'checkpoints') == str(directory / 'ckpt-10')


def test_a_whole_checkpoint_that_is_newer_than_the_state_file_is_found(two):
  root, directory = two
  (directory / 'checkpoint').write_text('model_checkpoint_path: "ckpt-10"\n')
  assert checkpoints.find(root / 'checkpoints') == str(directory / 'ckpt-200')


@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
def test_a_save_that_a_kill_cut_off_is_not_the_last(two, ending):
  root, directory = two
  (directory / 'checkpoint').write_text('model_checkpoint_path: "ckpt-10"\n')
  _cut(directory / f'ckpt-200.{ending}')
  assert checkpoints.find(root / 'checkpoints') == str(directory / 'ckpt-10')


@pytest.mark.parametrize('state', [True, False])
@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
@pytest.mark.parametrize('left', [0, 100, -1])
def test_a_cut_checkpoint_is_refused_by_its_file_and_the_older_named(
    two, ending, left, state):
  root, directory = two
  if not state:
    (directory / 'checkpoint').unlink()
  _cut(directory / f'ckpt-200.{ending}', left)
  with pytest.raises(ValueError) as refusal:
    checkpoints.find(root / 'checkpoints')
  message = str(refusal.value)
  assert f'{directory}/ckpt-200.{ending} cannot be read: ' in message
  assert 'ckpt-10 beside it is whole' in message and '\n' not in message


def test_a_checkpoint_with_other_bytes_is_refused(two):
  root, directory = two
  file = directory / 'ckpt-200.data-00000-of-00001'
  text = file.read_bytes()
  file.write_bytes(text[:500] + bytes(8) + text[508:])
  with pytest.raises(ValueError, match='ckpt-200.data.* cannot be read: '):
    checkpoints.find(root / 'checkpoints')


@pytest.mark.parametrize('ending', ['index', 'data-00000-of-00001'])
def test_the_way_out_of_a_missing_file_leads_to_the_older_checkpoint(
    two, ending):
  root, directory = two
  (directory / f'ckpt-200.{ending}').unlink()
  with pytest.raises(ValueError, match=rf'ckpt-200.{ending}.*ckpt-10 beside'):
    checkpoints.find(root / 'checkpoints')
  for path in [*directory.glob('ckpt-200.*'), directory / 'checkpoint']:
    path.unlink()
  assert checkpoints.find(root / 'checkpoints') == str(directory / 'ckpt-10')


def test_a_damaged_checkpoint_alone_is_refused_too(two):
  root, directory = two
  for number in (10, 200):
    _cut(directory / f'ckpt-{number}.index')
  with pytest.raises(ValueError, match='No whole checkpoint is beside it'):
    checkpoints.find(root / 'checkpoints')


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
  policies = checkpoints.Policies(root / 'policies', agent)
  policies.save()
  agent.policy.constant.assign(3)
  agent.collect_policy.constant.assign(4)
  agent.train_step_counter.assign(20)
  policies.save()
  return root / 'policies'


@pytest.mark.parametrize('name, action', [('greedy', 3), ('collect', 4)])
def test_an_export_replaces_the_one_before(exported, name, action):
  policy = tf.saved_model.load(str(exported / name))
  time_step = ts.restart(tf.zeros([2, 3]), 2)
  assert policy.action(time_step, ()).action.numpy().tolist() == [action] * 2
  assert int(policy.get_train_step()) == 20


def test_exports_leave_nothing_half_made(exported):
  assert sorted(p.name for p in exported.iterdir()) == ['collect', 'greedy']
  assert not (exported / 'greedy' / 'left').exists()


def test_preparing_an_export_writes_nothing(tmp_path):
  agent = types.SimpleNamespace(
      policy=_Constant(1), collect_policy=_Constant(2),
      train_step_counter=tf.Variable(0, dtype=tf.int64),
  )
  checkpoints.Policies(tmp_path / 'policies', agent)
  assert not list(tmp_path.iterdir())
