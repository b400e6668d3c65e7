"""Replay memory, and the training batches that are drawn from it."""

import functools
import os
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import table
from tf_agents.trajectories import trajectory as trajectories
from tf_agents.typing import types

from dreamerv2_tfa import checks
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import disk_table
from dreamerv2_tfa.experience import memory
from dreamerv2_tfa.experience import windows

STORAGE = ('auto', 'memory', 'disk')
_SPARE = 10**9  # bytes of the disk that are left for other files of a run


def required_bytes(
    data_spec: types.NestedTensorSpec, capacity: int, *,
    on_disk: bool = False) -> int:
  """Bytes of a buffer in memory, with TF-Agents' id of each row.

  Args:
    data_spec: Of one row: `agent.collect_data_spec`.
    capacity: Rows.
    on_disk: Whether the rows are in a `DiskTable`, but for their scalars.
  """
  row = sum(
      _bytes(spec) for spec in tf.nest.flatten(data_spec)
      if not (on_disk and spec.shape.rank)
  )
  return capacity * (row + tf.int64.size)


def _bytes(spec):
  return spec.dtype.size * int(np.prod(spec.shape.as_list(), dtype=np.int64))


class Fit(NamedTuple):
  """How many rows of replay memory a run allocates, where, and why."""

  asked: int  # rows
  rows: int  # that are allocated, as asked or fewer
  row_bytes: int
  free: int  # bytes that the process may still use
  total: int  # bytes of the machine or its container
  reserve: int  # estimated bytes of the rest of the run
  on_disk: bool = False  # whether the rows are in files, and not in memory
  room: int = 0  # bytes of the disk that the rows may take


