"""Stored rows and step tickets, on their way from a collector to replay."""

import collections
from collections.abc import Callable
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

    row 0 ... T      window 0      a ticket for each row that is a step,
    row 1 ... T + 1  window 1      once the windows up to it are stored

  TF-Agents' `ReverbAddTrajectoryObserver` drops what it has at the end of an
  episode; windows here cross ends, as those of `experience.windows` do, so the
  windows are made with Reverb's writer. A writer has one environment, so no
  window has rows of two.

  If the server dies, Reverb's writer sends again what was not confirmed. The
  new server has dropped its tickets, so one is counted twice only if the
  learner took it in the moment between the server's insertion and its answer.
  """

  def __init__(
      self, connection: connection_lib.Connection,
      data_spec: Any, environments: int, length: int,
  ):
    """Opens a writer for each environment, and one for tickets.

    Args:
      connection: Of the collector; the server has answered.
      data_spec: `Trajectory` of specs, of one row.
      environments: Side by side.
      length: T; a window has T + 1 rows.
    """
    self._connection, self._rows = connection, collections.deque()
    self._length, self._spec = length + 1, data_spec
    self._counts = [0] * environments
    self._returns = np.zeros(environments, np.float32)
    self._lengths = np.zeros(environments, np.int64)
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

  def send(self, stopped: Callable[[], bool]) -> None:
    """Sends the rows, then the tickets of their steps; waits for both.

    Args:
      stopped: Whether the process is to stop: then it waits no more.
    """
    tickets = []
    while self._rows:
      row = self._rows.popleft()
      for index, writer in enumerate(self._writers):
        self._append(index, writer, [leaf[index] for leaf in row])
      tickets += self._count(tf.nest.pack_sequence_as(self._spec, row))
    for writer in self._writers:
      if not self._flush(writer, stopped):
        return
    for ticket in tickets:
      self._tickets.append([ticket])
      self._tickets.create_item(
          tables.STEPS, 1.0, [self._tickets.history[0][-1]])
    if self._flush(self._tickets, stopped):
      self.steps += len(tickets)

  def _append(self, index, writer, row):
    writer.append(row)
    self._counts[index] += 1
    if self._counts[index] >= self._length:
      writer.create_item(tables.SEQUENCES, 1.0, [
          column[-self._length:] for column in writer.history])

  def _count(self, row):
    """Tickets of the row's steps: return and length of an episode that ends."""
    steps = row.step_type != ts.StepType.LAST
    self._returns = np.where(
        row.step_type == ts.StepType.FIRST, 0.0, self._returns)
    self._lengths = np.where(
        row.step_type == ts.StepType.FIRST, 0, self._lengths)
    self._returns += np.where(steps, row.reward, 0.0)
    self._lengths += steps
    ends = steps & (row.next_step_type == ts.StepType.LAST)
    return [
        np.array([self._returns[i], self._lengths[i]] if ends[i] else [0, 0],
                 np.float32)
        for i in np.flatnonzero(steps)]

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
