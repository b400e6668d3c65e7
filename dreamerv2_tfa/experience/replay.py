"""Replay memory, and the training batches that are drawn from it."""

import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.trajectories import trajectory as trajectories
from tf_agents.typing import types

from dreamerv2_tfa import checks
from dreamerv2_tfa.experience import memory
from dreamerv2_tfa.experience import windows

SAMPLING = ('rows', *windows.LAWS)


def required_bytes(data_spec: types.NestedTensorSpec, capacity: int) -> int:
  """Bytes of a buffer, with TF-Agents' id of each row.

  Args:
    data_spec: Of one row: `agent.collect_data_spec`.
    capacity: Rows.
  """
  row = sum(
      spec.dtype.size * int(np.prod(spec.shape.as_list(), dtype=np.int64))
      for spec in tf.nest.flatten(data_spec)
  )
  return capacity * (row + tf.int64.size)


class Fit(NamedTuple):
  """How many rows of replay memory a run allocates, and why."""

  asked: int  # rows
  rows: int  # that are allocated, as asked or fewer
  row_bytes: int
  free: int  # bytes that the process may still use
  total: int  # bytes of the machine or its container
  reserve: int  # estimated bytes of the rest of the run


def fit(
    data_spec: types.NestedTensorSpec, asked: int, *, reserve: int,
    shrink: bool, least: int = 1) -> Fit:
  """Chooses the size of replay memory by the memory that is free.

    rows <= max(free - reserve, free / 10) / row_bytes

  A tenth of the free memory is always granted, because `reserve` is an estimate
  and so small a buffer is not what exhausts the memory.

  Args:
    data_spec: As in `required_bytes`.
    asked: Rows.
    reserve: Bytes to leave for the rest of the run.
    shrink: Allocate fewer rows if `asked` does not fit. False: refuse.
    least: Rows without which nothing can be learned.

  Raises:
    ValueError: If `asked` does not fit and `shrink` is False, or if not even
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


def describe(found: Fit, stored: int = 0) -> str:
  """One line about the size of replay memory.

  Args:
    found: What `fit` returned.
    stored: Rows of the run that are on disk.
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


def _free(found: Fit) -> str:
  return (
      f'{_size(found.free)} of {_size(found.total)} are free, of which '
      f'TensorFlow and the updates need about {_size(found.reserve)}'
  )


def _size(count: int) -> str:
  """Bytes as GB or MB."""
  return f'{count / 1e9:.1f} GB' if count >= 1e8 else f'{count / 1e6:.1f} MB'


def check(
    capacity: int, sequence_length: int, prefill: int,
    num_environments: int = 1) -> int:
  """Refuses sizes too small for a sequence, before anything is allocated.

  Args:
    capacity: Rows.
    sequence_length: T; a training sequence has T + 1 rows.
    prefill: Rows before the first update.
    num_environments: Each has an equal share of the rows.

  Returns:
    The smallest capacity that is accepted.

  Raises:
    ValueError: If capacity or prefill are too small.
  """
  several = num_environments > 1
  each = f' for each of {num_environments} environments' * several
  rows = (sequence_length + 1) * num_environments
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


def make_buffer(
    data_spec: types.NestedTensorSpec, num_environments: int, capacity: int
) -> tf_uniform_replay_buffer.TFUniformReplayBuffer:
  """Allocates the whole replay memory, on the CPU.

  Args:
    data_spec: As in `required_bytes`.
    num_environments: Environments that write at the same time.
    capacity: Rows of all environments together.
  """
  # TF-Agents names its tables after the specs, whose names may be any key.
  nameless = tf.nest.map_structure(
      lambda spec: tf.TensorSpec(spec.shape, spec.dtype), data_spec
  )
  return tf_uniform_replay_buffer.TFUniformReplayBuffer(
      nameless, num_environments, max_length=capacity // num_environments
  )


class Samples:
  """Training batches, prefetched by one.

  `sampling` is the distribution of windows:

    rows            uniform over first rows; a window may cross the end of an
                    episode
    episodes        a uniform episode, then a uniform window inside it
    episodes_ends   likewise, and its last window more often (the published
                    package's `prioritize_ends`); see `windows.draw`

  The buffer does not support a writer beside a reader, and batches must not
  depend on the timing of threads. So a writer first calls `settle`, which waits
  until the prefetched batch is drawn.
  """

  _AHEAD = 1  # batches

  def __init__(
      self, buffer: tf_uniform_replay_buffer.TFUniformReplayBuffer,
      batch_size: int, sequence_length: int, sampling: str = 'rows'):
    """Makes the pipeline; nothing is drawn before the first `next`.

    Args:
      buffer: Of `Trajectory` rows, unless `sampling` is 'rows'.
      batch_size: B.
      sequence_length: T.
      sampling: One of `SAMPLING`.

    Raises:
      ValueError: If `sampling` is none of them.
    """
    checks.choice('train.sampling', sampling, SAMPLING)
    with tf.device('/cpu:0'):  # where the pipeline runs
      self._taken, self._drawn = _counter(), _counter()

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

  def next(self) -> trajectories.Trajectory:
    """The next batch, `[B, T + 1, ...]`; may be called in a graph."""
    self._taken.assign_add(1)
    return next(self._iterator)

  def settle(self) -> None:
    """Waits until no thread reads the buffer."""
    taken = int(self._taken)
    while taken and int(self._drawn) < taken + self._AHEAD:
      time.sleep(1e-4)


def _counter() -> tf.Variable:
  return tf.Variable(tf.zeros([], tf.int64), trainable=False)
