"""Replay on disk: what the memory holds survives the process."""

import itertools
import pathlib

import numpy as np
import tensorflow as tf


class Store:
  """Rows of a replay buffer in files, `replay/<number of the first row>.npz`.

  Each save writes the rows added since the last one, so a run writes every
  step once. Rows are in the order of collection; step types mark episodes.
  """

  def __init__(self, root_dir, buffer, capacity):
    """Prepares the store; reads and writes nothing.

    Args:
      root_dir: Path of the run's folder.
      buffer: `TFUniformReplayBuffer`, empty.
      capacity: int, rows that each block of the buffer holds.
    """
    self._directory = pathlib.Path(root_dir) / 'replay'
    self._buffer = buffer
    self._capacity = capacity
    self._saved = 0  # rows of the buffer that are on disk
    self._offset = 0  # number on disk of the buffer's first row

  def save(self):
    """Writes the rows that are not on disk yet, drops forgotten files."""
    end = self._rows()
    first = max(self._saved, end - self._capacity)
    if first < end:
      self._write(first + self._offset, self._read(first, end))
      self._saved = end
    forgotten = end + self._offset - self._capacity
    for old, newer in itertools.pairwise(self._files()):
      if int(newer.stem) <= forgotten:
        old.unlink()

  def load(self):
    """Adds what is on disk to the buffer: the number of rows, an int.

    Raises:
      ValueError: If other than this buffer's number of blocks were stored.
    """
    blocks = self._buffer.capacity // self._capacity
    files = self._files()
    for path in files:
      with np.load(path) as arrays:
        columns = [arrays[str(i)] for i in range(len(arrays.files))]
      stored = columns[0].shape[1]
      if stored != blocks:
        raise ValueError(
            f'{path} was collected by {stored} environments; got {blocks}. '
            f'Set train.environments = {stored}, or take another --root_dir.'
        )
      rows = tf.nest.pack_sequence_as(self._buffer.data_spec, columns)
      self.add(rows)
    if files:
      self._offset = int(files[0].stem)
    self._saved = self._rows()
    return self._saved

  def add(self, rows):
    """Adds rows to the buffer: a nest of arrays `[rows, blocks, ...]`."""
    self._add_each(tf.data.Dataset.from_tensor_slices(rows))

  def _rows(self):
    """Rows added to each block so far; the buffer keeps the last id last."""
    return int(self._buffer.variables()[-1]) + 1

  def _files(self):
    return sorted(self._directory.glob('*.npz'), key=lambda p: int(p.stem))

  def _read(self, first, end):
    """Rows `first` to `end` of every block: arrays `[rows, blocks, ...]`."""
    blocks = np.arange(self._buffer.capacity // self._capacity)
    index = np.arange(first, end)[:, None] % self._capacity
    index = index + blocks * self._capacity
    count = len(tf.nest.flatten(self._buffer.data_spec))
    tables = self._buffer.variables()[:count]
    return [tf.gather(table, index).numpy() for table in tables]

  def _write(self, number, columns):
    self._directory.mkdir(parents=True, exist_ok=True)
    path = self._directory / f'{number:012d}.npz'
    partial = path.with_suffix('.part')
    with partial.open('wb') as file:
      np.savez_compressed(file, **{str(i): x for i, x in enumerate(columns)})
    partial.rename(path)

  @tf.function
  def _add_each(self, dataset):
    for row in dataset:
      self._buffer.add_batch(row)
