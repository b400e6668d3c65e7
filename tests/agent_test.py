"""Tests of the agent: one update, its report, its failures, its checkpoints."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.agents import test_util
from tf_agents.agents import tf_agent
from tf_agents.specs import tensor_spec
from tf_agents.train import learner
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import test_utils

from dreamerv2_tfa import agent as agent_lib

B, T = small.B, small.T
ACTIONS, KINDS = (small.DISCRETE, small.BOX), ('discrete', 'continuous')
NAMES = {  # of metrics.jsonl that come from an update
    'position_loss', 'speed_loss', 'kl_loss', 'reward_loss', 'discount_loss',
    'model_loss', 'model_kl', 'prior_ent', 'post_ent', 'actor_loss',
    'actor_ent', 'critic_loss', 'critic_target', 'model_grad_norm',
    'actor_grad_norm', 'critic_grad_norm',
}


RATES = dict(  # high, so that a test sees what an update does
    model_learning_rate=1e-2, actor_learning_rate=3e-3,
    critic_learning_rate=1e-2,
)


@pytest.fixture(scope='module')
def compiled(tmp_path_factory):
  """One agent for all tests, compiled once, and a checkpoint of its start."""
  agent = small.make_agent(
      'WorldModel.kl_scale = 0.1',
      "ActorCritic.entropy_scale = 'linear(1,0,1000)'", jit='off', **RATES
  )
  return agent, save(agent, tmp_path_factory.mktemp('start'))


@pytest.fixture
def agent(compiled):
  """That agent as it was when it was made."""
  reset(*compiled)
  return compiled[0]


@pytest.fixture
def eagerly():
  """Runs updates line by line: 0.2 s an update rather than 5 s to compile.

  `agreement_test.py` shows that a compiled update is the same.
  """
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


def save(agent, folder):
  return tf.train.Checkpoint(agent=agent).write(str(folder / 'checkpoint'))


def reset(agent, path):
  tf.train.Checkpoint(agent=agent).read(path).assert_consumed()


def train(agent, updates, start=0):
  """Losses of some updates, on a new batch each."""
  return [
      agent.train(small.make_batch(agent, seed=i)).loss.numpy()
      for i in range(start, start + updates)
  ]


@pytest.mark.slow
def test_loss_and_train_pass_the_hosts_own_test(agent):
  test_util.test_loss_and_train_output(
      test_utils.TestCase(), expect_equal_loss_values=False, agent=agent,
      experience=small.make_batch(agent),
  )


def test_loss_reports_what_train_goes_on_to_minimise(agent):
  """Of the model: the behaviour's is of the model after its update."""
  batch = small.make_batch(agent)
  before, during = agent.loss(batch).extra, agent.train(batch).extra
  assert before.keys() == during.keys()
  for name in ('model_loss', 'kl_loss', 'reward_loss', 'model_grad_norm'):
    np.testing.assert_allclose(before[name], during[name], rtol=1e-5)


def test_loss_is_the_sum_of_model_actor_and_critic(agent):
  info = agent.train(small.make_batch(agent))
  parts = [info.extra[f'{x}_loss'] for x in ('model', 'actor', 'critic')]
  np.testing.assert_allclose(info.loss, sum(parts), rtol=1e-6)


def test_train_counts_each_update_once(agent):
  for count in (1, 2):
    train(agent, 1)
    assert agent.train_step_counter.numpy() == count


def test_a_counter_that_is_handed_in_is_the_one_that_counts(eagerly):
  counter = tf.Variable(40, dtype=tf.int64)
  train(small.make_agent(train_step_counter=counter), 1)
  assert counter.numpy() == 41


def test_loss_changes_no_variable_at_all(agent):
  before = small.checkpoint(agent)
  agent.loss(small.make_batch(agent))
  assert small.same(before, small.checkpoint(agent))


def test_train_changes_the_weights_of_every_network(agent):
  behaviour = agent.actor_critic
  for module in (agent.world_model, behaviour.actor, behaviour.critic):
    before = small.values(module)
    train(agent, 1)
    assert not small.same(before, small.values(module))


def test_extra_holds_finite_float32_scalars_under_published_names(agent):
  extra = agent.train(small.make_batch(agent)).extra
  assert NAMES <= set(extra)
  for name, value in extra.items():
    assert value.dtype == tf.float32, name
    assert value.shape == (), name
    assert np.isfinite(value), name


