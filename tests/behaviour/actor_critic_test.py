"""Tests of the actor-critic against loops that follow the written equations."""

import functools

import gin
import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa import types
from dreamerv2_tfa.behaviour import actor_critic
from dreamerv2_tfa.world_model import imagination
from dreamerv2_tfa.world_model import world_model

# At H = 3 no weight that the actor's loss uses depends on a prediction.
A, H, N = small.A, 4, 7
CONSTANT = 0.5 * np.log(2.0 * np.pi)
SEED = tf.constant([4, 2])
GRADIENTS = ('reinforce', 'dynamics', 'both')
KINDS = ('discrete', 'continuous')


@functools.cache
def make_model():
  with small.configured('RSSM.classes = 5'):
    model = world_model.WorldModel(small.VECTORS, A, discount=0.9)
  small.randomise(model)
  return model


def make(*bindings, discrete=True):
  """A world model and an actor-critic in which all weights are random."""
  model = make_model()
  with small.configured(f'ActorCritic.horizon = {H}', *bindings):
    behaviour = actor_critic.ActorCritic(
        model.rssm.feature_size, A, discrete
    )
  parts = (behaviour.actor, behaviour.critic, behaviour.slow_critic)
  for i, module in enumerate(parts):
    small.randomise(module, seed=i + 1)
  return model, behaviour


def make_start(model):
  rng = np.random.default_rng(0)
  zeros = model.rssm.initial(N)
  stoch = np.eye(5, dtype=np.float32)[rng.integers(0, 5, [N, 3])]
  return zeros._replace(
      stoch=tf.constant(stoch),
      deter=tf.constant(rng.uniform(-1, 1, [N, 8]), tf.float32),
  )


# Start 2 is a terminal state.
CONTINUE = tf.constant([0.9, 0.9, 0.0, 0.9, 0.9, 0.9, 0.9])


@pytest.fixture
def rollouts(monkeypatch):
  """Collects what the actor-critic imagines, gradients and all."""
  seen, imagine = [], imagination.imagine

  def record(*args, **kwargs):
    seen.append(imagine(*args, **kwargs))
    return seen[-1]

  monkeypatch.setattr(imagination, 'imagine', record)
  return seen


def run(model, behaviour, *, continue_=CONTINUE, step=0, weights=None):
  starts = types.Starts(make_start(model), continue_, weights)
  return behaviour.loss(model, starts, SEED, step=step)


def naive_losses(
    model, behaviour, rollout, continue_, *, gradient, discrete, entropy_scale,
    lambda_=0.95, mix=0.1, start_weights=(1.0,) * N, stop_weights=True,
    stop_discounts=False, stop_action=None,
):
  """Both losses, one state of one start after another.

  The three flags leave the specification, to show that a test sees it.
  """
  sg = tf.stop_gradient
  if stop_action is None:
    stop_action = discrete or gradient == 'reinforce'
  feature, action = rollout.feature, rollout.action
  reward, discount = model.reward(feature), model.discount(feature)
  value = behaviour.slow_critic(feature).mode()
  guess = behaviour.critic(sg(feature)).mode()
  actor_total, critic_total = 0.0, 0.0
  for n in range(N):
    disc = [continue_[n]] + [discount[k, n] for k in range(1, H)]
    if stop_discounts:
      disc = [sg(d) for d in disc]
    weight = [tf.constant(start_weights[n])]
    for k in range(H - 1):
      weight.append(weight[-1] * disc[k])
    if stop_weights:
      weight = [sg(w) for w in weight]
    target = {H: value[H, n]}
    for k in reversed(range(H)):
      mixed = (1.0 - lambda_) * value[k + 1, n] + lambda_ * target[k + 1]
      target[k] = reward[k, n] + disc[k] * mixed
    for k in range(H):
      error = sg(target[k]) - guess[k, n]
      critic_total += sg(weight[k]) * (-0.5 * error**2 - CONSTANT)
    for k in range(H - 1):
      policy = behaviour.actor(sg(feature[k, n][None]))
      taken = action[k + 1, n][None]
      if stop_action:
        taken = sg(taken)
      advantage = sg(target[k + 1] - value[k, n])
      reinforce = policy.log_prob(taken)[0] * advantage
      objective = {
          'reinforce': reinforce, 'dynamics': target[k + 1],
          'both': mix * target[k + 1] + (1.0 - mix) * reinforce,
      }[gradient]
      bonus = entropy_scale * policy.entropy()[0]
      actor_total += weight[k] * (objective + bonus)
  return -actor_total / ((H - 1) * N), -critic_total / (H * N)


