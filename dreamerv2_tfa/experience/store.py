"""Replay on disk: the rows of a buffer, from which a run resumes."""

import itertools
import json
import os
import pathlib
from typing import Any
import zipfile
import zlib

import numpy as np
import tensorflow as tf
from tf_agents.replay_buffers import tf_uniform_replay_buffer
from tf_agents.trajectories import trajectory as trajectories
from tf_agents.typing import types

from dreamerv2_tfa.experience import clean

_SPAN = 'replay.json'  # beside the replay folder: first row, next row

# Errors of reading a file that is truncated or no *.npz.
_UNREADABLE = (
    OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error,
    NotImplementedError,
)


class Store:
  """Rows of a replay buffer in files, `<number of the first row>.npz`.

  Each save writes the rows added since the last one, so a run writes every row
  once. Rows are in the order of collection; step types mark episodes. A row of
  all environments has one number.

  Attributes:
    missing: Rows that were saved and are no longer on disk, each counted once
      for all environments.
  """

  def __init__(
      self, replay_dir: str | os.PathLike[str],
      buffer: tf_uniform_replay_buffer.TFUniformReplayBuffer, capacity: int,
      kept: int | None = None):
    """Prepares the store; reads and writes nothing.

    Args:
      replay_dir: Folder of the files. `replay.json` is written beside it.
      buffer: An empty one.
      capacity: Rows of each environment in the buffer.
      kept: Rows of each environment that stay on disk. None: `capacity`.
    """
    self._directory = pathlib.Path(replay_dir)
    self._buffer = buffer
    self._capacity = capacity
    self._kept = capacity if kept is None else kept
    self._saved = 0  # rows of the buffer that are on disk
    self._offset = 0  # number on disk of the buffer's first row
    self._clean = clean.Clean()
    self.missing = 0

  @property
  def skipped(self) -> int:
    """Rows not added because of a number that `clean.Clean` refuses."""
    return self._clean.skipped

  def save(self) -> None:
    """Writes the rows that are not on disk yet; deletes outdated files."""
    end = self._rows()
    first = max(self._saved, end - self._capacity)
    whole = first == self._saved
    if first < end:
      self._write(first + self._offset, self._read(first, end))
      self._saved = end
    # If rows were overwritten before a save, older ones are deleted too.
    kept = self._kept if whole else self._capacity
    forgotten = end + self._offset - kept
    files = self._files()
    dropped = [
        old for old, newer in itertools.pairwise(files)
        if int(newer.stem) <= forgotten
    ]
    if files:
      first = int(files[len(dropped)].stem)
      _write_span(self._directory, first, end + self._offset)
    for old in dropped:
      old.unlink()

  def load(self) -> int:
    """Adds the rows on disk to the buffer; returns their number.

    Raises:
      ValueError: If a file is damaged, or its rows have other specs than the
        buffer's, or come from another number of environments.
    """
    num_environments = self._buffer.capacity // self._capacity
    self.missing = 0
    first_saved, end_saved = _read_span(self._directory)
    end = first_saved
    for path in self._files():
      _check_begin(path, end, first_saved)
      columns = _columns(path, self._buffer.data_spec)
      stored = columns[0].shape[1]
      if stored != num_environments:
        raise ValueError(
            f'{path} was collected by {stored} environments; got '
            f'{num_environments}. Set train.environments = {stored}, or take '
            'another --root_dir.'
        )
      gap = max(int(path.stem) - end, 0)
      self._clean.gap |= bool(gap)
      self.missing += gap
      self.add(tf.nest.pack_sequence_as(self._buffer.data_spec, columns))
      end = int(path.stem) + len(columns[0])
    self.missing += max(end_saved - end, 0)
    end = max(end, end_saved)
    self._saved = self._rows()
    self._offset = end - self._saved
    return self._saved

  def add(self, rows: Any) -> None:
    """Adds a nest of arrays `[rows, environments, ...]` to the buffer."""
    rows = self._clean(rows)
    if len(tf.nest.flatten(rows)[0]):
      self._add_each(tf.data.Dataset.from_tensor_slices(rows))

  def _rows(self) -> int:
    """Rows added so far; the buffer's last variable is the last row's id."""
    return int(self._buffer.variables()[-1]) + 1

  def _files(self):
    return _files(self._directory)

  def _read(self, first, end):
    """Rows `first` to `end` as arrays `[rows, environments, ...]`."""
    environment = np.arange(self._buffer.capacity // self._capacity)
    index = np.arange(first, end)[:, None] % self._capacity
    index = index + environment * self._capacity
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


def check(replay_dir: str | os.PathLike[str]) -> None:
  """Refuses a replay folder without stored rows.

  Raises:
    ValueError: If there are none.
  """
  directory = pathlib.Path(replay_dir)
  if not _files(directory):
    raise ValueError(
        f'train.replay_from = {str(directory.parent)!r} has no stored rows: '
        f'{directory.name}/ '
        'holds no *.npz. Give the folder of a run that has saved.'
    )


def rows(replay_dir: str | os.PathLike[str]) -> int:
  """Rows of each environment on disk, by their numbers."""
  first, end = _read_span(pathlib.Path(replay_dir))
  return end - first


def read(
    replay_dir: str | os.PathLike[str], data_spec: types.NestedTensorSpec, *,
    at_least: int = 20_000) -> Any:
  """Reads the newest rows of a run, without a replay buffer.

  Args:
    replay_dir: Folder of the files.
    data_spec: Of one row: `agent.collect_data_spec`.
    at_least: Stop at so many rows; older files are not read.

  Returns:
    Nest like `data_spec` of arrays `[rows, environments, ...]`, oldest first.

  Raises:
    ValueError: If nothing is stored, or a file is damaged, or its rows have
      other specs.
  """
  check(replay_dir)
  chosen, rows = [], 0
  for path in reversed(_files(pathlib.Path(replay_dir))):
    chosen.insert(0, (int(path.stem), _columns(path, data_spec)))
    rows += len(chosen[0][1][0])
    if rows >= at_least:
      break
  cleaned, end, found = clean.Clean(), chosen[0][0], []
  for first, columns in chosen:
    cleaned.gap |= first != end
    found.append(cleaned(tf.nest.pack_sequence_as(data_spec, columns)))
    end = first + len(columns[0])
  return tf.nest.map_structure(lambda *x: np.concatenate(x), *found)


def windows(
    rows: trajectories.Trajectory, count: int, length: int, *, seed: int,
    whole: bool = False) -> trajectories.Trajectory:
  """Draws windows of consecutive rows, uniformly.

  Args:
    rows: Arrays as `read` returns them.
    count: Windows.
    length: Rows of each.
    seed: The same seed draws the same windows.
    whole: Only windows inside one episode.

  Returns:
    Tensors `[count, length, ...]`.

  Raises:
    ValueError: If no window is so long.
  """
  step_type = np.asarray(rows.step_type)
  starts = np.ones(
      [max(len(step_type) - length + 1, 0), step_type.shape[1]], bool)
  if whole:
    # A window crosses an end if any row but its first is FIRST.
    episode = np.cumsum(step_type == 0, axis=0)
    last = episode[length - 1:length - 1 + len(starts)]
    starts &= episode[:len(starts)] == last
  places = np.argwhere(starts)
  if not len(places):
    raise ValueError(
        f'No {length} stored rows follow one another'
        f'{" inside one episode" * whole}; {len(step_type)} are stored.'
    )
  rng = np.random.default_rng(seed)
  chosen = places[rng.integers(len(places), size=count)]
  first, environment = chosen.T[..., None]
  index = first + np.arange(length)
  return tf.nest.map_structure(
      lambda x: tf.constant(x[index, environment]), rows)


def _write_span(directory: pathlib.Path, first: int, end: int) -> None:
  """Writes the number of the oldest row on disk and of the next row."""
  path = directory.with_name(_SPAN)
  partial = path.with_name(f'{_SPAN}.part')
  partial.write_text(
      json.dumps({'first': first, 'next': end}) + '\n', encoding='utf-8'
  )
  partial.replace(path)


def _read_span(directory: pathlib.Path) -> tuple[int, int]:
  """What `_write_span` wrote; an older version wrote none, and has no end."""
  path = directory.with_name(_SPAN)
  if not path.is_file():
    files = _files(directory)
    first = int(files[0].stem) if files else 0
    return first, first
  try:
    span = json.loads(path.read_text(encoding='utf-8'))
    return int(span['first']), int(span['next'])
  except (ValueError, TypeError, KeyError) as error:
    raise ValueError(
        f'{path} is damaged ({error}). Put it back from a copy; or remove it, '
        'then no rows are missed.'
    ) from error


def _check_begin(path: pathlib.Path, end: int, first_saved: int) -> None:
  """Refuses a file that begins before the one before it ends."""
  if first_saved < int(path.stem) < end:
    raise ValueError(
        f'{path} begins before the file before it ends, at row {end}: one of '
        'them is a copy or was renamed. Remove it, or put both back from a '
        'copy.'
    )


def _files(directory: pathlib.Path) -> list[pathlib.Path]:
  paths = [path for path in directory.glob('*.npz') if path.stem.isdigit()]
  return sorted(paths, key=lambda path: int(path.stem))


def _columns(
    path: pathlib.Path, data_spec: types.NestedTensorSpec
) -> list[np.ndarray]:
  """The arrays of a file, `[rows, environments, ...]`, as a nest's leaves."""
  specs = tf.nest.flatten(data_spec)
  try:
    with np.load(path) as arrays:
      columns = [arrays[str(i)] for i in range(len(arrays.files))]
  except _UNREADABLE as error:
    reason = str(error).strip().partition('\n')[0] or type(error).__name__
    raise ValueError(
        f'{path} cannot be read ({reason}). Put it back from a copy; or remove '
        'it, then the steps in it are lost and all others are kept.'
    ) from error
  forms = [(x.dtype, x.shape[2:]) for x in columns]
  wanted = [(s.dtype.as_numpy_dtype, tuple(s.shape.as_list())) for s in specs]
  if forms != wanted:
    different = [
        f'{np.dtype(got[0])} {list(got[1])}, wanted {np.dtype(want[0])} '
        f'{list(want[1])}'
        for got, want in zip(forms, wanted, strict=False) if got != want
    ] or [f'{len(forms)} columns, wanted {len(wanted)}']
    raise ValueError(
        f'The rows in {path} are of another form: got {"; ".join(different)}. '
        'They come of other observations or actions: take another folder.'
    )
  return columns