@pytest.mark.parametrize('weights', [
    1.0, tf.constant(1.0), tf.ones([B]), np.ones([B]),
], ids=['float', 'scalar', 'ones', 'float64'])
def test_weights_of_one_are_no_weights(compiled, agent, weights):
  batch = small.make_batch(agent)
  loss, after = agent.train(batch).loss, small.checkpoint(agent)
  reset(*compiled)
  assert loss == agent.train(batch, weights=weights).loss
  assert small.same(after, small.checkpoint(agent))


def test_a_sequence_of_weight_0_teaches_nothing(compiled, agent):
  """Neither model nor actor nor critic, and the loss is without it."""
  batch, other = small.make_batch(agent), small.make_batch(agent, seed=1)
  mix = lambda x, y: tf.concat([x[:1], y[1:]], 0)
  other = tf.nest.map_structure(mix, batch, other)
  weights = tf.constant([1.0, 0.0])
  losses, ends = [], []
  for each in (batch, other):
    reset(*compiled)
    losses.append(agent.train(each, weights=weights).loss)
    ends.append(small.values(agent))
  np.testing.assert_allclose(*losses, rtol=1e-6)
  for one, two in zip(*ends, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-8)


def test_weights_scale_the_losses(agent):
  batch = small.make_batch(agent)
  plain = agent.loss(batch).extra
  doubled = agent.loss(batch, weights=2.0).extra
  for name in ('model_loss', 'actor_loss', 'critic_loss'):
    np.testing.assert_allclose(doubled[name], 2.0 * plain[name], rtol=1e-5)


@pytest.mark.parametrize('shape', [[B + 1], [B, T], [1]])
def test_weights_of_another_shape_are_refused_with_both_shapes(agent, shape):
  with pytest.raises(ValueError, match=r'weights.*\[2\].*got'):
    agent.train(small.make_batch(agent), weights=tf.ones(shape))


def test_no_public_method_of_tf_agent_is_overridden():
  own = {name for name in vars(agent_lib.DreamerV2Agent) if name[0] != '_'}
  assert not own & set(dir(tf_agent.TFAgent))


@pytest.mark.parametrize('action', ACTIONS, ids=KINDS)
def test_behaviour_losses_leave_the_world_model_untouched(eagerly, action):
  """The world model ends up the same whatever the behaviour learns."""
  calm = small.make_agent(action=action)
  wild = small.make_agent(
      "ActorCritic.actor_gradient = 'dynamics'",
      'ActorCritic.entropy_scale = 10.0', 'ActorCritic.lambda_ = 0.1',
      action=action, actor_learning_rate=0.5, critic_learning_rate=0.5,
  )
  start = small.values(calm.world_model)
  for agent in (calm, wild):
    train(agent, 2)
  ends = [small.values(x.world_model) for x in (calm, wild)]
  assert small.same(*ends)
  assert not small.same(start, ends[0])
  actors = [small.values(x.actor_critic.actor) for x in (calm, wild)]
  assert not small.same(*actors)


def test_the_behaviour_learns_in_the_model_that_was_just_updated(eagerly):
  losses = []
  for rate in (1e-9, 0.1):
    agent = small.make_agent(model_learning_rate=rate)
    small.randomise(agent.actor_critic.slow_critic)
    extra = agent.train(small.make_batch(agent)).extra
    losses.append(extra['critic_loss'])
  assert abs(losses[0] - losses[1]) > 1e-4


def test_a_frozen_world_model_stays_and_the_behaviour_learns(eagerly):
  agent = small.make_agent(jit='off', freeze_model=True)
  before = small.values(agent.world_model)
  actor = small.values(agent.actor_critic.actor)
  info = agent.train(small.make_batch(agent))
  assert small.same(before, small.values(agent.world_model))
  assert not small.same(actor, small.values(agent.actor_critic.actor))
  assert 'model_grad_norm' not in info.extra
  assert int(agent._model_optimizer.iterations) == 0


def test_slow_critic_is_a_copy_of_the_critic_after_update_0_only(agent):
  behaviour = agent.actor_critic
  start = small.values(behaviour.critic)
  train(agent, 1)
  first = small.values(behaviour.critic)
  assert not small.same(start, first)
  assert small.same(first, small.values(behaviour.slow_critic))
  train(agent, 1, start=1)
  assert not small.same(first, small.values(behaviour.critic))
  assert small.same(first, small.values(behaviour.slow_critic))