def compare(rollouts, gradient, discrete, *, weights=None, **deviations):
  """Losses and actor gradients of the code and of the twin, as two lists."""
  model, behaviour = make(
      f"ActorCritic.actor_gradient = '{gradient}'",
      'ActorCritic.entropy_scale = 0.05', 'ActorCritic.gradient_mix = 0.3',
      discrete=discrete,
  )
  with tf.GradientTape(persistent=True) as tape:
    output = run(model, behaviour, weights=weights)
    start_weights = (1.0,) * N if weights is None else weights.numpy()
    actor, critic = naive_losses(
        model, behaviour, rollouts[0], CONTINUE, gradient=gradient,
        discrete=discrete, entropy_scale=0.05, mix=0.3,
        start_weights=start_weights, **deviations,
    )
  actor_weights = behaviour.actor.trainable_variables
  ours = [output.actor_loss, output.critic_loss]
  ours += tape.gradient(output.actor_loss, actor_weights)
  twin = [actor, critic, *tape.gradient(actor, actor_weights)]
  return [x.numpy() for x in ours], [x.numpy() for x in twin]


def near(ours, twin):
  return all(
      np.allclose(one, other, rtol=1e-4, atol=1e-6)
      for one, other in zip(ours, twin, strict=True)
  )


@pytest.mark.parametrize('discrete', [True, False], ids=KINDS)
@pytest.mark.parametrize('gradient', GRADIENTS)
def test_losses_and_actor_gradients_are_those_of_the_equations(
    rollouts, gradient, discrete
):
  ours, twin = compare(rollouts, gradient, discrete)
  for one, other in zip(ours, twin, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('discrete', [True, False], ids=KINDS)
def test_dynamics_passes_gradients_through_predicted_discounts(
    rollouts, discrete
):
  ours, twin = compare(rollouts, 'dynamics', discrete, stop_discounts=True)
  assert near(ours[:2], twin[:2])
  assert not near(ours[2:], twin[2:])


@pytest.mark.parametrize('discrete', [True, False], ids=KINDS)
def test_dynamics_passes_no_gradients_through_the_weights(rollouts, discrete):
  ours, twin = compare(rollouts, 'dynamics', discrete, stop_weights=False)
  assert near(ours[:2], twin[:2])
  assert not near(ours[2:], twin[2:])


def test_both_passes_gradients_into_the_judged_continuous_action(rollouts):
  ours, twin = compare(rollouts, 'both', False, stop_action=True)
  assert near(ours[:2], twin[:2])
  assert not near(ours[2:], twin[2:])


def test_weights_multiply_the_losses_of_their_start(rollouts):
  weights = tf.constant([0.0, 1.0, 2.0, 0.5, 3.0, 1.0, 0.25])
  ours, twin = compare(rollouts, 'reinforce', True, weights=weights)
  assert near(ours, twin)


class Constant:
  """A world model of the real dynamics, one reward and one discount."""

  def __init__(self, rssm, reward, discount):
    self.rssm = rssm
    self.reward = lambda feature: tf.fill(tf.shape(feature)[:-1], reward)
    self._discount = discount

  def rollout_discount(self, feature, first):
    later = tf.fill(tf.shape(feature)[:-1] - [1, 0], self._discount)
    return tf.concat([first[None], later], 0)


def by_hand(*bindings, reward=1.0, continue_=0.5, slow_value=0.0):
  """H = 3; the slow critic says `slow_value`, discounts are one half."""
  model, behaviour = make('ActorCritic.horizon = 3',
                          'ActorCritic.lambda_ = 1.0',
                          'ActorCritic.entropy_scale = 0.0', *bindings)
  small.randomise(behaviour.critic, scale=0.0)
  small.randomise(behaviour.slow_critic, scale=0.0)
  behaviour.slow_critic._output._dense.bias.assign([slow_value])
  small.randomise(behaviour.actor, scale=0.0)  # log pi = -log 6
  fake = Constant(model.rssm, reward, 0.5)
  return run(fake, behaviour, continue_=tf.fill([N], continue_))


def test_critic_loss_by_hand():
  # state    0     1    2          targets from the end, with lambda 1
  # target   1.75  1.5  1
  # weight   1     .5   .25
  errors = 0.5 * np.array([1.75, 1.5, 1.0]) ** 2 + CONSTANT
  expected = (errors * [1.0, 0.5, 0.25]).sum() / 3
  np.testing.assert_allclose(by_hand().critic_loss, expected, rtol=1e-6)


def test_reinforce_loss_by_hand():
  # An action a_{k+1} from state k: target_{k+1} - slow value of state k (4).
  # target   .  2    3      1 + .5 * (1 + .5 * 4) = 2.5, 1 + .5 * 4 = 3
  targets = np.array([2.5, 3.0])
  objective = -np.log(6.0) * (targets - 4.0)
  expected = -(objective * [1.0, 0.5]).sum() / 2
  output = by_hand(slow_value=4.0)
  np.testing.assert_allclose(output.actor_loss, expected, rtol=1e-6)


def test_dynamics_loss_by_hand():
  output = by_hand("ActorCritic.actor_gradient = 'dynamics'")
  expected = -(1.0 * 1.5 + 0.5 * 1.0) / 2
  np.testing.assert_allclose(output.actor_loss, expected, rtol=1e-6)


def test_the_first_target_includes_the_reward_of_the_replayed_state():
  # With every discount 0 each target is its own state's reward.
  output = by_hand(reward=3.0, continue_=0.0)
  error = 0.5 * 9.0 + CONSTANT
  np.testing.assert_allclose(output.critic_loss, error / 3, rtol=1e-6)


def test_after_a_terminal_start_state_nothing_counts():
  """Only state 0 keeps a weight; its action is judged all the same."""
  output = by_hand("ActorCritic.actor_gradient = 'dynamics'", continue_=0.0)
  # target_0 = 1, target_1 = 1 + .5 * 1
  np.testing.assert_allclose(
      output.critic_loss, (0.5 + CONSTANT) / 3, rtol=1e-6
  )
  np.testing.assert_allclose(output.actor_loss, -1.5 / 2, rtol=1e-6)


def test_the_discount_of_the_replayed_state_is_the_true_one():
  """The model says 0.5 at state 0 as elsewhere; the data say 1."""
  output = by_hand("ActorCritic.actor_gradient = 'dynamics'", continue_=1.0)
  np.testing.assert_allclose(
      output.actor_loss, -(1.0 * 1.5 + 1.0 * 1.0) / 2, rtol=1e-6
  )


def test_entropy_counts_in_the_states_where_actions_are_judged():
  output = by_hand("ActorCritic.actor_gradient = 'dynamics'",
                   'ActorCritic.entropy_scale = 0.1')
  bonus = 0.1 * np.log(6.0) * (1.0 + 0.5) / 2
  np.testing.assert_allclose(output.actor_loss, -1.0 - bonus, rtol=1e-6)
  np.testing.assert_allclose(
      output.metrics['actor_ent'], np.log(6.0), rtol=1e-6
  )


def test_reported_values_are_means():
  output = by_hand(slow_value=4.0)
  # targets 1 + .5 * 2.5, 2.5, 3
  expected = {'critic': 0.0, 'critic_slow': 4.0,
              'critic_target': (2.25 + 2.5 + 3.0) / 3, 'reward_mean': 1.0,
              'reward_std': 0.0}
  for name, value in expected.items():
    np.testing.assert_allclose(output.metrics[name], value, atol=1e-5)


@pytest.mark.parametrize('gradient', GRADIENTS)
def test_critic_loss_trains_the_critic_alone(gradient):
  model, behaviour = make(f"ActorCritic.actor_gradient = '{gradient}'")
  with tf.GradientTape(persistent=True) as tape:
    output = run(model, behaviour)
  others = (behaviour.actor, behaviour.slow_critic, model)
  for module in others:
    gradients = tape.gradient(output.critic_loss, module.trainable_variables)
    assert all(gradient is None for gradient in gradients)
  gradients = tape.gradient(
      output.critic_loss, behaviour.critic.trainable_variables
  )
  assert all(np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize('gradient', GRADIENTS)
def test_actor_loss_reaches_the_actor_and_never_the_critic(gradient):
  model, behaviour = make(f"ActorCritic.actor_gradient = '{gradient}'")
  with tf.GradientTape(persistent=True) as tape:
    output = run(model, behaviour)
  gradients = tape.gradient(
      output.actor_loss, behaviour.critic.trainable_variables
  )
  assert all(gradient is None for gradient in gradients)
  gradients = tape.gradient(
      output.actor_loss, behaviour.actor.trainable_variables
  )
  assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_reinforce_passes_no_gradient_to_the_dynamics():
  model, behaviour = make("ActorCritic.actor_gradient = 'reinforce'")
  with tf.GradientTape() as tape:
    output = run(model, behaviour)
  gradients = tape.gradient(output.actor_loss, model.trainable_variables)
  assert all(gradient is None for gradient in gradients)


def test_auto_is_reinforce_on_one_hot_and_dynamics_on_truncated_normal():
  for discrete, gradient, distribution in (
      (True, 'reinforce', 'onehot'), (False, 'dynamics', 'trunc_normal')
  ):
    model, auto = make(discrete=discrete)
    _, named = make(
        f"ActorCritic.actor_gradient = '{gradient}'",
        f"ActorCritic.actor_distribution = '{distribution}'",
        discrete=discrete,
    )
    np.testing.assert_array_equal(
        run(model, auto).actor_loss, run(model, named).actor_loss
    )


def test_the_loss_changes_nothing():
  model, behaviour = make('ActorCritic.reward_norm_momentum = 0.5')
  before = small.values(model) + small.values(behaviour)
  run(model, behaviour)
  assert small.same(before, small.values(model) + small.values(behaviour))


def test_slow_critic_is_copied_at_updates_0_p_and_2p():
  _, behaviour = make('ActorCritic.slow_critic_period = 3',
                      'ActorCritic.slow_critic_fraction = 0.5')
  fill = lambda module, value: [
      x.assign(tf.fill(x.shape, value)) for x in module.variables
  ]
  fill(behaviour.critic, 1.0)
  fill(behaviour.slow_critic, 9.0)
  seen = []
  for _ in range(7):
    behaviour.update_slow_critic()
    fill(behaviour.critic, 3.0)
    found = {float(v) for x in behaviour.slow_critic.variables
             for v in np.unique(x)}
    assert len(found) == 1
    seen += found
  # Wholly at update 0; half of the way at 3 and at 6.
  assert seen == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.5]


def test_slow_critic_copies_wholly_by_default():
  _, behaviour = make('ActorCritic.slow_critic_period = 1')
  behaviour.update_slow_critic()
  small.randomise(behaviour.critic, seed=8)
  behaviour.update_slow_critic()
  assert small.same(
      small.values(behaviour.critic), small.values(behaviour.slow_critic)
  )


def normalising(momentum, scale=1.0, magnitude=1.0):
  model, behaviour = make(
      f'ActorCritic.reward_norm_momentum = {momentum}',
      f'ActorCritic.reward_norm_scale = {scale}',
      'ActorCritic.reward_norm_epsilon = 0.25',
  )
  behaviour.reward_magnitude.assign(magnitude)
  fake = Constant(model.rssm, -3.0, 0.5)
  return run(fake, behaviour)


def test_reward_normalisation_updates_its_magnitude_and_then_divides():
  output = normalising(momentum=0.75, scale=2.0, magnitude=5.0)
  # 0.75 * 5 + 0.25 * |-3| = 4.5
  np.testing.assert_allclose(output.reward_magnitude, 4.5, rtol=1e-6)
  np.testing.assert_allclose(
      output.metrics['reward_normed_mean'], -3.0 / 4.75 * 2.0, rtol=1e-6
  )
  np.testing.assert_allclose(output.metrics['reward_mean'], -3.0)


def test_targets_are_made_of_normalised_rewards():
  plain = by_hand('ActorCritic.reward_norm_scale = 1.0')
  doubled = by_hand('ActorCritic.reward_norm_scale = 2.0')
  np.testing.assert_allclose(
      doubled.metrics['critic_target'], 2 * plain.metrics['critic_target'],
      rtol=1e-6,
  )


def test_reward_magnitude_is_kept_in_float64():
  output = normalising(momentum=1.0 - 1e-9, magnitude=1.0)
  assert output.reward_magnitude.dtype == tf.float64
  # 1 + 1e-9 * (3 - 1): float32 would still say 1.
  np.testing.assert_allclose(
      output.reward_magnitude - 1.0, 2e-9, rtol=1e-5
  )


def test_momentum_1_turns_reward_normalisation_off():
  output = by_hand(reward=1234.5)
  assert output.reward_magnitude == 1.0
  np.testing.assert_array_equal(output.metrics['reward_normed_mean'], 1234.5)


def test_entropy_scale_and_mix_follow_the_step_they_are_given():
  model, behaviour = make(
      "ActorCritic.entropy_scale = 'linear(1,0,10)'",
      "ActorCritic.gradient_mix = 'warmup(10,0.8)'",
      "ActorCritic.actor_gradient = 'both'",
  )
  metrics = run(model, behaviour, step=tf.constant(5, tf.int64)).metrics
  np.testing.assert_allclose(metrics['actor_ent_scale'], 0.5)
  np.testing.assert_allclose(metrics['actor_grad_mix'], 0.4)


def test_a_schedule_is_a_reference_of_gin_to_a_function():
  lines = (
      'ActorCritic.entropy_scale = @linear_schedule()',
      'linear_schedule.start = 1', 'linear_schedule.end = 0',
      'linear_schedule.steps = 10',
      'ActorCritic.gradient_mix = @mix/warmup_schedule()',
      'mix/warmup_schedule.steps = 10', 'mix/warmup_schedule.value = 0.8',
      "ActorCritic.actor_gradient = 'both'",
  )
  with small.configured(*lines):
    actor_critic.ActorCritic(5, small.A, True)
    recorded = gin.operative_config_str()
  for bindings in (lines, [recorded]):  # and as a run's folder says it
    model, behaviour = make(*bindings)
    metrics = run(model, behaviour, step=tf.constant(5, tf.int64)).metrics
    np.testing.assert_allclose(metrics['actor_ent_scale'], 0.5)
    np.testing.assert_allclose(metrics['actor_grad_mix'], 0.4)


@pytest.mark.parametrize('binding', [
    'ActorCritic.horizon = 1', 'ActorCritic.lambda_ = 1.5',
    'ActorCritic.slow_critic_fraction = -0.1',
    'ActorCritic.reward_norm_momentum = 2.0',
    'ActorCritic.slow_critic_period = 0',
    "ActorCritic.actor_gradient = 'reinforced'",
    "ActorCritic.actor_distribution = 'normal'",
    "ActorCritic.entropy_scale = 'linear(1,2)'",
])
def test_impossible_settings_are_named_with_what_they_got(binding):
  name, got = binding.removeprefix('ActorCritic.').split(' = ')
  pattern = got.strip("'").replace('(', r'\(').replace(')', r'\)')
  with pytest.raises(ValueError, match=pattern) as error:
    make(binding)
  assert name in str(error.value) or 'schedule' in str(error.value)
