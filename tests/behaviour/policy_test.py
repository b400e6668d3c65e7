"""Tests of the policy: what it remembers, how it acts, how it is exported."""

import subprocess
import sys

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.policies import greedy_policy
from tf_agents.policies import policy_saver
from tf_agents.policies import tf_policy
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.behaviour import policy
from dreamerv2_tfa.environments import catch

A, N = small.A, 5
LOW, HIGH = small.BOX.minimum, small.BOX.maximum
ACTIONS = {'discrete': small.DISCRETE, 'continuous': small.BOX}
SEED = tf.constant([6, 1])


def random_agent(**kwargs):
  """An agent whose weights, biases and gains are all random."""
  agent = small.make_agent(**kwargs)
  small.randomise(agent.world_model, seed=0)
  small.randomise(agent.actor_critic.actor, seed=1)
  return agent


@pytest.fixture(scope='module', params=['discrete', 'continuous'])
def agent(request):
  return random_agent(action=ACTIONS[request.param])


@pytest.fixture(scope='module')
def discrete():
  return random_agent()


@pytest.fixture(scope='module')
def continuous():
  return random_agent(action=small.BOX)


def make(agent, **kwargs):
  """A policy of the agent's networks with settings of its own."""
  return policy.DreamerPolicy(
      agent.time_step_spec, agent.action_spec, agent.world_model,
      agent.actor_critic.actor, **{'greedy': True, **kwargs}
  )


def time_steps(batch, seed=0, step_type=ts.StepType.MID):
  rng = np.random.default_rng(seed)
  draw = lambda *shape: tf.constant(rng.normal(size=shape), tf.float32)
  return ts.TimeStep(
      tf.fill([batch], step_type), tf.zeros([batch]), tf.ones([batch]),
      {'position': draw(batch, 3), 'speed': draw(batch)},
  )


def alike(batch, **kwargs):
  """The same time step in each row."""
  one = time_steps(1, **kwargs)
  return tf.nest.map_structure(lambda x: tf.repeat(x, batch, 0), one)


def random_state(some_policy, batch, seed=0):
  rng = np.random.default_rng(seed)
  return tf.nest.map_structure(
      lambda spec: tf.constant(
          rng.normal(size=[batch, *spec.shape]), spec.dtype
      ),
      some_policy.policy_state_spec,
  )


def inside(agent, action):
  """The environment's action as the model sees it, by numpy."""
  if agent.action_spec.dtype.is_integer:
    return np.eye(A)[action]
  return 2.0 * (np.asarray(action) - LOW) / (HIGH - LOW) - 1.0


def actor_of(agent, state):
  """The actor's distribution in the state that a policy returned."""
  stoch = tf.reshape(state.latent.stoch, [-1, 12])
  return agent.actor_critic.actor(tf.concat([stoch, state.latent.deter], -1))


def play(act, state, steps=6):
  """Actions of an episode of N rows, of which the last begins anew at 3."""
  actions = []
  for t in range(steps):
    first = ts.StepType.FIRST if t == 0 else ts.StepType.MID
    time_step = time_steps(N, seed=t, step_type=first)
    if t == 3:
      types = tf.concat([time_step.step_type[:-1], [0]], 0)
      time_step = time_step._replace(step_type=types)
    step = act(time_step, state)
    actions.append(step.action.numpy())
    state = step.state
  return np.stack(actions)


def test_initial_state_is_zeros_of_float32(agent):
  state = agent.policy.get_initial_state(N)
  assert state.action.shape == (N, A)
  assert state.latent.deter.shape == (N, 8)
  for leaf in tf.nest.flatten(state):
    assert leaf.dtype == tf.float32
    assert not leaf.numpy().any()


def test_the_state_is_forgotten_where_the_step_is_first(agent):
  """Of latent and action: row 0 begins, row 1 goes on."""
  acting = make(agent, mode_latent=True)
  step = time_steps(2)._replace(step_type=tf.constant([0, 1]))
  fresh = acting.action(step, acting.get_initial_state(2))
  went_on = acting.action(step, random_state(acting, 2))
  row_0 = lambda result: [x[0] for x in tf.nest.flatten(result.state)]
  assert small.same(row_0(fresh), row_0(went_on))
  deter = lambda result: result.state.latent.deter[1].numpy()
  assert np.abs(deter(fresh) - deter(went_on)).min() > 0


@pytest.mark.parametrize('part', ['latent', 'action'])
def test_latent_and_previous_action_both_move_the_next_state(agent, part):
  acting = make(agent, mode_latent=True)
  zeros = acting.get_initial_state(N)
  other = zeros._replace(**{part: getattr(random_state(acting, N), part)})
  one = acting.action(time_steps(N), zeros).state.latent.deter
  two = acting.action(time_steps(N), other).state.latent.deter
  assert np.abs(one - two).max(-1).min() > 0