def test_reward_normalisation_remembers_over_updates(eagerly):
  """From 1 half of the way to |reward| at each update: momentum is 0.5."""
  agent = small.make_agent('ActorCritic.reward_norm_momentum = 0.5')
  magnitude = agent.actor_critic.reward_magnitude
  for _ in range(2):
    batch, before = small.make_batch(agent), magnitude.numpy()
    # A scale of 1: normed = reward / magnitude.
    extra = agent.train(batch).extra
    ratio = extra['reward_mean'] / extra['reward_normed_mean']
    np.testing.assert_allclose(magnitude, ratio, rtol=1e-4)
    assert 0.5 * before <= magnitude.numpy() < before


def test_schedules_read_the_counter_of_updates_by_default(agent):
  agent.train_step_counter.assign(250)
  scales = [
      agent.train(small.make_batch(agent)).extra['actor_ent_scale'].numpy()
      for _ in range(2)
  ]
  np.testing.assert_allclose(scales, [0.75, 0.749], rtol=1e-6)


def test_schedules_read_the_step_that_is_handed_in(eagerly):
  step = tf.Variable(30, dtype=tf.int64)
  agent = small.make_agent(
      "ActorCritic.entropy_scale = 'linear(1,0,40)'", schedule_step=step
  )
  scale = lambda: agent.loss(small.make_batch(agent)).extra['actor_ent_scale']
  np.testing.assert_allclose(scale(), 0.25)
  step.assign(20)
  np.testing.assert_allclose(scale(), 0.5)


def test_what_follows_the_last_observation_has_no_say(agent):
  """The reward and discount of the last row arrive with one unseen."""
  batch = small.make_batch(agent)
  spoil = lambda x, value: tf.concat([x[:, :-1], x[:, -1:] + value], 1)
  other = batch._replace(
      reward=spoil(batch.reward, 5.0), discount=spoil(batch.discount, -1.0)
  )
  assert agent.loss(batch).loss == agent.loss(other).loss


@pytest.mark.parametrize('name', ['discount_loss', 'critic_loss'])
def test_a_terminal_discount_matters_to_model_and_behaviour(agent, name):
  batch = small.make_batch(agent)
  endless = batch._replace(discount=tf.ones_like(batch.discount))
  change = agent.loss(batch).extra[name] - agent.loss(endless).extra[name]
  assert abs(change) > 1e-4


def with_reward(batch, value):
  reward = batch.reward.numpy()
  reward[1, 2] = value
  return batch._replace(reward=tf.constant(reward))


def with_speed(batch, value):
  speed = batch.observation['speed'].numpy()
  speed[1, 2] = value
  observation = dict(batch.observation, speed=tf.constant(speed))
  return batch._replace(observation=observation)


@pytest.mark.parametrize('bindings', [
    (), ("DreamerV2Agent.exploration = 'plan2explore'",
         'Plan2Explore.reward_norm_momentum = 0.5'),
], ids=['greedy', 'plan2explore'])
def test_an_update_of_a_nan_reward_is_reported_and_changes_nothing(
    eagerly, bindings):
  """Actor and critic could learn: what they imagine is finite."""
  agent = small.make_agent(
      'ActorCritic.reward_norm_momentum = 0.5', *bindings
  )
  before = small.checkpoint(agent)
  info = agent.train(with_reward(small.make_batch(agent), np.nan))
  assert np.isnan(info.loss) and np.isfinite(info.extra['actor_loss'])
  agent.train_step_counter.assign(0)  # of calls
  assert small.same(before, small.checkpoint(agent))


def test_under_float16_each_optimizer_skips_its_own_step(eagerly):
  agent = small.make_agent(precision='mixed_float16', **RATES)
  before = small.values(agent.world_model)
  actor = small.values(agent.actor_critic.actor)
  agent.train(with_reward(small.make_batch(agent), np.nan))
  assert small.same(before, small.values(agent.world_model))
  assert not small.same(actor, small.values(agent.actor_critic.actor))


def test_an_agent_learns_on_after_a_nan_reward(agent):
  agent.train(with_reward(small.make_batch(agent), np.nan))
  assert np.isfinite(train(agent, 2)).all()


