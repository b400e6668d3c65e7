"""Stored rows for tests: a buffer with its store, as one process has them."""

import numpy as np
import tensorflow as tf

from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store

CAPACITY = 10   # rows of each environment
SPEC = {
    'action': tf.TensorSpec((2,), tf.float32),
    'image': tf.TensorSpec((3, 4), tf.uint8),
    'nested': (tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.bool)),
}


class Process:
  """A buffer and its store, as one process has them."""

  def __init__(
      self, root_dir, num_environments=1, capacity=CAPACITY, kept=None):
    self._num_environments = num_environments
    self.buffer = replay.make_buffer(
        SPEC, num_environments, num_environments * capacity)
    self.store = store.Store(root_dir / 'replay', self.buffer, kept)

  def add(self, numbers):
    for number in numbers:
      number = number + 1000 * np.arange(self._num_environments)
      self.buffer.add_batch({
          'action': tf.constant(
              np.stack([number, -number], 1), tf.float32),
          'image': tf.constant(
              number[:, None, None] % 256 + np.zeros((3, 4)), tf.uint8),
          'nested': (tf.constant(number, tf.int64),
                     tf.constant(number % 3 == 0))})

  def save(self, numbers):
    self.add(numbers)
    return self.store.save()

  def rows(self):
    """Everything in the buffer, `[environments, rows, ...]`, oldest first."""
    return self.buffer.gather_all()

  def numbers(self):
    """The numbers in the buffer, of each environment."""
    return self.rows()['nested'][0].numpy().tolist()


def files(root_dir):
  """Numbers of the first rows of the files, and how many rows are in each."""
  parts = folder.survey(root_dir / 'replay').parts
  return {part.first: part.count for part in parts}


def columns(root_dir):
  """All stored rows of a run: list of columns `[rows, environments, ...]`."""
  parts = folder.survey(root_dir / 'replay').parts
  spec = [tf.TensorSpec(shape, dtype) for dtype, shape in parts[0].columns]
  return store.read(root_dir / 'replay', spec, at_least=10**9)
