"""Replay memory and the stream of training sequences drawn from it."""

import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import tf_uniform_replay_buffer

from dreamerv2_tfa import checks
from dreamerv2_tfa.experience import memory
from dreamerv2_tfa.experience import windows

SAMPLING = ('rows', *windows.LAWS)


def required_bytes(data_spec, capacity):
  """Bytes that `capacity` rows take, with TF-Agents' id of each row.

  Args:
    data_spec: Nest of `tf.TensorSpec`, one row: `agent.collect_data_spec`.
    capacity: int, rows.

  Returns:
    int, bytes.
  """
  row = sum(
      spec.dtype.size * int(np.prod(spec.shape.as_list(), dtype=np.int64))
      for spec in tf.nest.flatten(data_spec)
  )
  return capacity * (row + tf.int64.size)


class Fit(NamedTuple):
  """How many rows of replay memory a run takes, and why."""

  asked: int  # rows
  rows: int  # that are taken, as asked or fewer
  row_bytes: int
  free: int  # bytes that the process may still take
  total: int  # bytes of the machine or its container
  reserve: int  # bytes that the rest of the run is thought to need


def fit(data_spec, asked, *, reserve, shrink, least=1):
  """Compares replay memory with the memory that is free.

  What the run needs beside it is an estimate, and a small replay memory is not
  what makes a run too large: it may take a tenth of the free memory in any
  case.

  Args:
    data_spec: As in `required_bytes`.
    asked: int, rows.
    reserve: int, bytes to leave for the rest of the run.
    shrink: bool; take fewer rows where `asked` does not fit. False: refuse.
    least: int, rows without which nothing can be learned.

  Returns:
    `Fit`.

  Raises:
    ValueError: If `asked` does not fit and may not shrink, or if not even
      `least` rows fit.
  """
  free, total = memory.free(), memory.total()
  row = required_bytes(data_spec, 1)
  fits = max(free - reserve, free // 10) // row
  fits -= fits % 1000 if fits > 10_000 else 0
  found = Fit(asked, min(asked, fits), row, free, total, reserve)
  if asked <= fits or (shrink and fits >= least):
    return found
  way_out = (
      'Lower it, for example with '
      f"--gin_bindings='train.replay_capacity = {fits}'" if fits >= least else
      'Free some; or raise the limit of this process (ulimit -v) or of its '
      'container; or take a machine with more'
  )
  raise ValueError(
      f'Replay memory of {asked:,} steps needs {_size(asked * row)}; '
      f'{_free(found)}. {way_out}.'
  )


def describe(found, stored=0):
  """What the replay memory takes, in one line.

  Args:
    found: `Fit`.
    stored: int, rows of the run that are on disk.

  Returns:
    str.
  """
  size = _size(found.rows * found.row_bytes)
  if found.rows == found.asked:
    text = (
        f'Replay memory: {found.rows:,} steps x {found.row_bytes:,} bytes = '
        f'{size}; {_size(found.free)} of {_size(found.total)} are free.'
    )
  else:
    text = (
        f'Replay memory: {found.rows:,} of the {found.asked:,} steps that '
        f'were asked for, {size}, because {_free(found)}; older steps are '
        f'forgotten after {found.rows:,}.'
    )
  stored = min(stored, found.asked)
  if stored > found.rows:
    text += (
        f' Of the {stored:,} stored steps the oldest '
        f'{stored - found.rows:,} do not fit and are not learned from; they '
        'stay on disk.'
    )
  return text


def _free(found):
  return (
      f'{_size(found.free)} of {_size(found.total)} are free, of which '
      f'TensorFlow and the updates need about {_size(found.reserve)}'
  )


def _size(count):
  """Bytes in the unit that fits: str."""
  return f'{count / 1e9:.1f} GB' if count >= 1e8 else f'{count / 1e6:.1f} MB'


def check(capacity, sequence_length, prefill, environments=1):
  """Refuses sizes that hold no sequence, before anything is allocated.

  Args:
    capacity: int, rows.
    sequence_length: int T; a training sequence takes T + 1 rows.
    prefill: int, rows before the first update.
    environments: int, each has an equal share of the rows.

  Returns:
    int, the smallest capacity that would do.

  Raises:
    ValueError: If capacity or prefill hold no sequence.
  """
  each = f' for each of {environments} environments' * (environments > 1)
  rows = (sequence_length + 1) * environments
  if prefill < rows:
    raise ValueError(
        f'train.prefill = {prefill} steps hold no sequence of train.sequence_'
        f'length = {sequence_length}{each}; wanted {rows} or more.'
    )
  if capacity < 2 * rows:
    raise ValueError(
        f'train.replay_capacity = {capacity} is too small for sequences of '
        f'{sequence_length} steps{each}; wanted {2 * rows} or more.'
    )
  return 2 * rows


def make_buffer(data_spec, batch_size, capacity):
  """Allocates the replay memory, the whole of it at once.

  Args:
    data_spec: As in `required_bytes`.
    batch_size: int, environments that write in step.
    capacity: int, rows in all.

  Returns:
    `TFUniformReplayBuffer` on the CPU.
  """
  # TF-Agents names its tables by the specs, whose names may be any key.
  nameless = tf.nest.map_structure(
      lambda spec: tf.TensorSpec(spec.shape, spec.dtype), data_spec
  )
  return tf_uniform_replay_buffer.TFUniformReplayBuffer(
      nameless, batch_size, max_length=capacity // batch_size
  )


class Samples:
  """Training batches, drawn one ahead.

  `sampling` says how often a window of rows is drawn:

    rows            uniformly: every row that has room begins one alike often;
                    a window may go over the end of an episode
    episodes        an episode, uniformly, then a window inside it, uniformly
    episodes_ends   likewise, and its last window more often (the published
                    package's `prioritize_ends`); see `windows.draw`

  The buffer is not atomic against a concurrent writer, and what a batch may
  contain must not depend on the speed of a thread. So whoever writes calls
  `settle` first: it waits until the batch ahead is drawn.
  """

  _AHEAD = 1  # batches

  def __init__(self, buffer, batch_size, sequence_length, sampling='rows'):
    """Makes the pipeline; nothing is drawn before the first `next`.

    Args:
      buffer: `TFUniformReplayBuffer`; of `Trajectory` rows where `sampling`
        is not 'rows'.
      batch_size: int B.
      sequence_length: int T.
      sampling: One of `SAMPLING`.

    Raises:
      ValueError: If `sampling` is none of them.
    """
    checks.choice('train.sampling', sampling, SAMPLING)
    with tf.device('/cpu:0'):  # where the pipeline runs
      self._taken = tf.Variable(0, dtype=tf.int64, trainable=False)
      self._drawn = tf.Variable(0, dtype=tf.int64, trainable=False)

    def count(trajectory, info):
      del info
      with tf.control_dependencies(tf.nest.flatten(trajectory)):
        drawn = self._drawn.assign_add(1)
      with tf.control_dependencies([drawn]):
        return tf.nest.map_structure(tf.identity, trajectory)

    if sampling == 'rows':
      dataset = buffer.as_dataset(
          sample_batch_size=batch_size, num_steps=sequence_length + 1
      )
    else:
      dataset = windows.dataset(
          buffer, batch_size, sequence_length, sampling
      )
    self._iterator = iter(dataset.map(count).prefetch(self._AHEAD))

  def next(self):
    """One `Trajectory` `[B, T + 1, ...]`; may be part of a graph."""
    self._taken.assign_add(1)
    return next(self._iterator)

  def settle(self):
    """Returns when no thread reads the buffer."""
    taken = int(self._taken)
    while taken and int(self._drawn) < taken + self._AHEAD:
      time.sleep(1e-4)
