"""How long stored rows take to come back, and batches of them to be drawn.

  bin/python benchmarks/speed/refill.py FOLDER [ROWS]

writes so many Atari-like rows into a new folder in FOLDER, drops them from the
page cache, opens them as a run that resumes does, and draws batches of them.
It prints one line of JSON, and removes the rows.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import segments
from dreamerv2_tfa.experience import store

_scalar = lambda dtype: tf.TensorSpec((), dtype)
SPEC = trajectory.Trajectory(
    _scalar(tf.int32), {'image': tf.TensorSpec((64, 64, 1), tf.uint8)},
    _scalar(tf.int32), (), _scalar(tf.int32), _scalar(tf.float32),
    _scalar(tf.float32))
_EPISODE = 1000  # rows
_FILE = 16_000  # rows
_B, _T = 50, 50


def write(directory, rows):
  """Writes the rows; returns the bytes on disk."""
  form, rng, size = segments.Form(SPEC, 1), np.random.default_rng(0), 0
  for first in range(0, rows, _FILE):
    number = np.arange(first, min(first + _FILE, rows))[:, None]
    place = number % _EPISODE
    kind = np.where(place == 0, 0, np.where(place == _EPISODE - 1, 2, 1))
    image = rng.integers(0, 256, [len(number), 1, 64, 64, 1], np.uint8)
    ones = np.ones(number.shape)
    writer = segments.Writer(
        folder.segment_path(directory, first), form, first, 0)
    writer.write([kind, image, 0 * number, kind, ones, ones])
    writer.commit()
    writer.close()
    size += writer.path.stat().st_size
  return size


def forget(directory):
  """Drops the files from the page cache."""
  for path in directory.iterdir():
    with path.open('rb') as file:
      os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_alone(directory):
  """Seconds to read the bytes of all files, and nothing else."""
  start = time.perf_counter()
  for path in directory.iterdir():
    with path.open('rb', buffering=0) as file:
      while file.read(2**24):
        pass
  return time.perf_counter() - start


class Draws:
  """Draws batches of a buffer, and times them."""

  def __init__(self, buffer, law='rows'):
    self._buffer = buffer
    self._samples = replay.Samples(buffer, _B, _T, law, seed=0)
    self._take = tf.function(
        lambda: tf.reduce_sum(self._samples.next().reward))

  def per_second(self, count=200, *, cold=False):
    """Batches a second; cold: files are dropped from the page cache first."""
    seconds = 0.0
    for _ in range(count):
      if cold:
        for file in self._buffer._data_table._files:
          if file:
            os.posix_fadvise(file._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
      start = time.perf_counter()
      self._take()
      self._samples.settle()
      seconds += time.perf_counter() - start
    return count / seconds


def on_disk(directory, parent, rows):
  """Batches a second of the last rows on disk, as a part of memory's."""
  memory, disk = (
      replay.make_buffer(SPEC, 1, rows, where) for where in (None, parent))
  for buffer in (memory, disk):
    store.Store(directory, buffer).load()
  os.sync()
  memory, disk = Draws(memory), Draws(disk)
  warm, cold = [], []
  for _ in range(6):  # in turn, so that a busy machine is busy for both
    base = memory.per_second()
    warm.append(disk.per_second() / base)
    cold.append(disk.per_second(10, cold=True) / base)
  return {'cached': round(float(np.median(warm[1:])), 3),
          'not_cached': round(float(np.median(cold[1:])), 3),
          'not_cached_per_second': round(
              float(np.median(cold[1:])) * base, 1)}


def main(parent, rows=2_000_000):
  """Writes, forgets, reads, opens, draws; prints."""
  rows = int(rows)
  with tempfile.TemporaryDirectory(dir=parent) as root:
    directory = pathlib.Path(root) / 'replay'
    directory.mkdir()
    size = write(directory, rows)
    forget(directory)
    alone = read_alone(directory)
    forget(directory)
    start = time.perf_counter()
    buffer = replay.make_buffer(SPEC, 1, rows)
    allocated = time.perf_counter() - start
    kept = store.Store(directory, buffer)
    assert kept.load(rows) == rows and not kept.notes
    opened = time.perf_counter() - start
    part = on_disk(directory, parent, min(rows, 100_000))
  print(json.dumps({
      'rows': rows, 'gigabytes': round(size / 1e9, 2),
      'seconds_to_open': round(opened, 1),
      'seconds_to_allocate': round(allocated, 1),
      'seconds_to_read_the_bytes_alone': round(alone, 1),
      'batches_per_second': {
          law: round(Draws(buffer, law).per_second(), 1)
          for law in ('rows', 'episodes')},
      'disk_of_memory': part,
  }))


if __name__ == '__main__':
  main(*sys.argv[1:])
