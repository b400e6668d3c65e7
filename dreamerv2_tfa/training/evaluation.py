"""Greedy evaluation on an environment of its own."""

from collections.abc import Callable
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.environments import tf_environment
from tf_agents.policies import tf_policy
from tf_agents.utils import common

from dreamerv2_tfa.environments import state as state_lib
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import pace


class Evaluation:
  """Plays whole episodes and reports their mean raw return and length."""

  def __init__(
      self, environment: tf_environment.TFEnvironment,
      policy: tf_policy.TFPolicy, episodes: int, most_steps: int = 27_000,
  ):
    """Prepares the driver; plays nothing yet.

    Args:
      environment: Of one environment that nothing else steps.
      policy: Usually the agent's `policy`.
      episodes: How many an evaluation plays.
      most_steps: A longer episode is cut after so many.
    """
    self._environment = environment
    self._policy = policy
    self._episodes, self._most_steps = episodes, most_steps
    self._tally = _Tally()
    driver = dynamic_episode_driver.DynamicEpisodeDriver(
        environment, policy, observers=[self._tally], num_episodes=1
    )
    self._run = common.function(
        lambda time_step, state, steps: driver.run(
            time_step, state, maximum_iterations=steps
        )
    )

  def run(
      self, stop: interrupt.Interrupt | None = None,
      watch: Callable[[int], None] | None = None,
  ) -> dict[str, float] | None:
    """Plays the episodes, as a graph.

    Args:
      stop: Ends it between two slices of steps where it is requested.
      watch: Told the number of episodes played after each slice of steps.

    Returns:
      `eval_return`, `eval_length` and, where episodes were cut,
      `eval_cut`, how many; None where `stop` was requested. Then the
      environment, if it can be saved, and the policy's random state are as
      they were before, so that the same episodes can be played again.
    """
    # Whole episodes line by line would take minutes, where debugging is on.
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
      put_back = self._kept() if stop is not None else None
      found = self._play(stop, watch or (lambda episodes: None))
      if found is None and put_back is not None:
        put_back()
      return found
    finally:
      tf.config.run_functions_eagerly(eager)

  def _play(self, stop, watch):
    time_step, state = self._begin()
    slices, played = pace.Pace(), []
    while len(played) < self._episodes:
      if stop is not None and stop.requested:
        return None
      # At the last step there is none left, and the next row begins another.
      left = max(self._most_steps - int(self._tally.length), 1)
      run_from = functools.partial(self._run, time_step, state)
      time_step, state = slices.take(
          lambda steps, run=run_from: run(tf.constant(steps)), left
      )
      cut = not (self._tally.ended or time_step.is_last()) and (
          int(self._tally.length) >= self._most_steps
      )
      if cut or self._tally.ended:
        played.append(self._tally.pop(cut))
      watch(len(played))
      if cut and len(played) < self._episodes:
        time_step, state = self._begin()
    return _summary(played)

  def _kept(self):
    """A function that puts random states back, and the environment."""
    variables = [
        *getattr(self._policy, 'random_state', ()),
        *_variables(getattr(self._environment, 'state', None)),
    ]
    values = [tf.identity(variable) for variable in variables]
    data = state_lib.capture(self._environment)

    def put_back():
      for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
      if data is not None:
        state_lib.restore(self._environment, data)

    return put_back

  def _begin(self):
    """The first time step of an episode, and a policy state for it."""
    self._tally.pop(False)
    return self._environment.reset(), self._policy.get_initial_state(
        self._environment.batch_size
    )


def cut_episodes(
    metrics: dict[str, float], episodes: int, most_steps: int,
) -> str:
  """What to say of an evaluation's cut episodes: a sentence, or ''.

  Args:
    metrics: Of `Evaluation.run`.
    episodes: How many it played.
    most_steps: Steps after which one was cut.
  """
  if 'eval_cut' not in metrics:
    return ''
  return (
      f' {metrics["eval_cut"]:.0f} of {episodes} episodes had no end and were '
      f'cut after {most_steps:,} steps: their returns are of these. Raise '
      'train.eval_steps, or let the environment end them.'
  )


class _Episode(NamedTuple):
  returned: float
  length: int
  cut: bool


class _Tally:
  """Return and length of the episode under way.

  Attributes:
    length: int32 variable, its steps so far.
    ended: bool variable; whether it has ended, and the next one begun.
  """

  def __init__(self):
    variable = lambda value: tf.Variable(value, trainable=False)
    self._returned = variable(0.0)
    self.length = variable(0)
    self.ended = variable(False)

  def __call__(self, trajectory):
    """Observes a row `[1]`, in the driver."""
    # The row between two episodes is no step, and pays nothing.
    step = tf.reshape(~trajectory.is_boundary(), [])
    same_episode = tf.reshape(~trajectory.is_first(), [])
    self._returned.assign(
        tf.where(same_episode, self._returned, 0.0)
        + tf.where(step, tf.reshape(trajectory.reward, []), 0.0)
    )
    self.length.assign(
        tf.where(same_episode, self.length, 0) + tf.cast(step, tf.int32)
    )
    self.ended.assign(tf.logical_not(step))
    return trajectory

  def pop(self, cut):
    """The episode as it is now, an `_Episode`; the next one begins at 0."""
    episode = _Episode(float(self._returned), int(self.length), cut)
    self._returned.assign(0.0)
    self.length.assign(0)
    self.ended.assign(False)
    return episode


def _variables(state):
  """The variables of a `tf.train.Checkpoint`, or of None."""
  return [
      getattr(part, 'state', part) for part in vars(state or object).values()
      if isinstance(part, (tf.Variable, tf.random.Generator))
  ]


def _summary(played):
  numbers = {
      'eval_return': float(
          np.mean([x.returned for x in played], dtype=np.float32)
      ),
      'eval_length': float(
          np.mean([x.length for x in played], dtype=np.float32)
      ),
  }
  cut = sum(episode.cut for episode in played)
  return {**numbers, 'eval_cut': float(cut)} if cut else numbers
