"""What a learner has in place of an environment and a replay of its own."""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import time
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.metrics import tf_metrics
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import replication as replication_lib
from dreamerv2_tfa.distributed import scores
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.distributed import weights as weights_lib
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.training import acting
from dreamerv2_tfa.training import crash
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import runs

_WAIT = 0.5  # seconds that a call waits for steps; then a signal is answered
_POLL = 0.005
_TELL = 60.0  # seconds without a step after which that is told
_RECENT = 10  # episodes in the mean of the reported return


class Steps(collection.Clock):
  """Takes the place of the `Collector`: counts the steps of others.

  A ticket may be of more steps than are asked for: the rest is counted next.
  """

  def __init__(
      self, connection: connection_lib.Connection,
      steps: tf_metrics.EnvironmentSteps, say: Callable[[str], None] = print,
      metrics: Sequence[str] = (),
  ):
    """Advances `steps` by the tickets that it takes.

    Args:
      connection: Of the learner, which alone takes tickets.
      steps: Agent steps of the run.
      say: Shows a line.
      metrics: Names of the task's.
    """
    super().__init__(steps)
    self._connection, self._say = connection, say
    self._metrics, self._played = tuple(metrics), []
    self._recent = collections.deque(maxlen=_RECENT)
    self._uncounted: collections.deque[list[float]] = collections.deque()
    self._numbers: dict[int, int] = {}  # of the last ticket, by sender
    self._last = time.monotonic()

  def collect(self, steps: int) -> None:
    """Counts at most `steps`; waits for half a second for the first.

    Raises:
      EnvironmentFailed: If the learner is to stop, and nobody answers.
    """
    until = time.monotonic() + _WAIT
    while not self._uncounted and not (
        there := self._connection.size(tables.STEPS)):
      if time.monotonic() >= until:
        self._tell()
        return
      time.sleep(_POLL)
    if not self._uncounted:
      self._take(min(there, max(steps // tables.SLICE, 1)))
    count = min(steps, len(self._uncounted))
    for _ in range(count):
      returned, length, *metrics = self._uncounted.popleft()
      if length:
        self._recent.append((returned, length))
        if metrics and np.isfinite(metrics).all():
          self._played.append(dict(zip(self._metrics, metrics, strict=True)))
    self._steps.environment_steps.assign_add(count)
    self._last = time.monotonic()

  def _take(self, count):
    """Takes tickets; one that was taken before was sent again, and is none."""
    for ends, (sender, number) in self._connection.sample(
        tables.STEPS, count, 'tickets of steps'):
      if number > self._numbers.get(sender, -1):
        self._numbers[sender] = number
        self._uncounted.extend(ends[ends[:, 1] >= 0].tolist())

  def _tell(self):
    if time.monotonic() - self._last > _TELL:
      self._say('Waiting for collectors: no step came for a minute.')
      self._last = time.monotonic()

  def pop_metrics(self) -> list[dict[str, float]]:
    """As `batch.pop_metrics`, of the steps that are counted."""
    found, self._played = self._played, []
    return found

  def episode_metrics(self) -> dict[str, float]:
    """Mean raw return and length of recent episodes; empty before the first."""
    if not self._recent:
      return {}
    returned, length = np.mean(self._recent, axis=0)
    return {'train_return': float(returned), 'train_length': float(length)}


class Samples:
  """Takes the place of `replay.Samples`: windows of the replay server.

  Attributes:
    taken: int64 variable, batches that the run has taken.
    seen: int64 variable, always 0: no row is in this process.
  """

  def __init__(
      self, connection: connection_lib.Connection,
      data_spec: Any, batch_size: int, length: int,
      taken: int,
  ):
    """Fetches nothing yet.

    Args:
      connection: Of the learner.
      data_spec: `Trajectory` of specs, of one row.
      batch_size: B.
      length: T.
      taken: Batches that the run has taken before this process.
    """
    self._connection, self._spec = connection, data_spec
    self._batch_size, self._length = batch_size, length
    self._batch: Any = None
    self._drawn: connection_lib.Call | None = None  # the batch after it
    with tf.device('/cpu:0'):
      self.taken, self.seen = (
          tf.Variable(tf.constant(x, tf.int64), trainable=False)
          for x in (taken, 0))

  def fetch(self) -> None:
    """Takes the batch that was drawn meanwhile, and lets the next be drawn.

    So its windows are those that the server had at the update before.
    """
    items = self._connection.wait(self._drawn or self._draw(), 'sequences')
    self._batch = [np.stack(column) for column in zip(*items, strict=True)]
    self._drawn = self._draw()

  def _draw(self):
    return self._connection.begin_sample(tables.SEQUENCES, self._batch_size)

  def ages(self) -> dict[str, float]:
    """Nothing: the rows are the server's."""
    return {}

  def next(self) -> trajectories.Trajectory:
    """The batch that was fetched, `[B, T + 1, ...]`; called in a graph."""
    leaves = tf.nest.flatten(self._spec)
    with tf.device('/cpu:0'), tf.control_dependencies(
        [self.taken.assign_add(1)]):
      columns = tf.numpy_function(
          lambda: self._batch, [], [spec.dtype for spec in leaves])
    shape = [self._batch_size, self._length + 1]
    return tf.nest.pack_sequence_as(self._spec, [
        tf.ensure_shape(column, [*shape, *spec.shape])
        for column, spec in zip(columns, leaves, strict=True)])

  def settle(self, taken: int | None = None) -> None:
    """Does nothing: no thread reads a buffer."""


class Elsewhere(acting.Apart):
  """Collectors in other processes act: they are sent the weights.

  Between two updates it sends them, and fetches the next batch.
  """

  def __init__(
      self, parts: parts_lib.Parts, weights: weights_lib.Weights,
      replication: replication_lib.Replication | None,
  ):
    """Sends nothing yet.

    Args:
      parts: Of the learner.
      weights: In the replay server.
      replication: Told of each update, where there is any.
    """
    super().__init__(parts.agent, parts.steps)
    self._agent, self._weights = parts.agent, weights
    self._replication, self._shared = replication, False
    self.samples: Samples | None = None  # made with the trainer

  def exchange(self) -> None:
    """Sends weights and fetches a batch: before each update."""
    self._weights.push()
    assert self.samples is not None
    self.samples.fetch()
    if self._replication is not None:
      self._tell(self._replication)

  def _tell(self, replication):
    """Tells the other processes; before the first update, all weights too."""
    steps = int(self.steps.environment_steps.numpy())
    if not self._shared:
      replication.tell(replication_lib.WEIGHTS, steps)
      replication.share_weights(crash.updated(self._agent))
      self._shared = True
    replication.tell(replication_lib.UPDATE, steps)


class NoStore:
  """Takes the place of `Store`: the replay server saves its rows itself.

  Attributes:
    notes: Empty.
    missing: 0, as `cut` and `skipped` are.
  """

  notes = ()
  missing = cut = skipped = 0

  def load(
      self, end: int | None = None, last: int = 0,
      before_last: Callable[[], Any] | None = None,
  ) -> int:
    """Loads nothing; calls `before_last`."""
    del end, last
    if before_last is not None:
      before_last()
    return 0

  def save(self) -> int:
    """Writes nothing."""
    return 0

  def number_of(self, row: int) -> int:
    """0: no row is counted here."""
    del row
    return 0


class Remote:
  """The rest of a distributed run, as the learner's `Trainer` sees it.

  Attributes:
    steps: Takes the place of the `Collector`.
    acting: Of `acting`, likewise.
    store: Of `Store`, likewise.
  """

  def __init__(
      self, connection: connection_lib.Connection, folder: runs.RunFolder,
      parts: parts_lib.Parts, batch_size: int, length: int,
      replication: replication_lib.Replication | None = None,
  ):
    """Joins the run; the replay server answers and fits.

    Args:
      connection: Of the learner.
      folder: Of the run.
      parts: Of the learner.
      batch_size: B, of this process.
      length: T.
      replication: Where the learner is several devices or processes.
    """
    self._connection, self._replication = connection, replication
    self._folder = folder
    self._sizes = batch_size, length
    self._agent = parts.agent
    self.steps = Steps(connection, parts.steps, metrics=parts.task.metrics)
    self.acting = Elsewhere(
        parts, weights_lib.Weights(connection, parts), replication)
    self.store = NoStore()

  def samples(self, taken: int) -> Samples:
    """The training batches of a run that has taken so many."""
    made = Samples(
        self._connection, self._agent.collect_data_spec, *self._sizes, taken)
    self.acting.samples = made
    return made

  def best(self) -> tuple[int, float] | None:
    """Of `scores`: what an evaluator has found."""
    return scores.best(self._folder)

  @property
  def replicas(self) -> int:
    """How many an update runs on."""
    return 1 if self._replication is None else (
        self._replication.strategy.num_replicas_in_sync)

  def train(self, batch: trajectories.Trajectory) -> tf_agent.LossInfo:
    """Runs an update, on all replicas; called in a graph."""
    if self._replication is None:
      return self._agent.train(batch)
    return self._replication.train(self._agent, batch)

  def heed(self, stopped: Callable[[], bool]) -> None:
    """Lets waits end where the process is to stop."""
    self._connection.stopped = stopped