def test_greedy_takes_the_mode_of_the_discrete_actor(discrete):
  step = discrete.policy.action(
      time_steps(N), random_state(discrete.policy, N)
  )
  logits = actor_of(discrete, step.state).logits
  np.testing.assert_array_equal(step.action, np.argmax(logits, -1))


def test_greedy_takes_the_mode_of_the_continuous_actor(continuous):
  step = continuous.policy.action(
      time_steps(N), random_state(continuous.policy, N)
  )
  mode = actor_of(continuous, step.state).mode()
  np.testing.assert_allclose(
      step.action, LOW + (mode + 1.0) / 2.0 * (HIGH - LOW), atol=1e-5
  )


def test_collect_samples_a_discrete_action_with_its_probability(discrete):
  many = 4000
  acting = make(discrete, greedy=False, mode_latent=True)
  step = acting.action(alike(many), acting.get_initial_state(many))
  probs = small.softmax(actor_of(discrete, step.state).logits.numpy()[0])
  share = np.bincount(step.action, minlength=A) / many
  assert (np.abs(share - probs) < 5 * np.sqrt(probs * (1 - probs) / many)).all()


def test_collect_samples_the_continuous_actor(continuous):
  many = 4000
  acting = make(continuous, greedy=False, mode_latent=True)
  step = acting.action(alike(many), acting.get_initial_state(many))
  actor = actor_of(continuous, step.state)
  taken, std = step.state.action.numpy(), actor.stddev().numpy()[0]
  error = taken.mean(0) - actor.mean().numpy()[0]
  assert (np.abs(error) < 5 * std / np.sqrt(many)).all()
  np.testing.assert_allclose(taken.std(0), std, rtol=0.1)


def test_the_agents_policies_are_greedy_and_sampling(discrete):
  many = 200
  for acting, varies in ((discrete.policy, False),
                         (discrete.collect_policy, True)):
    step = acting.action(alike(many), acting.get_initial_state(many))
    mode = np.argmax(actor_of(discrete, step.state).logits, -1)
    assert (step.action.numpy() != mode).any() == varies


def test_mode_latent_takes_the_mode_of_the_posterior(discrete):
  acting = make(discrete, mode_latent=True)
  latent = acting.action(time_steps(N), random_state(acting, N)).state.latent
  mode = np.eye(4)[np.argmax(latent.logits, -1)]
  np.testing.assert_array_equal(latent.stoch, mode)


def test_the_latent_is_sampled_unless_told_otherwise(discrete):
  acting = make(discrete)
  latent = acting.action(alike(50), acting.get_initial_state(50)).state.latent
  assert len(np.unique(np.argmax(latent.stoch, -1), axis=0)) > 1


@pytest.mark.parametrize('kwargs', [
    {'greedy': True}, {'greedy': False}, {'greedy': False, 'noise': 0.5},
], ids=['greedy', 'sampled', 'noisy'])
def test_the_state_carries_the_action_that_was_taken(agent, kwargs):
  acting = make(agent, **kwargs)
  step = acting.action(time_steps(N), random_state(acting, N))
  np.testing.assert_allclose(
      step.state.action, inside(agent, step.action), atol=1e-5
  )


def test_under_greedy_policy_the_state_carries_the_mode_that_was_taken(agent):
  """TF-Agents' wrapper sees the distribution and its state alone."""
  acting = greedy_policy.GreedyPolicy(agent.collect_policy)
  step = acting.action(time_steps(N), acting.get_initial_state(N))
  mode = actor_of(agent, step.state).mode()
  np.testing.assert_allclose(step.state.action, mode, atol=1e-6)
  np.testing.assert_allclose(inside(agent, step.action), mode, atol=1e-5)


def test_the_distribution_is_over_the_environments_actions(agent):
  acting = make(agent, mode_latent=True)
  state = random_state(acting, N)
  step = acting.distribution(time_steps(N), state)
  greedy = acting.action(time_steps(N), state).action
  np.testing.assert_allclose(step.action.mode(), greedy, atol=1e-5)
  sample = step.action.sample(seed=SEED)
  assert sample.dtype == agent.action_spec.dtype
  assert tensor_spec.is_bounded(agent.action_spec)
  assert (sample >= agent.action_spec.minimum).numpy().all()
  assert (sample <= agent.action_spec.maximum).numpy().all()


