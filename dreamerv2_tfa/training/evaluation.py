"""Evaluation on environments of its own: every episode, and their means."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
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

ENDS = ('terminated', 'truncated', 'cut')


class Episode(NamedTuple):
  """How an episode went."""

  environment: int  # of those side by side, from 0
  number: int       # of the episodes of this environment, from 0
  returned: float   # sum of the raw rewards
  length: int       # agent steps
  end: str          # of `ENDS`: discount 0; a time limit; after `most_steps`


class Start(NamedTuple):
  """From where an evaluation begins: what its episodes depend on."""

  variables: list[Any]  # tensors: random states, environments in TensorFlow
  environment: bytes | None  # of `environments.state`, of one in Python


class Evaluation:
  """Plays whole episodes and reports their mean raw return and length.

  Of B environments, number b plays the episodes b, b + B, b + 2 B, ... of those
  asked for. How many each plays is known before the first step, so short
  episodes do not count more often than long ones.
  """

  def __init__(
      self, environment: tf_environment.TFEnvironment,
      policy: tf_policy.TFPolicy, episodes: int, most_steps: int = 27_000,
      film: Any = None, in_python: bool = False,
  ):
    """Prepares the driver; plays nothing yet.

    Args:
      environment: That nothing else steps.
      policy: Usually the agent's `policy`.
      episodes: How many an evaluation plays.
      most_steps: A longer episode is cut after so many.
      film: Observes every row as drivers' observers do, after its method
        `begin()` was called where environments were reset; None: nothing does.
      in_python: Whether the policy calls TensorFlow from Python, as an export
        does. In a graph it could wait for ever for the thread that it is in.
    """
    self._environment, self._policy = environment, policy
    self._episodes, self._most_steps = episodes, most_steps
    self._film, self._in_python = film, in_python
    self._tally = _Tally(environment.batch_size)
    driver = dynamic_episode_driver.DynamicEpisodeDriver(
        environment, policy, num_episodes=1,
        observers=[self._tally, *([] if film is None else [film])],
    )
    self._run = common.function(
        lambda time_step, state, steps: driver.run(
            time_step, state, maximum_iterations=steps
        )
    )
    self.start = None  # `Start` of the last `run` that could be stopped

  def run(
      self, stop: interrupt.Interrupt | None = None,
      watch: Callable[[int], None] | None = None,
  ) -> dict[str, float] | None:
    """Plays the episodes, as a graph.

    Args:
      stop: Ends it between two slices of steps where it is requested.
      watch: Told the number of episodes played after each slice of steps.

    Returns:
      `metrics_of` the episodes; None where `stop` was requested. Then the
      environment, if it can be saved, and the policy's random state are as
      they were before, so that the same episodes can be played again.
    """
    if stop is not None:
      self.start = self.capture()
    played = []
    self.play(played, stop, lambda: watch and watch(len(played)))
    if len(played) < self._episodes:
      assert self.start is not None  # nobody else can stop it
      self.restore(self.start)
      return None
    return metrics_of(played)

  def play(
      self, played: list[Episode], stop: interrupt.Interrupt | None = None,
      watch: Callable[[], Any] = tuple,
  ) -> None:
    """Plays the episodes, as a graph unless the policy is in Python.

    Args:
      played: Each episode is appended at its end, so they are there whatever
        ends this. Fewer than asked for only where `stop` was requested.
      stop: As in `run`.
      watch: Called after each slice of steps.
    """
    # Whole episodes line by line would take minutes, where debugging is on.
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(self._in_python)
    try:
      self._play(played, stop, watch)
    finally:
      tf.config.run_functions_eagerly(eager)

  def _play(self, played, stop, watch):
    size = self._environment.batch_size or 1
    rounds = _Rounds(self._episodes, size)
    time_step, state = self._begin()
    slices = pace.Pace()
    while len(played) < self._episodes:
      if stop is not None and stop.requested:
        return
      # At the last step there is none left, and the next row begins another.
      longest = max(self._tally.length.numpy()[rounds.playing])
      run_from = functools.partial(self._run, time_step, state)
      time_step, state = slices.take(
          lambda steps, run=run_from: run(tf.constant(steps)),
          max(self._most_steps - int(longest), 1),
      )
      ended = self._tally.ended.numpy()
      cut = ~ended & ~np.reshape(time_step.is_last(), [-1]) & (
          self._tally.length.numpy() >= self._most_steps
      )
      played += [
          self._tally.episode(index, rounds.end(index, cut[index]), cut[index])
          for index in rounds.playing if ended[index] or cut[index]
      ]
      self._tally.forget(ended | cut)
      watch()
      if not rounds.playing and rounds.left:
        rounds.begin()
        time_step, state = self._begin()

  def capture(self) -> Start:
    """Where the next evaluation begins, for `restore`."""
    return Start(
        [tf.identity(variable) for variable in self._variables()],
        state_lib.capture(self._environment),
    )

  def restore(self, start: Start) -> None:
    """Restores random states, and the environment if it could be saved.

    Raises:
      ValueError: If they are of another policy or environment.
    """
    for variable, value in zip(
        self._variables(), start.variables, strict=True):
      variable.assign(value)
    if start.environment is not None:
      state_lib.restore(self._environment, start.environment)

  @property
  def in_tensorflow(self) -> bool:
    """Whether variables are all that the environment depends on."""
    return bool(_variables(getattr(self._environment, 'state', None)))

  def _variables(self):
    return [
        *getattr(self._policy, 'random_state', ()),
        *_variables(getattr(self._environment, 'state', None)),
    ]

  def _begin(self):
    """The first time step of an episode, and a policy state for it."""
    self._tally.forget(np.ones([self._environment.batch_size or 1], bool))
    time_step = self._environment.reset()
    if self._film is not None:
      self._film.begin()
    return time_step, self._policy.get_initial_state(
        self._environment.batch_size
    )


def metrics_of(played: Sequence[Episode]) -> dict[str, float]:
  """Means over episodes.

  Args:
    played: At least one.

  Returns:
    `eval_return`, `eval_length` and, where episodes were cut, `eval_cut`, how
    many.
  """
  mean = lambda values: float(np.mean(list(values), dtype=np.float32))
  numbers = {
      'eval_return': mean(episode.returned for episode in played),
      'eval_length': mean(episode.length for episode in played),
  }
  cut = sum(episode.end == 'cut' for episode in played)
  return {**numbers, 'eval_cut': float(cut)} if cut else numbers


def seed_draws(policy: tf_policy.TFPolicy, seed: int) -> None:
  """Seeds what a policy draws, so that a score does not depend on its past.

  Args:
    policy: With `random_state`, of generators.
    seed: int.
  """
  made = tf.random.Generator.from_key_counter(seed, [0, 0], alg='philox')
  for variable in getattr(policy, 'random_state', ()):
    variable.assign(made.state)


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


class _Rounds:
  """Which environments play, and how many episodes each of them has left.

  A batch is reset as a whole. Where an episode was cut, its environment waits
  until the others have ended theirs; then all begin a new one.

  Attributes:
    playing: List of ints, the environments whose steps count.
  """

  def __init__(self, episodes, size):
    self._left = [len(range(index, episodes, size)) for index in range(size)]
    self._numbers = [0] * size
    self.begin()

  @property
  def left(self):
    """Whether there are episodes left to be played."""
    return any(self._left)

  def begin(self):
    """All environments that have episodes left play."""
    self.playing = [index for index, left in enumerate(self._left) if left]
    self._closing = False

  def end(self, index, cut):
    """Notes that an environment has ended an episode; returns its number."""
    self._left[index] -= 1
    self._numbers[index] += 1
    self._closing |= bool(cut)
    if self._closing or not self._left[index]:
      self.playing = [each for each in self.playing if each != index]
    return self._numbers[index] - 1


class _Tally:
  """Return and length of the episode under way in each environment.

  Attributes:
    length: int32 variable `[B]`, its steps so far.
    ended: bool variable `[B]`; whether it has ended, and the next one begun.
  """

  def __init__(self, size):
    variable = lambda value: tf.Variable(
        tf.fill([size or 1], value), trainable=False)
    self._returned = variable(0.0)
    self._discount = variable(1.0)  # into the last step
    self.length = variable(0)
    self.ended = variable(False)

  def __call__(self, trajectory):
    """Observes a row `[B]`, in the driver."""
    # The row between two episodes is no step, and pays nothing.
    step = tf.reshape(~trajectory.is_boundary(), [-1])
    same_episode = tf.reshape(~trajectory.is_first(), [-1])
    self._returned.assign(
        tf.where(same_episode, self._returned, 0.0)
        + tf.where(step, tf.reshape(trajectory.reward, [-1]), 0.0)
    )
    self._discount.assign(tf.where(
        step, tf.reshape(trajectory.discount, [-1]), self._discount
    ))
    self.length.assign(
        tf.where(same_episode, self.length, 0) + tf.cast(step, tf.int32)
    )
    self.ended.assign(tf.logical_not(step))
    return trajectory

  def episode(self, index, number, cut):
    """The episode of an environment as it is now, an `Episode`."""
    end = 'cut' if cut else (
        'truncated' if float(self._discount[index]) else 'terminated')
    return Episode(
        index, number, float(self._returned[index]), int(self.length[index]),
        end,
    )

  def forget(self, which):
    """Begins at 0 where bool `[B]` is True."""
    for variable in (self._returned, self.length, self.ended):
      variable.assign(tf.where(which, tf.zeros_like(variable), variable))


def _variables(state):
  """The variables of a `tf.train.Checkpoint`, or of None."""
  return [
      getattr(part, 'state', part) for part in vars(state or object).values()
      if isinstance(part, (tf.Variable, tf.random.Generator))
  ]
