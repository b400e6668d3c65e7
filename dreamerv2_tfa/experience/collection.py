"""Collects steps in the environment, a few at a time, into replay."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.environments import tf_environment
from tf_agents.metrics import tf_metrics
from tf_agents.policies import tf_policy
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.trajectories import trajectory as trajectories
from tf_agents.typing import types
from tf_agents.utils import common

from dreamerv2_tfa import specs
from dreamerv2_tfa.experience import clean
from dreamerv2_tfa.experience import random_policy

_ENDLESS = 2**31 - 1  # episodes: a call ends by its number of steps
_RECENT = 10  # episodes in the mean of the reported return


class NotStored(FloatingPointError):
  """An environment has given a number that is not finite, or too large."""


class Collector:
  """Collects exact numbers of steps; each call resumes where the last stopped.

  An episode may span several calls. The row between the end of an episode and
  the start of the next is stored too, and is not counted as a step.

  Attributes:
    state: `tf.train.Checkpoint` of the last time step, the policy's state, the
      random state of prefill and the sums of the metrics. Restored with the
      environment's own state, collection continues exactly.
  """

  def __init__(
      self, environment: tf_environment.TFEnvironment,
      policy: tf_policy.TFPolicy,
      buffer: tf_uniform_replay_buffer.TFUniformReplayBuffer,
      steps: tf_metrics.EnvironmentSteps, seed: int = 0):
    """Takes no step yet; the first one follows `begin` or `resume`.

    Args:
      environment: One or several environments side by side.
      policy: The agent's collect policy.
      buffer: Stores the rows.
      steps: Counts agent steps.
      seed: Of the random actions of prefill.
    """
    self._environment, self._begun = environment, False
    self._batch_size = environment.batch_size
    self._steps = steps
    self._returns = tf_metrics.AverageReturnMetric(
        buffer_size=_RECENT, batch_size=self._batch_size
    )
    self._lengths = tf_metrics.AverageEpisodeLengthMetric(
        buffer_size=_RECENT, batch_size=self._batch_size
    )
    self._episodes = tf_metrics.NumberOfEpisodes()
    counted = [steps, self._returns, self._lengths, self._episodes]
    specs_of: Any = environment.time_step_spec(), environment.action_spec()
    prefill = random_policy.RandomPolicy(*specs_of, seed=seed)
    self._guard = _Guard(policy.trajectory_spec, buffer.add_batch)
    observers = [self._guard, *counted]
    # The state between calls is in variables: a call without inputs and outputs
    # takes Python the least memory (benchmarks/NOTES.md, memory).
    self._time_step = _variables(tf.nest.map_structure(
        lambda spec: tf.zeros([self._batch_size, *spec.shape], spec.dtype),
        environment.time_step_spec(),
    ))
    policy_state = _variables(policy.get_initial_state(self._batch_size))
    self._collect = self._taking(environment, policy, observers, policy_state)
    self._prefill = self._taking(environment, prefill, observers, ())
    self.state = tf.train.Checkpoint(
        time_step=tf.nest.flatten(self._time_step),
        policy_state=tf.nest.flatten(policy_state),
        prefill=prefill.generator, returns=self._returns,
        lengths=self._lengths, episodes=self._episodes,
        # TF-Agents' class of recent values is none that a checkpoint follows.
        recent=[
            part for metric in (self._returns, self._lengths)
            for part in (metric._buffer._buffer, metric._buffer._head)
        ],
    )

  def begin(self) -> None:
    """Resets the environment: the next row is the first of an episode.

    It is called by the first `collect` or `prefill`, where nobody has.
    """
    self._begun = True
    tf.nest.map_structure(
        lambda kept, new: kept.assign(new), self._time_step,
        self._environment.reset(),
    )

  def resume(self) -> None:
    """Notes that `state` and the environment's own state were restored."""
    self._begun = True

  @property
  def steps(self) -> int:
    """Agent steps taken so far, prefill included."""
    return int(self._steps.environment_steps)

  def collect(self, steps: int) -> None:
    """Takes `steps` agent steps with the collect policy.

    Raises:
      NotStored: If a number is not finite; its row is not stored.
    """
    self._take(self._collect, steps)

  def prefill(self, steps: int) -> None:
    """Takes `steps` uniformly random agent steps; raises as `collect` does."""
    self._take(self._prefill, steps)

  def _take(self, function, steps):
    if not self._begun:
      self.begin()
    try:
      function(tf.constant(steps, tf.int64))
    except tf.errors.InvalidArgumentError as error:
      part = self._guard.part(error)
      if part is None:
        raise
      raise NotStored(
          f'{part} is not finite, or {clean.LARGEST:g} or more, by agent step '
          f'{self.steps + 1} of the run. That row is not stored; what came '
          'before it is saved. Fix the environment, or its wrapper; the same '
          'command then resumes.'
      ) from error

  def episode_metrics(self) -> dict[str, float]:
    """Mean raw return and length of recent episodes; empty before the first."""
    if not int(self._episodes.result()):
      return {}
    return {
        'train_return': float(self._returns.result()),
        'train_length': float(self._lengths.result()),
    }

  def _taking(self, environment, policy, observers, policy_state):
    """Compiles a function that takes so many steps, int64, with a policy."""
    driver = dynamic_episode_driver.DynamicEpisodeDriver(
        environment, policy, observers=observers, num_episodes=_ENDLESS
    )
    state = (self._time_step, policy_state)

    def take_slice(target):
      missing = target - self._steps.result()
      # A row between episodes takes an iteration and is no step.
      iterations = -(-missing // self._batch_size)
      after = driver.run(
          *tf.nest.map_structure(tf.identity, state),
          maximum_iterations=tf.cast(iterations, tf.int32),
      )
      tf.nest.map_structure(lambda kept, new: kept.assign(new), state, after)
      return [target]

    def take(steps):
      target = self._steps.result() + steps
      tf.while_loop(
          lambda target: self._steps.result() < target, take_slice, [target]
      )

    return common.function(take)


class _Guard:
  """Stores rows whose numbers are all usable; raises at any other row."""

  def __init__(
      self, spec: trajectories.Trajectory,
      add_batch: Callable[[types.NestedTensor], tf.Operation]):
    """Takes the spec of a row, and the function that stores rows."""
    self._add_batch = add_batch
    self._names = [
        *(f'The observation {name!r}'
          for name in specs.flat_observation(spec.observation)),
        *('The action' for _ in tf.nest.flatten(spec.action)), 'The reward',
        'The discount',
    ]

  def __call__(self, row: trajectories.Trajectory) -> tf.Operation:
    """Stores a row `[environments, ...]`."""
    leaves = [
        *tf.nest.flatten(row.observation), *tf.nest.flatten(row.action),
        row.reward, row.discount,
    ]
    with tf.device('/cpu:0'):  # like the row and the buffer
      usable = [
          tf.debugging.Assert(
              tf.reduce_all(tf.abs(tf.cast(leaf, tf.float64)) < clean.LARGEST),
              [self._phrase(number)],
          )
          for number, leaf in enumerate(leaves) if leaf.dtype.is_floating
      ]
    # In eager mode an assertion has run already, and is no operation.
    with tf.control_dependencies([op for op in usable if op is not None]):
      return self._add_batch(tf.nest.map_structure(tf.identity, row))

  def part(self, error: tf.errors.OpError) -> str | None:
    """Names the part that is not finite; None if the error is another one."""
    for number, name in enumerate(self._names):
      if self._phrase(number) in error.message:
        return name
    return None

  def _phrase(self, number):
    return f'part {number} of the row is not finite'


class Clock:
  """Replaces the `Collector` of a run that learns from stored rows alone.

  No steps are taken. The step counter still advances, so updates, logging,
  evaluation and schedules work as usual.

  Attributes:
    state: An empty `tf.train.Checkpoint`.
  """

  def __init__(self, steps: tf_metrics.EnvironmentSteps):
    """Advances `steps`, which counts agent steps."""
    self._steps = steps
    self.state = tf.train.Checkpoint()

  def begin(self) -> None:
    """Does nothing: there is no environment to reset."""

  def resume(self) -> None:
    """Does nothing: there is no environment to restore."""

  @property
  def steps(self) -> int:
    """Agent steps counted so far."""
    return int(self._steps.environment_steps.numpy())  # or a mirrored one

  def collect(self, steps: int) -> None:
    """Advances the counter by `steps` agent steps."""
    self._steps.environment_steps.assign_add(steps)

  def prefill(self, steps: int) -> None:
    """Advances the counter by `steps` agent steps."""
    self.collect(steps)

  def episode_metrics(self) -> dict[str, float]:
    """Empty: no episode was played."""
    return {}


def _variables(nest):
  """Makes a variable of each tensor of a nest."""
  return tf.nest.map_structure(
      lambda x: tf.Variable(x, trainable=False), nest
  )