def test_a_nan_observation_is_reported_and_leaves_all_networks(agent):
  behaviour = agent.actor_critic
  networks = lambda: [
      small.values(x)
      for x in (agent.world_model, behaviour.actor, behaviour.critic)
  ]
  before = networks()
  info = agent.train(with_speed(small.make_batch(agent), np.nan))
  assert np.isnan(info.loss)
  assert all(map(small.same, before, networks()))


@pytest.mark.parametrize('momentum', [0.5, 1.0])
def test_an_agent_learns_on_after_a_nan_observation(eagerly, momentum):
  agent = small.make_agent(f'ActorCritic.reward_norm_momentum = {momentum}')
  agent.train(with_speed(small.make_batch(agent), np.nan))
  assert np.isfinite(agent.actor_critic.reward_magnitude)
  assert np.isfinite(train(agent, 1)).all()


@pytest.mark.parametrize('precision', ['float32', 'mixed_float16'])
def test_a_restored_agent_goes_on_as_the_saved_one(
    eagerly, precision, tmp_path
):
  make = lambda: small.make_agent(
      'ActorCritic.reward_norm_momentum = 0.9',
      'ActorCritic.slow_critic_period = 2', precision=precision, **RATES
  )
  step = ts.restart({'position': tf.ones([50, 3]), 'speed': tf.ones([50])}, 50)
  act = lambda agent: agent.collect_policy.action(
      step, agent.collect_policy.get_initial_state(50)
  ).action.numpy()
  saved = make()
  train(saved, 2)
  act(saved)
  restored = make()
  reset(restored, save(saved, tmp_path))
  np.testing.assert_array_equal(act(saved), act(restored))
  assert train(saved, 2, start=2) == train(restored, 2, start=2)
  assert small.same(small.checkpoint(saved), small.checkpoint(restored))


def test_a_checkpoint_holds_each_weight_its_moments_and_the_loss_scales():
  agent = small.make_agent(precision='mixed_float16')
  behaviour = agent.actor_critic
  trained = (agent.world_model, behaviour.actor, behaviour.critic)
  weights = sum(len(x.trainable_variables) for x in trained)
  stored = small.checkpoint(agent)
  slow = len(behaviour.slow_critic.variables)
  arrays = [x for x in stored if x.dtype == np.float32 and x.ndim]
  assert len(arrays) == 3 * weights + slow
  assert sum(x.ndim == 0 and x == 2.0**15 for x in stored) == 3


def test_two_agents_of_one_seed_learn_alike_and_of_two_seeds_do_not(eagerly):
  losses = lambda seed: train(small.make_agent(seed=seed), 1)
  assert losses(0) == losses(0)
  assert losses(0) != losses(1)


def test_each_update_draws_new_noise(agent):
  batch = small.make_batch(agent)
  latents = lambda: agent.loss(batch).extra['kl_loss']
  before = latents()
  agent.train_step_counter.assign_add(1)
  assert before != latents()


@pytest.mark.parametrize('binding', [
    'RSSM.classes = 0', 'RSSM.ensemble = 3', "RSSM.norm = 'layer'",
    'WorldModel.continue_head = False', "WorldModel.grad_heads = ('reward',)",
    'WorldModel.kl_balance = 0.5', "Encoder.vector_keys = 'speed'",
    "ActorCritic.actor_gradient = 'both'",
])
def test_a_discrete_agent_of_each_kind_trains(eagerly, binding):
  assert np.isfinite(train(small.make_agent(binding), 1)).all()


@pytest.mark.parametrize('binding', [
    'RSSM.classes = 0', "ActorCritic.actor_distribution = 'normal'",
    "ActorCritic.actor_distribution = 'tanh_normal'",
    "ActorCritic.actor_gradient = 'reinforce'",
    "ActorCritic.actor_gradient = 'both'",
])
def test_a_continuous_agent_of_each_kind_trains(eagerly, binding):
  agent = small.make_agent(binding, action=small.BOX)
  assert np.isfinite(train(agent, 1)).all()


@pytest.mark.parametrize('gradient', ['both', 'reinforce'])
def test_a_wide_tanh_normal_actor_trains_where_its_actions_are_1(
    eagerly, gradient):
  agent = small.make_agent(
      "ActorCritic.actor_distribution = 'tanh_normal'",
      f"ActorCritic.actor_gradient = '{gradient}'",
      'ActorCritic.actor_min_std = 30.0', action=small.BOX,
  )
  assert np.isfinite(train(agent, 2)).all()
  for value in agent.train(small.make_batch(agent)).extra.values():
    assert np.isfinite(value)


