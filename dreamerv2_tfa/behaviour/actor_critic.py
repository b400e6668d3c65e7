"""Actor and critic, learned from imagined rollouts."""

from collections.abc import Callable

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import losses
from dreamerv2_tfa import replicas
from dreamerv2_tfa import returns
from dreamerv2_tfa import schedules
from dreamerv2_tfa import scopes
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import heads
from dreamerv2_tfa.networks import layers
from dreamerv2_tfa.world_model import imagination
from dreamerv2_tfa.world_model import world_model as world_model_lib

_GRADIENTS = ('reinforce', 'dynamics', 'both')
# ActorCritic.entropy_scale = @linear_schedule(), linear_schedule.start = 1e-2
for _schedule in (
    schedules.linear, schedules.warmup, schedules.exponential,
    schedules.horizon,
):
  gin.external_configurable(
      _schedule, f'{_schedule.__name__}_schedule', module='schedules'
  )


@gin.configurable
class ActorCritic(tf.Module):
  """Actor, critic and slow critic (DreamerV2 paper, section 2.2).

  Gradients reach the actor through the imagined dynamics, by reinforce with
  the slow critic as baseline, or both, mixed.
  """

  def __init__(
      self, feature_size: int, action_size: int, discrete: bool, *,
      horizon: int = 15, lambda_: float = 0.95, actor_gradient: str = 'auto',
      actor_distribution: str = 'auto', actor_min_std: float = 0.1,
      gradient_mix: schedules.Schedule | float | str = 0.1,
      entropy_scale: schedules.Schedule | float | str = 2e-3,
      slow_critic_period: int = 100, slow_critic_fraction: float = 1.0,
      reward_norm_momentum: float = 1.0, reward_norm_scale: float = 1.0,
      reward_norm_epsilon: float = 1e-8, name: str | None = None,
  ):
    """Builds the networks.

    Args:
      feature_size: int F.
      action_size: int A.
      discrete: What 'auto' means: 'reinforce' on 'onehot', or 'dynamics'
        on 'trunc_normal'.
      horizon: int H, imagined steps, at least 2.
      lambda_: float in [0, 1], of the lambda-target.
      actor_gradient: 'auto', 'reinforce', 'dynamics' or 'both'.
      actor_distribution: 'auto', 'onehot', 'trunc_normal', 'normal' or
        'tanh_normal'.
      actor_min_std: Smallest scale of a continuous actor.
      gradient_mix: Number or schedule; share of 'dynamics' in 'both'.
      entropy_scale: Number or schedule; weight of the actor's entropy, nats.
      slow_critic_period: Updates between copies of the critic.
      slow_critic_fraction: float in [0, 1], share copied, after a first whole
        copy.
      reward_norm_momentum: float in [0, 1]; 1 turns normalisation off.
      reward_norm_scale: Magnitude of normalised rewards.
      reward_norm_epsilon: Added to the magnitude.
      name: Name of the module.

    Raises:
      ValueError: If a number or a name is out of its range.
    """
    super().__init__(name=name)
    if actor_gradient == 'auto':
      actor_gradient = 'reinforce' if discrete else 'dynamics'
    if actor_distribution == 'auto':
      actor_distribution = 'onehot' if discrete else 'trunc_normal'
    checks.choice('ActorCritic.actor_gradient', actor_gradient, _GRADIENTS)
    if discrete != (actor_distribution == 'onehot'):
      raise ValueError(
          f"ActorCritic.actor_distribution is {actor_distribution!r}; wanted "
          "'onehot' for discrete actions and another for continuous ones."
      )
    self._discrete = discrete
    # The last imagined action has no target, so there must be another.
    self._horizon = checks.integer('ActorCritic.horizon', horizon, 2)
    self._lambda = checks.number('ActorCritic.lambda_', lambda_, 0, 1)
    self._gradient = actor_gradient
    self._mix = schedules.make(
        gradient_mix, 'ActorCritic.gradient_mix')
    self._entropy_scale = schedules.make(
        entropy_scale, 'ActorCritic.entropy_scale')
    self._period = checks.integer(
        'ActorCritic.slow_critic_period', slow_critic_period
    )
    self._fraction = checks.number(
        'ActorCritic.slow_critic_fraction', slow_critic_fraction, 0, 1
    )
    self._norm = dict(
        momentum=checks.number(
            'ActorCritic.reward_norm_momentum', reward_norm_momentum, 0, 1
        ),
        scale=checks.number('ActorCritic.reward_norm_scale', reward_norm_scale),
        epsilon=checks.number(
            'ActorCritic.reward_norm_epsilon', reward_norm_epsilon
        ),
    )
    with scopes.part('actor', layers.MLP):
      self.actor = heads.ActionHead(
          feature_size, action_size, kind=actor_distribution,
          min_std=actor_min_std,
      )
    with scopes.part('critic', layers.MLP):
      self.critic = heads.RegressionHead(feature_size)
      self.slow_critic = heads.RegressionHead(feature_size)
    self.updates = tf.Variable(0, dtype=tf.int64, trainable=False)  # pyright: ignore[reportArgumentType]
    self.reward_magnitude = tf.Variable(
        1.0, dtype=tf.float64, trainable=False  # pyright: ignore[reportArgumentType]
    )

  @property
  def horizon(self) -> int:
    """Imagined steps H."""
    return self._horizon

  def normalised(self, rewards: tf.Tensor) -> tf.Tensor:
    """Rewards as the critic counts them, by the magnitude so far.

    Args:
      rewards: float32, after the world model's transform.
    """
    return returns.normalise(
        rewards, self.reward_magnitude, **{**self._norm, 'momentum': 1.0})[0]

  def loss(
      self, world_model: world_model_lib.WorldModel, starts: types.Starts,
      seed: tf.Tensor, *, step: tf.Tensor,
      reward: Callable[[types.Rollout], tf.Tensor] | None = None,
  ) -> types.BehaviourOutput:
    """Losses of actor and critic on one imagined batch; changes nothing.

    Args:
      world_model: Whose weights are constants here.
      starts: `[N, ...]`. Metrics and the magnitude of rewards count every start
        alike, whatever its weight.
      seed: int32 `[2]`.
      step: Scalar that schedules read, agent steps.
      reward: From a rollout to float32 `[H + 1, N]`; None is what the world
        model predicts of the task's.

    Returns:
      The gradient of `actor_loss` is meant for the actor's
      variables, that of `critic_loss` for the critic's.
    """
    rollout = imagination.imagine(
        world_model.rssm, self.actor, starts.state, horizon=self._horizon,
        seed=seed, differentiable=self._gradient != 'reinforce',
    )
    feature = rollout.feature
    if reward is None:
      rewards = world_model.reward(feature)
    else:
      rewards = reward(rollout)
    rewards, magnitude, metrics = self._normalise(rewards)
    discount = world_model.rollout_discount(feature, starts.discount)
    values = self.slow_critic(feature).mode()
    targets = returns.lambda_returns(
        rewards[:-1], discount[:-1], values[:-1], values[-1],
        lambda_=self._lambda,
    )
    state_weights = tf.stop_gradient(returns.state_weights(discount))
    if starts.weights is not None:
      state_weights *= starts.weights
    actor_loss, actor_metrics = self._actor_loss(
        rollout, targets, values, state_weights, step
    )
    critic = self.critic(tf.stop_gradient(feature[:-1]))
    log_prob = critic.log_prob(tf.stop_gradient(targets))
    critic_loss = losses.critic_loss(log_prob, state_weights[:-1])
    metrics.update(
        actor_metrics, actor_loss=actor_loss, critic_loss=critic_loss,
        critic=tf.reduce_mean(critic.mode()),
        critic_slow=tf.reduce_mean(values),
        critic_target=tf.reduce_mean(targets),
    )
    return types.BehaviourOutput(actor_loss, critic_loss, magnitude, metrics)

  def _actor_loss(self, rollout, targets, values, state_weights, step):
    # action    0   [a1]  [a2]   a3     An action is judged by the target of
    # state    [s0]->[s1]-> s2 -> s3    the state it leads into, against the
    # target    t0   [t1]  [t2]         value of the state it was taken in.
    # value    [v0]  [v1]   v2    v3    Bracketed: used, at H = 3.
    policy = self.actor.distribution(
        tf.nest.map_structure(lambda x: x[:-1], rollout.policy)
    )
    mix = self._mix(step)
    metrics = {}
    if self._gradient == 'dynamics':
      objective = targets[1:]
    else:
      action = rollout.action[1:-1]
      if self._discrete or self._gradient == 'reinforce':
        action = tf.stop_gradient(action)
      advantage = tf.stop_gradient(targets[1:] - values[:-2])
      objective = policy.log_prob(action) * advantage
    if self._gradient == 'both':
      objective = mix * targets[1:] + (1.0 - mix) * objective
      metrics['actor_grad_mix'] = mix
    entropy = policy.entropy()
    entropy_scale = self._entropy_scale(step)
    loss = losses.actor_loss(
        objective, entropy, state_weights[:-2], entropy_scale=entropy_scale
    )
    metrics['actor_ent'] = tf.reduce_mean(entropy)
    metrics['actor_ent_scale'] = entropy_scale
    return loss, metrics

  def _normalise(self, reward):
    normed, magnitude = returns.normalise(
        reward, self.reward_magnitude, **self._norm
    )
    metrics = {
        'reward_mean': tf.reduce_mean(reward),
        'reward_std': tf.math.reduce_std(reward),
        'reward_normed_mean': tf.reduce_mean(normed),
        'reward_normed_std': tf.math.reduce_std(normed),
    }
    return normed, magnitude, metrics

  def end_update(
      self, output: types.BehaviourOutput, apply: tf.Tensor | bool = True,
  ) -> None:
    """Keeps the reward magnitude, and moves the slow critic where it is due.

    Args:
      output: Of `loss`.
      apply: bool scalar; where false, nothing changes.
    """
    if apply is False:
      return
    replicas.own(self.reward_magnitude).assign(tf.where(
        apply, output.reward_magnitude, self.reward_magnitude
    ))
    self.update_slow_critic(apply)

  def update_slow_critic(self, apply: tf.Tensor | bool = True) -> None:
    """Copies the critic at updates 0, P, 2P, ...; the first time wholly.

    Args:
      apply: bool scalar; where false, nothing changes or counts.
    """
    due = (self.updates % self._period == 0) & apply  # pyright: ignore[reportOperatorIssue]
    mix = tf.where(self.updates == 0, 1.0, self._fraction)

    def copy():
      sources, targets = self.critic.variables, self.slow_critic.variables
      for source, target in zip(sources, targets, strict=True):
        replicas.own(target).assign(mix * source + (1.0 - mix) * target)
      return tf.constant(True)

    tf.cond(due, copy, lambda: tf.constant(False))
    replicas.own(self.updates).assign_add(tf.cast(apply, tf.int64))