def test_integers_that_start_elsewhere_than_at_0_are_taken_as_they_are():
  spec = tensor_spec.BoundedTensorSpec((), tf.int64, 3, 3 + A - 1)
  agent = random_agent(action=spec)
  acting = make(agent, mode_latent=True)
  step = acting.action(time_steps(50), acting.get_initial_state(50))
  index = np.argmax(step.state.action, -1)
  np.testing.assert_array_equal(step.action, 3 + index)
  assert step.action.dtype == tf.int64
  mode = acting.distribution(
      time_steps(50), acting.get_initial_state(50)
  ).action.mode()
  np.testing.assert_array_equal(mode, step.action)


def test_discrete_noise_is_the_rate_of_uniformly_random_actions(discrete):
  many, rate = 6000, 0.3
  acting = make(discrete, mode_latent=True, noise=rate)
  step = acting.action(alike(many), acting.get_initial_state(many))
  mode = int(np.argmax(actor_of(discrete, step.state).logits[0]))
  expected = np.full(A, rate / A)
  expected[mode] += 1.0 - rate
  share = np.bincount(step.action, minlength=A) / many
  error = 5 * np.sqrt(expected * (1 - expected) / many)
  assert (np.abs(share - expected) < error).all()


def test_continuous_noise_is_normal_around_the_action():
  many, deviation = 4000, 0.02
  agent = random_agent(action=small.BOX)
  small.randomise(agent.actor_critic.actor, scale=0.05)
  acting = make(agent, mode_latent=True, noise=deviation)
  step = acting.action(alike(many), acting.get_initial_state(many))
  mode = actor_of(agent, step.state).mode().numpy()[0]
  assert (np.abs(mode) < 1.0 - 5 * deviation).all()  # nothing is clipped
  noise = step.state.action.numpy() - mode
  assert (np.abs(noise.mean(0)) < 5 * deviation / np.sqrt(many)).all()
  np.testing.assert_allclose(noise.std(0), deviation, rtol=0.1)


def test_continuous_noise_is_clipped_to_the_box(continuous):
  acting = make(continuous, noise=100.0)
  step = acting.action(time_steps(200), acting.get_initial_state(200))
  assert (np.abs(step.state.action) <= 1.0).all()
  assert (step.action >= LOW).numpy().all()
  assert (step.action <= HIGH).numpy().all()
  on_bounds = np.isclose(step.action, LOW) | np.isclose(step.action, HIGH)
  assert on_bounds.mean() > 0.95


def test_the_agent_hands_its_noise_to_its_policies():
  agent = random_agent(collect_noise=1.0, eval_noise=0.0)
  step = agent.policy.action(alike(60), agent.policy.get_initial_state(60))
  mode = np.argmax(actor_of(agent, step.state).logits, -1)
  np.testing.assert_array_equal(step.action, mode)
  small.randomise(agent.actor_critic.actor, scale=0.0)
  agent.actor_critic.actor._output._dense.bias.assign([50.0] + [0.0] * (A - 1))
  noisy = agent.collect_policy
  step = noisy.action(alike(600), noisy.get_initial_state(600))
  assert (np.bincount(step.action, minlength=A) > 50).all()


@pytest.mark.parametrize('greedy', [True, False])
def test_policies_of_two_seeds_differ(discrete, greedy):
  one, two = (make(discrete, greedy=greedy, seed=seed) for seed in (1, 2))
  step = alike(100)
  latent = lambda acting: acting.action(
      step, acting.get_initial_state(100)
  ).state.latent.stoch.numpy()
  assert not np.array_equal(latent(one), latent(two))


def test_policies_of_one_seed_act_alike_and_never_repeat_themselves(discrete):
  one, two = (make(discrete, greedy=False, seed=7) for _ in range(2))
  step, state = alike(100), one.get_initial_state(100)
  first, second = (one.action(step, state).action.numpy() for _ in range(2))
  assert np.array_equal(first, two.action(step, state).action)
  assert np.array_equal(second, two.action(step, state).action)
  assert not np.array_equal(first, second)


def test_the_stream_of_one_seed_is_no_later_part_of_anothers(discrete):
  """Seeds that are counters would be: a call draws 256 numbers on."""
  one, two = (make(discrete, greedy=False, seed=seed) for seed in (3, 259))
  step, state = alike(60), one.get_initial_state(60)
  draw = lambda acting: [
      tuple(acting.action(step, state).action.numpy()) for _ in range(4)
  ]
  assert not set(draw(one)) & set(draw(two))


def test_an_explicit_seed_decides_the_action(agent):
  acting = agent.collect_policy
  step, state = time_steps(N), acting.get_initial_state(N)
  act = lambda seed: acting.action(step, state, seed=seed).action.numpy()
  assert np.array_equal(act(SEED), act(SEED))
  assert not np.array_equal(
      acting.action(alike(50), acting.get_initial_state(50), seed=SEED).action,
      acting.action(
          alike(50), acting.get_initial_state(50), seed=SEED + 1
      ).action,
  )


