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
      columns = _columns(path)
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
    return _files(self._directory)

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


def check(root_dir):
  """Refuses a folder where no rows are stored.

  Args:
    root_dir: Path of a run's folder.

  Raises:
    ValueError: If there are none.
  """
  if not _files(pathlib.Path(root_dir) / 'replay'):
    raise ValueError(
        f'{root_dir} has no stored rows: replay/ holds no *.npz. Give the '
        '--root_dir of a run that has saved.'
    )


def read(root_dir, data_spec, *, at_least=20_000):
  """The newest rows that a run has stored, with no replay buffer.

  Args:
    root_dir: Path of the run's folder.
    data_spec: Nest of specs of a row: `agent.collect_data_spec`.
    at_least: int; older files are left alone once there are so many rows.

  Returns:
    Nest like `data_spec` of arrays `[rows, blocks, ...]`, oldest first; a
    block is what one environment wrote.

  Raises:
    ValueError: If nothing is stored.
  """
  check(root_dir)
  found, rows = [], 0
  for path in reversed(_files(pathlib.Path(root_dir) / 'replay')):
    found.insert(0, _columns(path))
    rows += len(found[0][0])
    if rows >= at_least:
      break
  columns = [np.concatenate(column) for column in zip(*found, strict=True)]
  return tf.nest.pack_sequence_as(data_spec, columns)


def windows(rows, count, length, *, seed, whole=False):
  """Draws windows of consecutive rows, uniformly.

  Args:
    rows: Nest as `read` returns it, a `Trajectory`.
    count: int, windows.
    length: int, rows of each.
    seed: int.
    whole: bool; only windows inside one episode.

  Returns:
    Nest of tensors `[count, length, ...]`.

  Raises:
    ValueError: If no window is so long.
  """
  types = rows.step_type
  starts = np.ones([max(len(types) - length + 1, 0), types.shape[1]], bool)
  if whole:
    # A window goes over an end where any row but its first is FIRST.
    episode = np.cumsum(types == 0, axis=0)
    last = episode[length - 1:length - 1 + len(starts)]
    starts &= episode[:len(starts)] == last
  places = np.argwhere(starts)
  if not len(places):
    raise ValueError(
        f'No {length} stored rows follow one another'
        f'{" inside one episode" * whole}; {len(types)} are stored.'
    )
  rng = np.random.default_rng(seed)
  first, block = places[rng.integers(len(places), size=count)].T[..., None]
  index = first + np.arange(length)
  return tf.nest.map_structure(lambda x: tf.constant(x[index, block]), rows)


def _files(directory):
  return sorted(directory.glob('*.npz'), key=lambda path: int(path.stem))


def _columns(path):
  with np.load(path) as arrays:
    return [arrays[str(i)] for i in range(len(arrays.files))]