def fit(
    data_spec: types.NestedTensorSpec, asked: int, *, reserve: int,
    shrink: bool, least: int = 1, storage: str = 'memory', disk_free: int = 0,
    overhead: int = 0,
) -> Fit:
  """Chooses place and size of replay memory by what is free.

    in memory   rows <= max(free - reserve, free / 10) / bytes of a row
    on disk     rows <= (disk_free - 1 GB) / bytes of a row, and the above with
                the bytes of a row that stay in memory

  A tenth of the free memory is always granted, because `reserve` is an estimate
  and so small a buffer is not what exhausts the memory.

  Args:
    data_spec: As in `required_bytes`.
    asked: Rows.
    reserve: Bytes to leave for the rest of the run.
    shrink: Allocate fewer rows if `asked` does not fit. False: refuse.
    least: Rows without which nothing can be learned.
    storage: 'memory', 'disk', or 'auto': on disk if they fit there alone.
    disk_free: Bytes that are free on the disk, beside what replay/ will take.
    overhead: Bytes of memory that a row takes beside its own.

  Raises:
    ValueError: If `asked` does not fit and `shrink` is False, or if not even
      `least` rows fit.
  """
  free, total, room = memory.free(), memory.total(), disk_free - _SPARE
  row, kept = (
      required_bytes(data_spec, 1, on_disk=on_disk) + overhead
      for on_disk in (False, True)
  )
  granted = max(free - reserve, free // 10)
  in_memory = _rounded(granted // row)
  in_files = _rounded(
      max(min(granted // kept, room // max(row - kept, 1)), 0))
  on_disk = storage == 'disk' or (
      storage == 'auto' and in_memory < asked <= in_files)
  fits = in_files if on_disk else in_memory
  found = Fit(
      asked, min(asked, fits), row, free, total, reserve, on_disk, room)
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


def _rounded(rows):
  return rows - (rows % 1000 if rows > 10_000 else 0)


def describe(found: Fit, stored: int = 0, *, stores: bool = True) -> str:
  """One line about the size of replay memory.

  Args:
    found: What `fit` returned.
    stored: Rows of the run that are on disk.
    stores: Whether the run stores its rows in replay/.
  """
  size = _size(found.rows * found.row_bytes)
  if found.rows < found.asked:
    text = (
        f'Replay memory: {found.rows:,} of the {found.asked:,} steps that '
        f'were asked for, {size}, because {_free(found)}; older steps are '
        f'forgotten after {found.rows:,}.'
    )
  elif found.on_disk:
    text = (
        f'Replay memory: {found.rows:,} steps x {found.row_bytes:,} bytes = '
        f'{size} on disk; {_free(found)}.'
    )
  else:
    text = (
        f'Replay memory: {found.rows:,} steps x {found.row_bytes:,} bytes = '
        f'{size}; {_size(found.free)} of {_size(found.total)} are free.'
    )
  if stores:  # in segments, of which there is one more
    stored_bytes = found.asked * found.row_bytes * 11 // 10
    text += f' The folder replay/ takes up to {_size(stored_bytes)}.'
  stored = min(stored, found.asked)
  if stored > found.rows:
    text += (
        f' Of the {stored:,} stored steps the oldest '
        f'{stored - found.rows:,} do not fit and are not learned from; they '
        'stay on disk.'
    )
  return text


def _free(found: Fit) -> str:
  text = (
      f'{_size(found.free)} of {_size(found.total)} are free, of which '
      f'TensorFlow and the updates need about {_size(found.reserve)}'
  )
  if found.on_disk:
    text += f', and {_size(max(found.room, 0))} of the disk'
  return text


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
    data_spec: types.NestedTensorSpec, num_environments: int, capacity: int,
    directory: str | os.PathLike[str] | None = None,
) -> buffer_lib.Buffer:
  """Allocates the whole replay memory, on the CPU.

  Args:
    data_spec: As in `required_bytes`.
    num_environments: Environments that write at the same time.
    capacity: Rows of all environments together.
    directory: On whose disk the rows are, see `DiskTable`. None: in memory.
  """
  # TF-Agents names its tables after the specs, whose names may be any key.
  nameless = tf.nest.map_structure(
      lambda spec: tf.TensorSpec(spec.shape, spec.dtype), data_spec
  )
  make_table = table.Table if directory is None else functools.partial(
      disk_table.DiskTable, directory=directory)
  return buffer_lib.Buffer(
      nameless, num_environments, capacity // num_environments, make_table
  )


class Samples:
  """Training batches, prefetched by one.

  `sampling` is the law of the windows, see `windows.batch`:

    rows            uniform over first rows; a window may cross the end of an
                    episode
    episodes        a uniform episode, then a uniform window inside it
    episodes_ends   likewise, and its last window more often (the published
                    package's `prioritize_ends`); see `windows.draw`

  Batch k of a run (from 0) is drawn from the seeds (seed, k), and from the rows
  that are present when batch k - 1 is taken:

    take k - 1   draw k   collect   take k   draw k + 1   save
    resumed:                                 draw k + 1   collect   take k + 1

  So a process that resumes after k + 1 batches draws the next one at once,
  before it collects, and its batches are those of a run without a stop.

  The buffer does not support a writer beside a reader, and batches must not
  depend on the timing of threads. So a writer first calls `settle`, which waits
  until the prefetched batch is drawn.

  Attributes:
    taken: int64 variable, batches that the run has taken. Saved with a
      checkpoint, its number is the `taken` of a process that resumes.
    seen: int64 variable, rows of the buffer when the last one was taken: the
      next batch is drawn from them.
  """

  _AHEAD = 1  # batches

  def __init__(
      self, buffer: buffer_lib.Buffer, batch_size: int, sequence_length: int,
      sampling: str = 'rows', *, seed: int, taken: int = 0):
    """Makes the pipeline; of a run that begins, nothing is drawn yet.

    Args:
      buffer: Of `Trajectory` rows, unless `sampling` is 'rows'.
      batch_size: B.
      sequence_length: T.
      sampling: One of `windows.LAWS`.
      seed: Of the run. With the same rows, it draws the same windows.
      taken: Batches that the run has taken before this process.

    Raises:
      ValueError: If `sampling` is none of them.
    """
    checks.choice('train.sampling', sampling, windows.LAWS)
    self._buffer = buffer

    def draw(number):
      draws = tf.random.stateless_uniform(
          [batch_size, 2], tf.stack([tf.constant(seed, tf.int64), number]),
          dtype=tf.float64, alg='philox',
      )
      return windows.batch(buffer, draws, sequence_length, sampling)

    def count(batch):
      with tf.control_dependencies(tf.nest.flatten(batch)):
        drawn = self._drawn.assign_add(1)
      with tf.control_dependencies([drawn]):
        return tf.nest.map_structure(tf.identity, batch)

    with tf.device('/cpu:0'):  # where the pipeline runs
      self.taken, self._drawn = _counter(taken), _counter(taken)
      self.seen = _counter(int(buffer.added))
      batches = lambda first: tf.data.Dataset.range(
          first, tf.int64.max).map(draw).map(count)
      if taken:
        first = next(iter(batches(taken).take(1)))
        dataset = tf.data.Dataset.from_tensors(first).concatenate(
            batches(taken + 1))
      else:
        dataset = batches(0)
    self._iterator = iter(dataset.prefetch(self._AHEAD))

  def next(self) -> trajectories.Trajectory:
    """The next batch, `[B, T + 1, ...]`; may be called in a graph."""
    counted = [self.taken.assign_add(1), self.seen.assign(self._buffer.added)]
    # Whoever waits in `settle` may write as soon as the next one is drawn.
    with tf.control_dependencies(counted):
      return next(self._iterator)

  def ages(self) -> dict[str, float]:
    """How many rows batches are drawn from, and how old these are.

    Returns:
      `replay/rows`; and `replay/age`, the mean over them, in agent steps: where
      `sampling` is 'rows', also that of the rows in a batch.
    """
    rows = min(int(self._buffer.added), self._buffer.length)
    environments = self._buffer.environments
    return {'replay/rows': float(rows * environments),
            'replay/age': (rows - 1) / 2 * environments}

  def settle(self, taken: int | None = None) -> None:
    """Waits until no thread reads the buffer.

    Args:
      taken: Batches that the run has taken, one that another thread is about to
        take included; None: as many as were.
    """
    if taken is None:
      taken = int(self.taken)
    while taken and int(self._drawn) < taken + self._AHEAD:
      time.sleep(1e-4)


def _counter(value: int) -> tf.Variable:
  return tf.Variable(tf.constant(value, tf.int64), trainable=False)
