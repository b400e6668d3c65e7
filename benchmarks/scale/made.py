"""The runs that are measured: preset, parts, rows to send."""

from typing import Any
from typing import NamedTuple

import numpy as np
import processes
import tensorflow as tf
from tf_agents.metrics import tf_metrics

from dreamerv2_tfa.behaviour import fused_policy
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import settings as settings_lib

_ROWS = 256  # that are prepared


class Made(NamedTuple):
  """A run's settings and parts."""

  settings: settings_lib.Settings
  parts: parts_lib.Parts

  @property
  def length(self) -> int:
    """Rows of a window: T + 1."""
    return self.settings.sequence_length + 1

  @property
  def spec(self) -> Any:
    """`Trajectory` of specs, of a row."""
    return self.parts.agent.collect_data_spec


def make(preset: str) -> Made:
  """Builds a run: a name of `processes.FILES`, float32."""
  run_settings.parse(
      None, [processes.FILES[preset]], ["train.precision = '32'"])
  settings = settings_lib.read()
  return Made(settings, parts_lib.build(settings))


class Kept:
  """Takes the place of a replay buffer, and has the rows in a list."""

  def __init__(self):
    self.rows = []

  def add_batch(self, row):
    return tf.numpy_function(
        lambda *leaves: self.rows.append(leaves), tf.nest.flatten(row), [])


class Dropped:
  """Takes the place of an outbox that has sent its rows already."""

  def add_batch(self, row):
    return tf.numpy_function(lambda *leaves: None, tf.nest.flatten(row), [])

  def send(self, stopped):
    """Sends nothing."""


def collector(made: Made, buffer: Any) -> collection.Collector:
  """What a collector's process collects with."""
  agent = made.parts.agent
  return collection.Collector(
      made.parts.environment,
      fused_policy.of(agent.collect_policy, agent.jit), buffer,
      tf_metrics.EnvironmentSteps(), seed=0)


def frames(made: Made) -> list[list[np.ndarray]]:
  """Rows of random play: leaves `[1, ...]`, in the middle of an episode."""
  kept = Kept()
  collector(made, kept).prefill(_ROWS)
  return _middle(made, kept.rows[:_ROWS])


def noise(made: Made) -> list[list[np.ndarray]]:
  """The same number of rows, whose images nothing can compress."""
  generator = np.random.default_rng(0)
  draw = lambda spec: (
      generator.integers(0, 256, [1, *spec.shape]) if spec.shape.rank
      else np.zeros([1])).astype(spec.dtype.as_numpy_dtype)
  specs = tf.nest.flatten(made.spec)
  return _middle(made, [[draw(spec) for spec in specs] for _ in range(_ROWS)])


def _middle(made, rows):
  """The rows with step types that give a ticket each, and end no episode."""
  types = tf.nest.flatten(made.spec._replace(
      observation=tf.nest.map_structure(
          lambda _: False, made.spec.observation),
      action=False, reward=False, discount=False, step_type=True,
      next_step_type=True))
  return [
      [np.ones([1], np.int32) if is_type else leaf
       for leaf, is_type in zip(row, types, strict=True)] for row in rows]


class Feed:
  """Gives prepared rows to an outbox, a slice at a time, in a graph."""

  def __init__(
      self, made: Made, rows: list[list[np.ndarray]], outbox: Any, count: int,
      *, tickets: bool = True):
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    stored = tf.nest.pack_sequence_as(
        made.spec, [tf.constant(column) for column in columns])
    if not tickets:  # a row between two episodes is no step
      stored = stored._replace(step_type=tf.fill([len(rows), 1], 2))
    self._at, self._rows, self._count = 0, len(rows), count
    self._outbox = outbox

    @tf.function
    def give(start):
      for offset in range(count):
        place = (start + offset) % self._rows
        outbox.add_batch(tf.nest.map_structure(
            lambda x, place=place: x[place], stored))

    self._give = give

  def send(self) -> None:
    """Sends the next slice; waits until it is stored."""
    self._give(tf.constant(self._at))
    self._at = (self._at + self._count) % self._rows
    self._outbox.send(lambda: False)
