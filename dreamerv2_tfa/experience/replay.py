"""Replay memory and the stream of training sequences drawn from it."""

import time

import numpy as np
import psutil
import tensorflow as tf
from tf_agents.replay_buffers import tf_uniform_replay_buffer

from dreamerv2_tfa import checks
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


def describe(data_spec, capacity):
  """One line that says what the replay memory will take."""
  size = required_bytes(data_spec, capacity)
  return (
      f'Replay memory: {capacity:,} steps x {size // capacity:,} bytes = '
      f'{size / 1e9:.2f} GB of the {_machine_bytes() / 1e9:.1f} GB of this '
      'machine.'
  )


def check(data_spec, capacity, sequence_length, prefill, environments=1):
  """Refuses sizes that cannot work, before anything is allocated.

  Args:
    data_spec: As in `required_bytes`.
    capacity: int, rows.
    sequence_length: int T; a training sequence takes T + 1 rows.
    prefill: int, rows before the first update.
    environments: int, each has an equal share of the rows.

  Raises:
    ValueError: If the rows exceed the machine's memory, or hold no sequence.
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
  size, machine = required_bytes(data_spec, capacity), _machine_bytes()
  if size > machine:
    fits = int(0.7 * machine) * capacity // size
    raise ValueError(
        f'Replay memory of {capacity:,} steps needs {size / 1e9:.1f} GB; this '
        f'machine has {machine / 1e9:.1f} GB. Lower it, for example with '
        f"--gin_bindings='train.replay_capacity = {fits}'."
    )


def _machine_bytes():
  return psutil.virtual_memory().total


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
