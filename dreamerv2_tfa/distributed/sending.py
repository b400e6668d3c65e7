"""Stored rows and step tickets, on their way from a collector to replay."""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import secrets
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.environments import faults

_FLUSH_MS = 300  # a flush waits so long, then is asked whether to stop


class Outbox:
  """Takes the place of a replay buffer: keeps rows, and sends them.

    row 0 ... T      window 0      tickets for the steps among these rows, once
    row 1 ... T + 1  window 1      they are stored, and window 0 is

  TF-Agents' `ReverbAddTrajectoryObserver` drops what it has at the end of an
  episode; windows here cross ends, as those of `experience.windows` do, so the
  windows are made with Reverb's writer. A writer has one environment, so no
  window has rows of two. A learner that has a ticket has a window, however
  short its prefill, and never waits for a collector that waits for it.

  If the server dies, Reverb's writer sends again what was not confirmed. The
  new server has dropped its tickets; the learner may have taken one that comes
  again, and knows it by its number.
  """

  def __init__(
      self, connection: connection_lib.Connection,
      data_spec: Any, environments: int, length: int,
      metrics: Sequence[str] = (),
  ):
    """Opens a writer for each environment, and one for tickets.

    Args:
      connection: Of the collector; the server has answered.
      data_spec: `Trajectory` of specs, of one row.
      environments: Side by side.
      length: T; a window has T + 1 rows.
      metrics: Names of the task's.
    """
    self._connection, self._rows = connection, collections.deque()
    self._length = length + 1
    count = len(tf.nest.flatten(data_spec))
    self._order = tf.nest.pack_sequence_as(data_spec, range(count))
    self._stream, self._number = secrets.randbits(62), 0
    self._counts = [0] * environments
    self._returns = np.zeros(environments, np.float32)
    self._lengths = np.zeros(environments, np.int64)
    self._metrics: tuple[str, ...] = tuple(metrics)
    self._played: collections.deque[dict[str, float]] = collections.deque()
    self._ends: list[list[float]] = []  # of steps without ticket
    client = connection.client
    open_writer = lambda references: lambda: client.trajectory_writer(
        num_keep_alive_refs=references)
    self._writers = [
        connection.run(open_writer(length + 2), 'a stream')
        for _ in range(environments)]
    self._tickets = connection.run(open_writer(1), 'a stream')
    self.steps = 0  # whose tickets the server has confirmed

  def add_batch(self, row: trajectories.Trajectory) -> tf.Operation:
    """Keeps a row `[environments, ...]` until `send`; called in a graph."""
    return tf.numpy_function(
        lambda *leaves: self._rows.append(leaves), tf.nest.flatten(row), [])

  def send(
      self, stopped: Callable[[], bool],
      played: Sequence[dict[str, float]] = (),
  ) -> None:
    """Sends the rows, then the ticket of their steps; waits for both.

    Args:
      stopped: Whether the process is to stop: then it waits no more.
      played: Metrics of the episodes that end among the rows.
    """
    self._played.extend(played)
    while self._rows:
      row = self._rows.popleft()
      for index, writer in enumerate(self._writers):
        self._append(index, writer, [leaf[index] for leaf in row])
      self._ends += self._count(row)
    for writer in self._writers:
      if not self._flush(writer, stopped):
        return
    if max(self._counts) < self._length:
      return
    count, self._ends = self._put(self._ends), []
    if self._flush(self._tickets, stopped):
      self.steps += count

  def _put(self, ends):
    """Writes tickets of steps; returns how many steps there are."""
    for start in range(0, len(ends), tables.SLICE):
      ticket = np.full(
          [tables.SLICE, 2 + len(self._metrics)], -1.0, np.float32)
      part = ends[start:start + tables.SLICE]
      ticket[:len(part)] = part
      self._tickets.append(
          [ticket, np.array([self._stream, self._number], np.int64)])
      self._number += 1
      self._tickets.create_item(
          tables.STEPS, 1.0, [column[-1] for column in self._tickets.history])
    return len(ends)

  def _append(self, index, writer, row):
    writer.append(row)
    self._counts[index] += 1
    if self._counts[index] >= self._length:
      writer.create_item(tables.SEQUENCES, 1.0, [
          column[-self._length:] for column in writer.history])

  def _count(self, row):
    """For each of the row's steps: what its ticket tells of it."""
    kind, following, reward = (row[place] for place in (
        self._order.step_type, self._order.next_step_type, self._order.reward))
    steps = kind != ts.StepType.LAST
    self._returns = np.where(kind == ts.StepType.FIRST, 0.0, self._returns)
    self._lengths = np.where(kind == ts.StepType.FIRST, 0, self._lengths)
    self._returns += np.where(steps, reward, 0.0)
    self._lengths += steps
    ends = steps & (following == ts.StepType.LAST)
    none = [0.0] * (2 + len(self._metrics))
    return [
        [self._returns[i], self._lengths[i], *self._metrics_of_one()]
        if ends[i] else none for i in np.flatnonzero(steps)]

  def _metrics_of_one(self):
    """The task's metrics of an episode; of which one, nobody asks."""
    episode = self._played.popleft() if self._played else {}
    return [episode.get(name, np.nan) for name in self._metrics]

  def _flush(self, writer, stopped):
    """Waits until what was written is stored; False where it is to stop."""
    while True:
      try:
        writer.flush(timeout_ms=_FLUSH_MS)
        return True
      except self._connection.deadline:
        pass  # it is asked again
      except Exception as error:  # Reverb's are of several types
        raise faults.EnvironmentFailed(
            'The replay server refuses a stream of rows: '
            f'{" ".join(str(error).split())}', '') from error
      if stopped():
        return False
      self._connection.info()  # says so if there is no answer
