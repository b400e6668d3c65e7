"""DreamerV2 as a TF-Agents agent: one update, in the paper's order."""

import functools
from typing import Any

import gin
import tensorflow as tf
from tf_agents.agents import data_converter
from tf_agents.agents import tf_agent
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa import devices
from dreamerv2_tfa import noise
from dreamerv2_tfa import part_optimizer
from dreamerv2_tfa import replicas
from dreamerv2_tfa import specs
from dreamerv2_tfa import types
from dreamerv2_tfa.behaviour import actor_critic
from dreamerv2_tfa.behaviour import exploration as exploration_lib
from dreamerv2_tfa.behaviour import policy
from dreamerv2_tfa.experience import sequences
from dreamerv2_tfa.world_model import world_model


@gin.configurable
class DreamerV2Agent(tf_agent.TFAgent):
  """Learns a world model from replay, and to act in its imagination.

  Hafner, Lillicrap, Norouzi, Ba: "Mastering Atari with Discrete World Models"
  (arXiv 2010.02193). Networks compute in the Keras mixed-precision policy that
  is global when the agent is made; 'mixed_float16' adds dynamic loss scaling.

  `policy` evaluates: the actor's mode. `collect_policy` samples and explores.
  `train` wants a `Trajectory` `[B, T + 1, ...]` of consecutive rows, which may
  span episodes. The whole update is one compiled function; another B or T
  compiles it again.
  """

  def __init__(
      self, time_step_spec: ts.TimeStep,
      action_spec: Any, *, discount: float = 0.99,
      model_learning_rate: float = 1e-4, actor_learning_rate: float = 8e-5,
      critic_learning_rate: float = 2e-4, adam_epsilon: float = 1e-5,
      clip_norm: float = 100.0, weight_decay: float = 1e-6,
      collect_noise: float = 0.0, eval_noise: float = 0.0,
      eval_mode_latent: bool = False, exploration: str = 'greedy',
      jit: str = 'auto', seed: int = 0,
      train_step_counter: tf.Variable | None = None,
      schedule_step: tf.Variable | None = None, exploration_steps: int = 0,
      freeze_model: bool = False, name: str | None = None,
  ):
    """Builds the world model, the actor-critic, their optimizers, policies.

    Args:
      time_step_spec: Of specs. The observation is a tensor or a
        nest: images `[64, 64, channels]`, vectors and scalars, mixed.
      action_spec: One `BoundedTensorSpec`: an integer, or a bounded box.
      discount: float gamma in [0, 1], of one agent step.
      model_learning_rate: Of the world model.
      actor_learning_rate: float.
      critic_learning_rate: float.
      adam_epsilon: Of all three optimizers; one alone is set by
        `model/Optimizer.adam_epsilon`, see `part_optimizer`.
      clip_norm: Largest global norm of a gradient, of each; likewise.
      weight_decay: Fraction of every weight lost an update; likewise.
      collect_noise: Action noise of `collect_policy`.
      eval_noise: Action noise of `policy`.
      eval_mode_latent: `policy` takes the mode of the latent too.
      exploration: Behaviour that collects: 'greedy' (the task's own actor),
        'random', 'plan2explore' or 'model_loss'.
      jit: 'on' compiles the update with XLA, 'off' makes it a plain graph,
        'auto' is 'on' where there is a GPU (XLA lacks oneDNN on a CPU). With
        several replicas the update is part of the caller's function, plain.
      seed: Of all sampling in updates and policies.
      train_step_counter: int64 scalar variable that counts updates; its own
        by default.
      schedule_step: Scalar variable that schedules read, agent steps taken;
        the counter of updates by default.
      exploration_steps: Value of `schedule_step` from which on the task's
        own actor collects; 0: never.
      freeze_model: Updates leave the world model as it is, and behaviour
        learns in it.
      name: Name of the agent.

    Raises:
      ValueError: If a spec or a number cannot be used.
    """
    tf.Module.__init__(self, name=name)
    self._jit = devices.resolve('DreamerV2Agent.jit', jit)
    _check(exploration, freeze_model, eval_mode_latent)
    exploration_steps, seed, collect_noise, eval_noise = _numbers(
        exploration_steps, seed, collect_noise, eval_noise
    )
    if train_step_counter is None:
      train_step_counter = tf.Variable(0, dtype=tf.int64, trainable=False)  # pyright: ignore[reportArgumentType]
    self._actions = specs.Actions(action_spec)
    self._freeze_model, self._seed = freeze_model, seed
    self._gamma = checks.number('DreamerV2Agent.discount', discount, 0, 1)
    self._schedule_step = (
        train_step_counter if schedule_step is None else schedule_step
    )
    self._world_model = world_model.WorldModel(
        specs.flat_observation(time_step_spec.observation),
        self._actions.size, discount=self._gamma,
    )
    self._actor_critic = actor_critic.ActorCritic(
        self._world_model.rssm.feature_size, self._actions.size,
        self._actions.discrete,
    )
    self._loss_scaling = _compute_dtype() == 'float16'
    shared = dict(epsilon=adam_epsilon, clip_norm=clip_norm,
                  weight_decay=weight_decay, loss_scaling=self._loss_scaling)
    self._make_optimizer = functools.partial(part_optimizer.make, shared)
    self._rates = (actor_learning_rate, critic_learning_rate)
    self._model_optimizer = self._make_optimizer(
        'model', self._world_model.trainable_variables,
        learning_rate=model_learning_rate,
    )
    self._actor_optimizer, self._critic_optimizer = self._optimizers_of(
        self._actor_critic
    )
    self._exploration = self._make_exploration(exploration)
    make_policy = functools.partial(
        policy.DreamerPolicy, time_step_spec, action_spec, self._world_model
    )
    collect = functools.partial(make_policy, greedy=False, noise=collect_noise)
    super().__init__(
        time_step_spec, action_spec,
        policy=make_policy(
            self._actor_critic.actor, greedy=True, noise=eval_noise,
            mode_latent=eval_mode_latent, seed=seed + 1,
        ),
        collect_policy=self._make_collect_policy(
            collect, exploration, exploration_steps
        ),
        train_sequence_length=None, train_step_counter=train_step_counter,
    )
    self._as_trajectory = data_converter.AsTrajectory(
        self.data_context, sequence_length=None
    )
    # Nothing below branches on a tensor in Python, and looking for that would
    # be half of the time that tracing takes.
    how = dict(jit_compile=self._jit, autograph=False)
    self._compiled_update, self._compiled_losses = (
        tf.function(functools.partial(self._update, apply=apply), **how)
        for apply in (True, False)
    )

  def _optimizers_of(self, behaviour, prefix=''):
    """Optimizers of an actor-critic: actor, critic."""
    pairs = zip(
        ('actor', 'critic'), (behaviour.actor, behaviour.critic), self._rates,
        strict=True,
    )
    return tuple(
        self._make_optimizer(
            name, module.trainable_variables, learning_rate=rate, prefix=prefix
        )
        for name, module, rate in pairs
    )

  def _make_exploration(self, behaviour):
    if behaviour in ('greedy', 'random'):
      return None

    def make_optimizers(explorer, behaviour):
      first = self._make_optimizer(
          'expl', explorer.trainable_variables, prefix='expl_',
          learning_rate=explorer.learning_rate,
      )
      return (first, *self._optimizers_of(behaviour, 'expl_'))

    return exploration_lib.Exploration(
        behaviour, self._world_model, self._actions, make_optimizers
    )

  def _make_collect_policy(self, make_policy, exploration, exploration_steps):
    task = make_policy(self._actor_critic.actor, seed=self._seed + 2)
    if exploration == 'greedy':
      return task
    if self._exploration is None:
      actor = exploration_lib.random_actor(
          self._actions.size, self._actions.discrete
      )
    else:
      actor = self._exploration.actor_critic.actor
    return policy.until(
        exploration_steps, self._schedule_step,
        make_policy(actor, seed=self._seed + 3), task,
    )

  @property
  def world_model(self) -> world_model.WorldModel:
    """The agent's `WorldModel`."""
    return self._world_model

  @property
  def actor_critic(self) -> actor_critic.ActorCritic:
    """The agent's `ActorCritic`."""
    return self._actor_critic

  @property
  def exploration(self) -> exploration_lib.Exploration | None:
    """The agent's `Exploration`, or None where none is learned."""
    return self._exploration

  @property
  def gamma(self) -> float:
    """The discount factor of one agent step: float in [0, 1]."""
    return self._gamma

  @property
  def jit(self) -> bool:
    """Whether XLA compiles the update."""
    return self._jit

  def _initialize(self):
    pass  # everything is built in the constructor

  def _train(self, experience, weights=None):
    return self._run(True, experience, weights)

  def _loss(self, experience, weights=None, training=False):
    del training  # nothing behaves differently in training
    return self._run(False, experience, weights)

  def _run(self, apply, experience, weights):
    inputs = self._inputs(experience, weights)
    if replicas.count() > 1:
      # Replicas cannot wait for each other inside a function of their own: the
      # update is part of the caller's, and not of XLA's.
      update = tf.autograph.experimental.do_not_convert(self._update)
      return update(*inputs, apply=apply)
    compiled = self._compiled_update if apply else self._compiled_losses
    return compiled(*inputs)

  def _inputs(self, experience, weights):
    converted: Any = self._as_trajectory(experience)
    batch = converted.step_type.shape[0]
    weights = tf.cast(1.0 if weights is None else weights, tf.float32)
    if weights.shape.rank not in (0, 1) or weights.shape not in ([], [batch]):
      raise ValueError(
          f'weights must be a scalar or have shape [{batch}], one for each '
          f'sequence; got {weights.shape}.'
      )
    return converted, tf.broadcast_to(weights, [batch])

  def _update(self, experience, weights, *, apply):
    """One update of model, actor, critic and slow critic.

    Args:
      experience: `Trajectory` `[B, T + 1, ...]`.
      weights: float32 `[B]`, of each sequence's losses.
      apply: Python bool; False computes the losses and gradients alone, and
        changes nothing.

    Returns:
      `LossInfo`.
    """
    sequence = sequences.from_trajectory(experience, self._actions)
    model_seed, behaviour_seed, exploration_seed = self._seeds()

    with tf.GradientTape() as model_tape:
      model = self._world_model.loss(sequence, model_seed, weights=weights)
    metrics = {}
    if not self._freeze_model:
      metrics = self._model_optimizer.minimize(model_tape, model.loss, apply)
    if apply:
      apply = self._is_finite(model, metrics)

    starts = self._starts(model, sequence, weights)
    with tf.GradientTape(persistent=True) as behaviour_tape:
      behaviour = self._actor_critic.loss(
          self._world_model, starts, behaviour_seed, step=self._schedule_step
      )
    metrics.update(self._actor_optimizer.minimize(
        behaviour_tape, behaviour.actor_loss, apply
    ))
    metrics.update(self._critic_optimizer.minimize(
        behaviour_tape, behaviour.critic_loss, apply
    ))
    self._actor_critic.end_update(behaviour, apply)
    if self._exploration is not None:
      metrics.update(self._exploration.update(
          model, sequence, weights, starts, exploration_seed, apply,
          step=self._schedule_step,
      ))
    if apply is not False:
      replicas.own(self._train_step_counter).assign_add(1)  # pyright: ignore[reportArgumentType]
    return _loss_info(model, behaviour, metrics)

  def _is_finite(self, model, metrics):
    """Whether loss and gradient of the world model are finite: bool scalar.

    If one is not, the whole update is skipped. Under float16 such a step is
    part of finding the loss scale: each optimizer skips its own, as Keras' do.
    """
    if self._loss_scaling:
      return tf.constant(True)
    norm, loss = metrics.get('model_grad_norm', 0.0), replicas.mean(model.loss)
    return tf.math.is_finite(loss) & tf.math.is_finite(norm)

  def _starts(self, model, sequence, weights):
    """Every posterior as a start: `[B, T, ...]` to `[N, ...]`."""
    flat = lambda x: tf.reshape(x, [-1] + x.shape[2:].as_list())
    return types.Starts(
        tf.nest.map_structure(
            lambda x: tf.stop_gradient(flat(x)), model.posterior
        ),
        discount=self._gamma * flat(sequence.continue_),
        weights=tf.repeat(weights, sequence.continue_.shape[1]),
    )

  def _seeds(self):
    """Seeds of this update: a function of the agent's seed and the count."""
    count = tf.cast(self._train_step_counter, tf.int32)  # pyright: ignore[reportArgumentType, reportCallIssue]
    seed = replicas.seed(
        tf.stack([tf.constant(self._seed, tf.int32), count])
    )
    model, behaviour = tf.unstack(noise.split(seed, 2))
    return model, behaviour, noise.split(behaviour, 2)[1]


def _compute_dtype():
  return tf.keras.mixed_precision.global_policy().compute_dtype


def _check(exploration, freeze_model, eval_mode_latent):
  checks.flag('DreamerV2Agent.freeze_model', freeze_model)
  checks.flag('DreamerV2Agent.eval_mode_latent', eval_mode_latent)
  checks.choice('DreamerV2Agent.exploration', exploration,
                exploration_lib.BEHAVIOURS)


def _numbers(exploration_steps, seed, collect_noise, eval_noise):
  return (
      checks.integer('exploration_steps', exploration_steps, 0),
      checks.integer('seed', seed, 0, 2**31 - 1),
      checks.number('DreamerV2Agent.collect_noise', collect_noise),
      checks.number('DreamerV2Agent.eval_noise', eval_noise),
  )


def _loss_info(model, behaviour, metrics):
  loss = model.loss + behaviour.actor_loss + behaviour.critic_loss
  metrics = {**model.metrics, **behaviour.metrics, **metrics}
  return replicas.share(tf_agent.LossInfo(loss, metrics))