def test_an_agent_of_a_mixed_nested_observation_trains(eagerly):
  observation = {'camera': small.IMAGE['image'], 'arm': small.VECTORS}
  agent = small.make_agent(observation=observation)
  extra = agent.train(small.make_batch(agent)).extra
  assert {'camera_loss', 'arm/position_loss', 'arm/speed_loss'} <= set(extra)


def test_an_agent_of_one_bare_observation_trains(eagerly):
  agent = small.make_agent(observation=small.IMAGE['image'])
  assert 'observation_loss' in agent.train(small.make_batch(agent)).extra


def test_a_window_of_one_row_is_refused(agent):
  rows = tf.nest.map_structure(lambda x: x[:, :1], small.make_batch(agent))
  with pytest.raises(ValueError, match='two rows or more.*got 1'):
    agent.train(rows)


def test_the_agent_learns_one_batch_by_heart(agent):
  """All terms fall; a unit Gaussian keeps its constant, 0.92 a number."""
  batch = small.make_batch(agent)
  first = agent.train(batch).extra
  for _ in range(200):
    last = agent.train(batch).extra
  constant = 0.5 * np.log(2.0 * np.pi)
  for name, numbers in (('position', 3), ('speed', 1), ('reward', 1)):
    left = [x[f'{name}_loss'] - constant * numbers for x in (first, last)]
    assert left[1] < 0.5 * left[0], name
  assert last['discount_loss'] < 0.7 * first['discount_loss']


@pytest.mark.slow
def test_the_hosts_learner_trains_it(tmp_path):
  counter = tf.Variable(0, dtype=tf.int64)
  agent = small.make_agent(jit='off', train_step_counter=counter)
  batch = small.make_batch(agent)
  dataset = lambda: tf.data.Dataset.from_tensors((batch, ())).repeat()
  training = learner.Learner(
      str(tmp_path), counter, agent, experience_dataset_fn=dataset
  )
  info = training.run(iterations=2)
  assert counter.numpy() == 2
  assert np.isfinite(info.loss)


def build(action=small.DISCRETE, **kwargs):
  return lambda: small.make_agent(action=action, **kwargs)


def image(*shape):
  return {'camera': tensor_spec.BoundedTensorSpec(shape, tf.uint8, 0, 255)}


def box(low, high, dtype=tf.float32):
  return tensor_spec.BoundedTensorSpec([2], dtype, low, high)


@pytest.mark.parametrize('make, message', [
    (build([small.DISCRETE, small.DISCRETE]), 'single action.*nest'),
    (build({'arm': small.BOX}), 'single action.*arm'),
    (build(tf.TensorSpec([2], tf.float32)), 'needs bounds'),
    (build(box(-np.inf, np.inf)), 'finite bounds'),
    (build(box(1.0, 1.0)), 'minimum < maximum'),
    (build(box(0, 99, tf.int32)), '10,000 combinations; wanted at most 4,096'),
    (build(observation=image(84, 84, 1)), r'camera.*\(84, 84, 1\)'),
    (build(observation={'grid': tf.TensorSpec([7, 7], tf.float32)}),
     r'nothing to read.*grid.*\(7, 7\)'),
    (build(jit='yes'), "jit must be one of.*'yes'"),
    (build(discount=1.5), 'discount.*1.5'),
    (build(model_learning_rate=0.0), 'learning.rate.*0.0'),
    (build(clip_norm=-1.0), 'clip.norm.*-1.0'),
    (build(weight_decay=1.5), 'weight.decay.*1.5'),
    (build(adam_epsilon=-1.0), 'epsilon.*-1.0'),
], ids=[
    'two actions', 'dict of actions', 'no bounds', 'infinite bounds',
    'empty box', 'too many combinations', 'image size', 'matrix', 'jit',
    'discount', 'learning rate', 'clip norm', 'weight decay', 'epsilon',
])
def test_what_cannot_work_is_refused_at_construction(make, message):
  with pytest.raises(ValueError, match=message):
    make()


def test_keys_that_match_nothing_are_refused_with_the_keys_there_are():
  with pytest.raises(ValueError, match='nothing to read.*position'):
    small.make_agent("Encoder.vector_keys = 'typo'")
