"""Tests of the world model as an environment, and of what it foresees."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.drivers import dynamic_step_driver
from tf_agents.metrics import tf_metrics
from tf_agents.policies import random_tf_policy
from tf_agents.trajectories import time_step as ts
from tf_agents.utils import common
from tf_agents.utils import nest_utils

import dreamerv2_tfa
from dreamerv2_tfa import dream
from dreamerv2_tfa.behaviour import policy as policy_lib
from dreamerv2_tfa.world_model import world_model

ROWS, HORIZON = 3, 4
BOTH = {**small.IMAGE, **small.VECTORS}


@pytest.fixture(scope='module')
def discrete():
  agent = small.make_agent(jit='off', observation=BOTH)
  small.randomise(agent.world_model)
  return agent


@pytest.fixture
def agent(discrete, monkeypatch):
  """Its episodes never end, and each state is worth its own reward."""
  model = discrete.world_model
  foretell(monkeypatch, model, lambda feature: tf.fill(
      tf.shape(feature)[:-1], 0.99))
  return discrete


def foretell(monkeypatch, model, discount):
  monkeypatch.setattr(model, 'discount', discount, raising=True)


def make(agent, **kwargs):
  return dreamerv2_tfa.DreamEnvironment(
      agent, **{'horizon': HORIZON, 'batch_size': ROWS, **kwargs})


def play(environment, steps, action=1):
  """Time steps from a reset on: list, arrays inside."""
  found = [environment.reset()]
  for _ in range(steps):
    found.append(environment.step(tf.fill([environment.batch_size], action)))
  return tf.nest.map_structure(np.asarray, found)


def equal(one, other):
  return small.same(tf.nest.flatten(one), tf.nest.flatten(other))


@pytest.mark.parametrize('observe', ['feature', 'decoded'])
def test_every_time_step_fits_the_specs(agent, observe):
  environment = make(agent, observe=observe)
  assert environment.action_spec() == agent.action_spec
  if observe == 'decoded':
    assert environment.observation_spec() == agent.time_step_spec.observation
  found = [environment.current_time_step()]
  found += [environment.step(tf.zeros([ROWS], tf.int32)) for _ in range(6)]
  for time_step in found:
    assert nest_utils.is_batched_nested_tensors(
        time_step, environment.time_step_spec())
    assert time_step.reward.shape == [ROWS]


def test_the_present_time_step_is_the_last_one_and_moves_nothing(agent):
  environment = make(agent)
  first = environment.reset()
  assert equal(first, environment.current_time_step())
  second = environment.step(tf.constant([0, 1, 2]))
  assert equal(second, environment.current_time_step())
  assert equal(second, environment.current_time_step())
  assert not equal(first, second)


@pytest.mark.parametrize('begin', ['current_time_step', 'step'])
def test_an_episode_begins_unasked(agent, begin):
  environment = make(agent)
  arguments = [tf.zeros([ROWS], tf.int32)] if begin == 'step' else []
  time_step = getattr(environment, begin)(*arguments)
  assert time_step.is_first().numpy().all()


def test_the_horizon_ends_an_episode_and_keeps_its_discount(agent):
  found = play(make(agent), HORIZON + 1)
  assert [x.step_type[0] for x in found] == [0, 1, 1, 1, 2, 0]
  np.testing.assert_allclose([x.discount[0] for x in found], 1.0)
  assert found[0].reward.tolist() == [0.0] * ROWS == found[-1].reward.tolist()


def test_an_episode_ends_where_going_on_is_less_likely_than_a_half(
    discrete, monkeypatch):
  # gamma is 0.99: a chance of 0.6, then of 0.4.
  model = discrete.world_model
  environment = make(discrete, batch_size=1)
  environment.reset()
  for chance, step_type, discount in (
      (0.6, ts.StepType.MID, 0.6), (0.4, ts.StepType.LAST, 0.0)):
    foretell(monkeypatch, model, lambda feature: tf.fill(
        tf.shape(feature)[:-1], 0.99))  # of the state before
    before = environment.current_time_step()
    assert not before.is_last()
    monkeypatch.setattr(environment, '_keep', keep_with(
        environment, monkeypatch, model, 0.99 * chance))
    time_step = environment.step(tf.constant([2]))
    monkeypatch.undo()
    assert time_step.step_type.numpy() == step_type
    np.testing.assert_allclose(time_step.discount, [discount], rtol=1e-6)


def keep_with(environment, monkeypatch, model, discount):
  keep = type(environment)._keep

  def kept(steps, latent):
    foretell(monkeypatch, model, lambda feature: tf.fill(
        tf.shape(feature)[:-1], discount))
    return keep(environment, steps, latent)

  return kept


def test_a_row_that_ended_begins_anew_and_the_others_go_on(
    discrete, monkeypatch):
  model = discrete.world_model
  environment = make(discrete)
  environment.reset()
  environment.state.steps.assign([HORIZON, 1, 2])
  foretell(monkeypatch, model, lambda feature: tf.fill(
      tf.shape(feature)[:-1], 0.99))
  time_step = environment.step(tf.constant([0, 1, 2]))
  assert time_step.step_type.numpy().tolist() == [0, 1, 1]
  assert environment.state.steps.numpy().tolist() == [0, 2, 3]


def test_a_step_after_the_last_ignores_its_action(agent):
  found = []
  for action in (0, 5):
    environment = make(agent, seed=7)
    play(environment, HORIZON, action=2)
    found.append(environment.step(tf.fill([ROWS], action)))
  assert found[0].is_first().numpy().all()
  assert equal(*found)


def test_reward_and_continue_are_those_of_the_state_that_is_reached(discrete):
  environment = make(discrete, horizon=9)
  time_step = play(environment, 1)[-1]
  model = discrete.world_model
  feature = tf.constant(time_step.observation)
  np.testing.assert_allclose(time_step.reward, model.reward(feature), rtol=1e-5)
  chance = np.minimum(model.discount(feature) / 0.99, 1.0)
  np.testing.assert_allclose(
      time_step.discount, np.where(chance < 0.5, 0.0, chance), rtol=1e-5)


def test_a_step_is_the_prior_after_the_action(agent):
  environment = make(agent)
  environment.reset()
  rssm = agent.world_model.rssm
  before = rssm.initial(ROWS)
  before = tf.nest.pack_sequence_as(
      before, [tf.identity(x) for x in environment.state.latent])
  action = [0, 3, 5]
  after = rssm.img_step(before, tf.one_hot(action, small.A), (0, 0))
  feature = environment.step(tf.constant(action)).observation
  deter = feature[:, -after.deter.shape[-1]:]
  np.testing.assert_allclose(deter, after.deter, rtol=1e-5)


def test_an_action_moves_its_own_row_alone(agent):
  ones, others = (make(agent, seed=3) for _ in range(2))
  ones.reset(), others.reset()
  one = ones.step(tf.constant([0, 1, 2])).observation.numpy()
  other = others.step(tf.constant([4, 1, 2])).observation.numpy()
  assert not np.array_equal(one[0], other[0])
  np.testing.assert_array_equal(one[1:], other[1:])


def test_rows_have_noise_of_their_own(agent):
  observation = play(make(agent, batch_size=8), 2)[-1].observation
  assert len(np.unique(observation, axis=0)) > 1


def test_a_seed_repeats_its_episodes_and_another_seed_does_not(agent):
  one, again, other = (
      play(make(agent, seed=seed), 6) for seed in (11, 11, 12))
  assert equal(one, again)
  assert not equal(one, other)


def test_a_graph_dreams_as_line_by_line(agent):
  eager, graph = make(agent), make(agent)
  step = tf.function(graph.step)
  found = [tf.function(graph.reset)()]
  found += [step(tf.fill([ROWS], 1)) for _ in range(6)]
  for one, other in zip(play(eager, 6), found, strict=True):
    for x, y in zip(
        tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
      np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_the_state_goes_on_as_the_environment(agent, tmp_path):
  environment, twin = make(agent), make(agent, seed=99)
  environment.start_from(small.make_batch(agent))
  play(environment, 2)
  path = tf.train.Checkpoint(dream=environment.state).write(str(tmp_path / 'x'))
  tf.train.Checkpoint(dream=twin.state).read(path).assert_consumed()
  for _ in range(HORIZON):
    action = tf.constant([0, 1, 2])
    assert equal(environment.step(action), twin.step(action))


def test_without_rows_an_episode_begins_in_the_prior_of_a_first_row(agent):
  rssm = agent.world_model.rssm
  first = rssm.img_step(
      rssm.initial(ROWS), tf.zeros([ROWS, small.A]), (0, 0))
  feature = make(agent).reset().observation.numpy()
  np.testing.assert_allclose(
      feature[:, -small_deter(agent):], first.deter, rtol=1e-5)


def small_deter(agent):
  return agent.world_model.rssm.initial(1).deter.shape[-1]


def test_an_episode_begins_in_a_posterior_of_replay_but_for_the_ended(agent):
  batch = small.make_batch(agent)
  environment = make(agent, trajectory=batch, batch_size=40)
  deter = environment.reset().observation.numpy()[:, -small_deter(agent):]
  kept = environment.state.starts[0].numpy()
  # Row 2 of sequence 0 is the LAST of an episode: model row 1 of 5.
  assert len(kept) == small.B * small.T - 1
  found = {tuple(row) for row in deter}
  assert found <= {tuple(row) for row in kept}
  assert len(found) > 3


def test_rows_that_all_ended_are_no_beginning(agent):
  batch = small.make_batch(agent)
  ended = batch._replace(discount=tf.zeros_like(batch.discount))
  ended = ended._replace(step_type=tf.ones_like(batch.step_type))
  with pytest.raises(ValueError, match='ends an episode'):
    make(agent, trajectory=ended)


def test_fresh_rows_may_be_more_than_those_before(agent):
  environment = make(agent, trajectory=small.make_batch(agent, rows=3))
  step = tf.function(environment.step)
  step(tf.zeros([ROWS], tf.int32))
  environment.start_from(small.make_batch(agent, rows=9))
  assert environment.state.starts[0].shape[0] is None
  assert len(environment.state.starts[0].numpy()) == small.B * 8 - 1
  step(tf.zeros([ROWS], tf.int32))


@pytest.mark.parametrize('driver', [
    lambda *args: dynamic_step_driver.DynamicStepDriver(
        *args, num_steps=4 * ROWS),
    lambda *args: dynamic_episode_driver.DynamicEpisodeDriver(
        *args, num_episodes=ROWS)])
def test_the_hosts_drivers_play_in_it(agent, driver):
  environment = make(agent)
  steps, lengths = tf_metrics.EnvironmentSteps(), (
      tf_metrics.AverageEpisodeLengthMetric(batch_size=ROWS))
  policy = random_tf_policy.RandomTFPolicy(
      environment.time_step_spec(), environment.action_spec())
  made = driver(environment, policy, [steps, lengths])
  common.function(made.run)()
  assert steps.result() == HORIZON * ROWS
  assert lengths.result() == HORIZON


def test_the_agents_own_policy_plays_in_decoded_dreams(agent):
  environment = make(agent, observe='decoded')
  driver = dynamic_episode_driver.DynamicEpisodeDriver(
      environment, agent.policy, [], num_episodes=ROWS)
  time_step, _ = driver.run()
  assert time_step.observation['image'].dtype == tf.uint8


def test_a_continuous_action_is_taken_in_the_environments_numbers():
  agent = small.make_agent(jit='off', action=small.BOX)
  small.randomise(agent.world_model)
  environment = make(agent)
  environment.reset()
  rssm = agent.world_model.rssm
  before = tf.nest.pack_sequence_as(
      rssm.initial(1), [tf.identity(x) for x in environment.state.latent])
  lowest = tf.tile([small.BOX.minimum], [ROWS, 1])
  after = rssm.img_step(before, -tf.ones([ROWS, small.A]), (0, 0))
  feature = environment.step(lowest).observation
  np.testing.assert_allclose(
      feature[:, -small_deter(agent):], after.deter, rtol=1e-5)


def test_a_half_precision_dream_shows_float32():
  agent = small.make_agent(jit='off', precision='mixed_bfloat16')
  environment = make(agent, trajectory=small.make_batch(agent))
  for time_step in play(environment, 2):
    assert time_step.observation.dtype == np.float32


def test_the_future_is_what_each_action_leads_to_in_turn(discrete):
  posterior, _ = dream.recall(
      discrete, small.make_batch(discrete), sample=False)
  start = tf.nest.map_structure(lambda x: x[:, -1], posterior)
  actions = tf.constant([[0, 5, 2], [3, 3, 1]])
  found = dream.rollout_actions(discrete, start, actions, sample=False)
  model, state = discrete.world_model, start
  for k in range(3):
    state = model.rssm.img_step(
        state, tf.one_hot(actions[:, k], small.A), (0, 0), sample=False)
    feature = model.rssm.feature(state)
    np.testing.assert_allclose(
        found.reward[:, k], model.reward(feature), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        found.continue_[:, k], model.continue_prob(feature), rtol=1e-4)
    np.testing.assert_allclose(
        found.observation['position'][:, k],
        model.decode(feature)['position'].mode(), rtol=1e-4, atol=1e-5)
  assert found.observation['image'].shape == [2, 3, 64, 64, 1]


def test_what_is_remembered_is_what_the_model_trains_on(discrete):
  batch = small.make_batch(discrete)
  posterior, sequence = dream.recall(discrete, batch, (4, 5))
  output = discrete.world_model.loss(sequence, tf.constant([4, 5]))
  assert equal(posterior, output.posterior)


@pytest.mark.parametrize('spec', BOTH.values(), ids=BOTH)
def test_a_restored_observation_is_the_one_that_was_prepared(spec):
  value = np.random.default_rng(0).integers(0, 256, spec.shape)
  value = tf.constant(value, spec.dtype)
  seen = world_model.preprocess({'x': value})['x']
  restored = world_model.restore(seen, spec)
  assert restored.dtype == spec.dtype
  np.testing.assert_array_equal(restored, value)


def test_a_prediction_beyond_the_bounds_is_shown_at_them():
  value = tf.constant([-3.0, 0.7, 0.0])
  spec = tf.TensorSpec([3], tf.uint8)
  assert world_model.restore(value, spec).numpy().tolist() == [0, 255, 128]


def test_what_cannot_be_dreamt_is_refused(discrete):
  with pytest.raises(ValueError, match="observe must be.*'pixels'"):
    make(discrete, observe='pixels')
  with pytest.raises(ValueError, match='horizon.*0'):
    make(discrete, horizon=0)
  partial = small.make_agent("Decoder.vector_keys = 'speed'", jit='off')
  with pytest.raises(ValueError, match=r"not predict \['position'\]"):
    make(partial, observe='decoded')
  blind = small.make_agent(jit='off', discount=0.0)
  with pytest.raises(ValueError, match='discount is 0'):
    make(blind)


def test_a_feature_policy_filters_as_the_agents_own(discrete):
  seen = []

  class Inner(random_tf_policy.RandomTFPolicy):

    def _action(self, time_step, policy_state, seed):
      seen.append(time_step.observation)
      return super()._action(time_step, policy_state, seed)

  size = discrete.world_model.rssm.feature_size
  spec = ts.time_step_spec(tf.TensorSpec([size], tf.float32))
  policy = policy_lib.FeaturePolicy(
      discrete.time_step_spec, discrete.action_spec, discrete.world_model,
      Inner(spec, discrete.action_spec))
  batch = small.make_batch(discrete)
  state = policy.get_initial_state(small.B)
  rssm = discrete.world_model.rssm
  latent, action = rssm.initial(small.B), tf.zeros([small.B, small.A])
  for t in range(1, 4):
    time_step = ts.TimeStep(
        batch.step_type[:, t], batch.reward[:, t], batch.discount[:, t],
        tf.nest.map_structure(lambda x, t=t: x[:, t], batch.observation))
    step = policy.action(time_step, state)
    latent = rssm.obs_step(
        latent, action, discrete.world_model.embed(time_step.observation),
        time_step.is_first(), (0, 0))
    # What is drawn differs: the deterministic part follows one latent alone.
    np.testing.assert_allclose(
        seen[-1][:, -small_deter(discrete):], latent.deter, rtol=1e-5)
    state, action = step.state, tf.one_hot(step.action, small.A)
    latent = state[0].latent
    np.testing.assert_array_equal(state[0].action, action)
