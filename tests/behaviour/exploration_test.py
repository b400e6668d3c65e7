"""Exploration behaviours: what is learned, and who acts until when."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.policies import policy_saver
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import types
from dreamerv2_tfa.experience import sequences

_PLAN = "DreamerV2Agent.exploration = 'plan2explore'"
_LOSS = "DreamerV2Agent.exploration = 'model_loss'"
_RANDOM = "DreamerV2Agent.exploration = 'random'"
_OFF = "DreamerV2Agent.jit = 'off'"
SEED = tf.constant([1, 2])


def make(*bindings, **kwargs):
  return small.make_agent(_OFF, *bindings, **kwargs)


def model_output(agent, batch=None):
  """What the world model makes of a batch, and the batch."""
  batch = small.make_batch(agent) if batch is None else batch
  sequence = sequences.from_trajectory(batch, agent._actions)
  return agent.world_model.loss(sequence, SEED), sequence


def randomised(agent):
  small.randomise(agent.exploration, seed=3)
  return agent


# Plan2Explore -----------------------------------------------------------------


def naive_ensemble_loss(agent, target, *, offset=1, actions=True):
  """The loss in numpy, a member, a sequence and a row at a time."""
  model, sequence = model_output(agent)
  feature = model.feature.numpy()
  deter = model.posterior.deter.numpy()
  wanted = {
      'deter': deter, 'feat': feature, 'embed': model.embed.numpy(),
      'stoch': model.posterior.stoch.numpy().reshape(small.B, small.T, -1),
  }[target]
  total = 0.0
  for head in agent.exploration.explorer._heads:
    likes = []
    for b in range(small.B):
      for t in range(small.T - offset):
        inputs = feature[b, t]
        if actions:
          inputs = np.concatenate([inputs, sequence.prev_action[b, t]])
        error = wanted[b, t + offset] - small.head(head, inputs[None])[0]
        likes.append(np.sum(-0.5 * error**2 - 0.5 * np.log(2 * np.pi)))
    total -= np.mean(likes)
  return total


@pytest.mark.parametrize('target', ['stoch', 'deter', 'embed', 'feat'])
def test_each_member_predicts_the_next_row(target):
  agent = randomised(make(
      _PLAN, 'Plan2Explore.members = 2', f"Plan2Explore.target = '{target}'"
  ))
  model, sequence = model_output(agent)
  loss = agent.exploration.explorer.loss(model, sequence, tf.ones(small.B))
  np.testing.assert_allclose(
      loss, naive_ensemble_loss(agent, target), rtol=1e-5
  )


def test_offset_0_without_actions_predicts_the_row_itself():
  agent = randomised(make(
      _PLAN, 'Plan2Explore.members = 2', 'Plan2Explore.offset = 0',
      'Plan2Explore.action_conditioned = False',
  ))
  model, sequence = model_output(agent)
  loss = agent.exploration.explorer.loss(model, sequence, tf.ones(small.B))
  wanted = naive_ensemble_loss(agent, 'stoch', offset=0, actions=False)
  np.testing.assert_allclose(loss, wanted, rtol=1e-5)


@pytest.mark.slow
def test_the_feature_of_gaussian_latents_can_be_predicted_too():
  agent = make(_PLAN, 'RSSM.classes = 0', "Plan2Explore.target = 'feat'")
  assert np.isfinite(agent.train(small.make_batch(agent)).loss)


def test_sequences_no_longer_than_the_offset_are_refused():
  agent = make(_PLAN, f'Plan2Explore.offset = {small.T}')
  with pytest.raises(ValueError, match='offset is 5 rows.*have 5'):
    agent.train(small.make_batch(agent))


def _rollout(agent):
  """Imagined states of made-up numbers."""
  rng = np.random.default_rng(4)
  size = agent.world_model.rssm.feature_size
  draw = lambda *shape: tf.constant(rng.normal(size=shape), tf.float32)
  return types.Rollout(draw(4, 3, size), draw(4, 3, small.A), None)


def _means(agent, rollout):
  inputs = np.concatenate([rollout.feature, rollout.action], -1)
  return np.stack([
      small.head(head, inputs) for head in agent.exploration.explorer._heads
  ])


@pytest.mark.parametrize('log', [False, True])
def test_the_reward_is_the_spread_of_the_members(log):
  agent = randomised(make(
      _PLAN, 'Plan2Explore.members = 3', f'Plan2Explore.log = {log}',
      'Plan2Explore.intrinsic_scale = 0.7',
  ))
  rollout = _rollout(agent)
  reward, _ = agent.exploration.explorer.reward(agent.world_model, rollout)
  spread = _means(agent, rollout).std(0).mean(-1)
  wanted = 0.7 * (np.log(spread) if log else spread)
  np.testing.assert_allclose(reward, wanted, rtol=1e-4)


def test_the_tasks_reward_is_added_where_it_has_a_scale():
  agent = randomised(make(_PLAN, 'Plan2Explore.extrinsic_scale = 0.3'))
  rollout = _rollout(agent)
  reward, _ = agent.exploration.explorer.reward(agent.world_model, rollout)
  wanted = _means(agent, rollout).std(0).mean(-1) + 0.3 * (
      agent.world_model.reward(rollout.feature))
  np.testing.assert_allclose(reward, wanted, rtol=1e-4)


def test_both_rewards_are_normalised_each_by_its_own_size():
  agent = randomised(make(
      _PLAN, 'Plan2Explore.extrinsic_scale = 0.3',
      'Plan2Explore.reward_norm_momentum = 0.25',
  ))
  rollout = _rollout(agent)
  reward, magnitudes = agent.exploration.explorer.reward(
      agent.world_model, rollout
  )
  parts = (_means(agent, rollout).std(0).mean(-1),
           agent.world_model.reward(rollout.feature).numpy())
  sizes = [0.25 + 0.75 * np.abs(part).mean() for part in parts]
  np.testing.assert_allclose(magnitudes, sizes, rtol=1e-4)
  wanted = parts[0] / sizes[0] + 0.3 * parts[1] / sizes[1]
  np.testing.assert_allclose(reward, wanted, rtol=1e-4)


# Model loss -------------------------------------------------------------------


@pytest.mark.parametrize('target', ['kl', 'reward', 'discount', 'position'])
def test_the_head_predicts_a_loss_of_the_model_a_row_at_a_time(target):
  agent = randomised(make(_LOSS, f"ModelLoss.target = '{target}'"))
  model, sequence = model_output(agent)
  explorer = agent.exploration.explorer
  loss = explorer.loss(model, sequence, tf.ones(small.B))
  error = model.losses[target] - (
      small.head(explorer._head, model.feature)[..., 0])
  wanted = 0.5 * np.mean(error**2) + 0.5 * np.log(2 * np.pi)
  np.testing.assert_allclose(loss, wanted, rtol=1e-5)
  if target != 'kl':
    mean = tf.reduce_mean(model.losses[target])
    np.testing.assert_allclose(mean, model.metrics[f'{target}_loss'], rtol=1e-5)


def test_the_reward_is_the_predicted_loss():
  agent = randomised(make(
      _LOSS, 'ModelLoss.intrinsic_scale = 0.7', 'ModelLoss.extrinsic_scale = 2'
  ))
  rollout = _rollout(agent)
  explorer = agent.exploration.explorer
  reward, magnitudes = explorer.reward(agent.world_model, rollout)
  wanted = 0.7 * small.head(explorer._head, rollout.feature)[..., 0]
  wanted += 2.0 * agent.world_model.reward(rollout.feature).numpy()
  np.testing.assert_allclose(reward, wanted, rtol=1e-4)
  assert magnitudes == ()


def test_a_loss_that_the_model_lacks_is_refused():
  with pytest.raises(ValueError, match="'kl', 'position', 'speed', 'reward'"):
    make(_LOSS, "ModelLoss.target = 'image'")


@pytest.mark.parametrize('behaviour', [_PLAN, _LOSS])
def test_weights_multiply_the_losses_of_their_sequence(behaviour):
  agent = randomised(make(behaviour))
  model, sequence = model_output(agent)
  loss = lambda *weights: agent.exploration.explorer.loss(
      model, sequence, tf.constant(weights)
  ).numpy()
  both, first, second = loss(1.0, 1.0), loss(2.0, 0.0), loss(0.0, 2.0)
  assert abs(first - second) > 1e-3
  np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-5)


# In the update ----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize('behaviour', [_PLAN, _LOSS])
def test_exploring_changes_nothing_of_model_and_task_behaviour(behaviour):
  greedy, explorer = make(), make(behaviour)
  for agent in (greedy, explorer):
    for _ in range(3):
      agent.train(small.make_batch(agent))
  for part in ('world_model', 'actor_critic'):
    assert small.same(small.values(getattr(greedy, part)),
                      small.values(getattr(explorer, part)))


@pytest.mark.slow
@pytest.mark.parametrize('behaviour', [_PLAN, _LOSS])
def test_every_weight_of_the_exploration_learns(behaviour):
  agent = make(behaviour)
  before = small.values(agent.exploration)
  agent.train(small.make_batch(agent))
  trained = [*agent.exploration.explorer.trainable_variables]
  for part in ('actor', 'critic'):
    module = getattr(agent.exploration.actor_critic, part)
    trained += module.trainable_variables
  pairs = zip(before, agent.exploration.variables, strict=True)
  moved = {id(v) for old, v in pairs if not np.array_equal(old, v)}
  assert {id(variable) for variable in trained} <= moved


@pytest.mark.slow
@pytest.mark.parametrize('behaviour', [_PLAN, _LOSS])
def test_loss_reports_what_train_does_and_changes_nothing(behaviour):
  agent = make(behaviour)
  batch = small.make_batch(agent)
  before = small.checkpoint(agent)
  found = agent.loss(batch).extra
  assert small.same(before, small.checkpoint(agent))
  assert set(found) == set(agent.train(batch).extra)


@pytest.mark.slow
@pytest.mark.parametrize('behaviour', [_PLAN, _LOSS])
def test_xla_agrees_with_the_graph(behaviour):
  losses = []
  for jit in ('on', 'off'):
    agent = small.make_agent(behaviour, f"DreamerV2Agent.jit = '{jit}'")
    small.randomise(agent.exploration, scale=0.3)
    losses.append(agent.train(small.make_batch(agent)).extra)
  for key in losses[0]:
    np.testing.assert_allclose(
        losses[0][key], losses[1][key], rtol=1e-3, atol=1e-5, err_msg=key
    )


def test_unknown_behaviours_and_numbers_are_refused():
  with pytest.raises(ValueError, match="one of 'greedy', 'random'"):
    make("DreamerV2Agent.exploration = 'curious'")
  with pytest.raises(ValueError, match='Plan2Explore.members'):
    make(_PLAN, 'Plan2Explore.members = 1')
  with pytest.raises(ValueError, match="one of 'stoch'"):
    make(_PLAN, "Plan2Explore.target = 'image'")
  with pytest.raises(ValueError, match='exploration_steps'):
    make(_PLAN, exploration_steps=-1)


# Who acts ---------------------------------------------------------------------


def _time_step(agent, batch):
  return ts.restart({
      'position': tf.zeros([batch, 3]), 'speed': tf.zeros([batch])
  }, batch_size=batch)


def _one_sided(agent, where, choice):
  """Makes an actor take one discrete action for sure."""
  small.randomise(where.actor, scale=0.0)
  where.actor._output._dense.bias.assign(
      100.0 * tf.one_hot(choice, small.A)
  )


def test_collection_explores_until_its_step_and_evaluation_never():
  step = tf.Variable(0, dtype=tf.int64)
  agent = make(_PLAN, schedule_step=step, exploration_steps=10)
  _one_sided(agent, agent.actor_critic, 2)
  _one_sided(agent, agent.exploration.actor_critic, 4)
  act = tf.function(agent.collect_policy.action)
  time_step = _time_step(agent, 3)
  state = agent.collect_policy.get_initial_state(3)
  for now, wanted in ((0, 4), (9, 4), (10, 2), (11, 2)):
    step.assign(now)
    taken = act(time_step, state)
    state = taken.state
    np.testing.assert_array_equal(taken.action, [wanted] * 3)
    np.testing.assert_array_equal(
        agent.policy.action(time_step, state).action, [2] * 3
    )


def test_without_an_end_collection_always_explores():
  step = tf.Variable(10**9, dtype=tf.int64)
  agent = make(_PLAN, schedule_step=step)
  _one_sided(agent, agent.exploration.actor_critic, 4)
  state = agent.collect_policy.get_initial_state(3)
  taken = agent.collect_policy.action(_time_step(agent, 3), state)
  np.testing.assert_array_equal(taken.action, [4] * 3)


def test_random_play_takes_every_action_alike():
  agent = make(_RANDOM)
  rows = 6000
  state = agent.collect_policy.get_initial_state(rows)
  taken = agent.collect_policy.action(_time_step(agent, rows), state)
  counts = np.bincount(taken.action, minlength=small.A)
  assert np.all(np.abs(counts - 1000) < 150)  # five standard deviations


def test_random_play_fills_the_box():
  agent = make(_RANDOM, action=small.BOX)
  rows = 4000
  state = agent.collect_policy.get_initial_state(rows)
  taken = agent.collect_policy.action(_time_step(agent, rows), state).action
  low, high = small.BOX.minimum, small.BOX.maximum
  share = (taken - low) / (high - low)
  assert np.all((share >= 0) & (share <= 1))
  np.testing.assert_allclose(np.mean(share, 0), 0.5, atol=0.03)
  np.testing.assert_allclose(np.std(share, 0), 1 / np.sqrt(12), atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize('behaviour', [_PLAN, _RANDOM])
def test_the_collect_policy_is_saved_with_its_switch(behaviour, tmp_path):
  step = tf.Variable(0, dtype=tf.int64)
  agent = make(behaviour, schedule_step=step, exploration_steps=10,
               action=small.BOX)
  saver = policy_saver.PolicySaver(
      agent.collect_policy, batch_size=None,
      train_step=agent.train_step_counter,
  )
  saver.save(str(tmp_path / 'policy'))
  loaded = tf.saved_model.load(str(tmp_path / 'policy'))
  taken = loaded.action(
      _time_step(agent, 2), loaded.get_initial_state(batch_size=2)
  )
  assert taken.action.shape == (2, small.A)


def test_the_switch_lives_in_a_driver_and_a_checkpoint(tmp_path):
  step = tf.Variable(7, dtype=tf.int64)
  agent = make(_PLAN, schedule_step=step, exploration_steps=8)
  path = tf.train.Checkpoint(agent=agent, step=step).write(
      str(tmp_path / 'all')
  )
  other_step = tf.Variable(0, dtype=tf.int64)
  other = make(_PLAN, schedule_step=other_step, exploration_steps=8)
  tf.train.Checkpoint(agent=other, step=other_step).read(path).assert_consumed()
  assert small.same(small.checkpoint(agent), small.checkpoint(other))
  assert any(v is other_step for v in other.collect_policy.variables())