@pytest.mark.parametrize('precision', ['mixed_bfloat16', 'mixed_float16'])
def test_the_state_is_float32_in_mixed_precision(precision):
  agent = random_agent(precision=precision)
  acting = agent.collect_policy
  step = acting.action(time_steps(N), acting.get_initial_state(N))
  for state in (acting.policy_state_spec, step.state):
    assert {leaf.dtype for leaf in tf.nest.flatten(state)} == {tf.float32}
  assert np.isfinite(step.state.latent.deter).all()


def test_no_public_method_of_tf_policy_is_overridden():
  own = {name for name in vars(policy.DreamerPolicy) if name[0] != '_'}
  assert not own & set(dir(tf_policy.TFPolicy))


def test_variables_are_those_it_acts_with(discrete):
  acting = discrete.policy
  found = {id(variable) for variable in acting.variables()}
  for module in (discrete.world_model, discrete.actor_critic.actor):
    assert {id(variable) for variable in module.variables} <= found
  critic = discrete.actor_critic.critic.variables
  assert not found & {id(variable) for variable in critic}


def save(acting, path):
  policy_saver.PolicySaver(acting, batch_size=None).save(str(path))
  return tf.saved_model.load(str(path))


@pytest.mark.filterwarnings('ignore:Encoding a StructuredValue')
def test_saved_and_loaded_it_acts_as_the_live_one(agent, tmp_path):
  """Latents are sampled: the generator's state is saved too."""
  acting = make(agent, seed=3)
  acting.action(time_steps(N), acting.get_initial_state(N))
  loaded = save(acting, tmp_path)
  live = play(acting.action, acting.get_initial_state(N))
  state = loaded.get_initial_state(batch_size=N)
  np.testing.assert_allclose(play(loaded.action, state), live, atol=1e-5)


@pytest.mark.filterwarnings('ignore:Encoding a StructuredValue')
def test_saved_greedy_policy_of_a_sampling_one_remembers_its_actions(
    discrete, tmp_path
):
  """The mode of actor and latent, through TF-Agents' own wrapper."""
  sampling = make(discrete, greedy=False, mode_latent=True)
  loaded = save(greedy_policy.GreedyPolicy(sampling), tmp_path)
  acting = make(discrete, greedy=True, mode_latent=True)
  live = play(acting.action, acting.get_initial_state(N))
  saved = play(loaded.action, loaded.get_initial_state(batch_size=N))
  np.testing.assert_array_equal(saved, live)


STANDALONE = """
import collections, sys
import tensorflow as tf
import tensorflow_probability
loaded = tf.saved_model.load(sys.argv[1])
TimeStep = collections.namedtuple(
    'TimeStep', 'step_type reward discount observation')
state = loaded.get_initial_state(batch_size=tf.constant(2))
observation = {'position': tf.ones([2, 3]), 'speed': tf.ones([2])}
step = TimeStep(
    tf.zeros([2], tf.int32), tf.zeros([2]), tf.ones([2]), observation)
result = loaded.action(step, state)
print(loaded.action(step, result.state).action.numpy().shape)
assert not {'dreamerv2_tfa', 'tf_agents'} & set(sys.modules)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:Encoding a StructuredValue')
@pytest.mark.parametrize('kind, shape', [
    ('discrete', '(2,)'),
    ('continuous', f'(2, {A})'),
])
def test_a_saved_policy_acts_where_only_tensorflow_and_tfp_are(
    kind, shape, tmp_path
):
  agent = random_agent(action=ACTIONS[kind])
  policy_saver.PolicySaver(agent.policy).save(str(tmp_path))
  result = subprocess.run(
      [sys.executable, '-c', STANDALONE, str(tmp_path)], text=True,
      capture_output=True, check=False,
  )
  assert result.returncode == 0, result.stderr[-2000:]
  assert result.stdout.strip() == shape


def test_it_plays_an_episode_of_catch_inside_a_driver():
  env = catch.Catch(balls=2)
  agent = small.make_agent(
      action=env.action_spec(), observation=env.observation_spec()
  )
  rows = []
  driver = dynamic_episode_driver.DynamicEpisodeDriver(
      env, agent.collect_policy, observers=[rows.append], num_episodes=1
  )
  acting = agent.collect_policy
  time_step, state = driver.run(policy_state=acting.get_initial_state(1))
  # 18 steps, and the row from the last observation to a new first one.
  types = [int(row.step_type[0]) for row in rows]
  assert types == [0] + [1] * 17 + [2]
  assert time_step.is_first()
  assert np.isfinite(state.latent.deter).all()
