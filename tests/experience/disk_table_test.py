"""Tests of replay on disk in place of memory: it holds and draws the same."""

import os

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.metrics import tf_metrics
from tf_agents.policies import random_tf_policy
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import disk_table
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import windows

_SCALAR = lambda dtype: tf.TensorSpec((), dtype)
_SPEC = trajectory.Trajectory(
    _SCALAR(tf.int32), {'eye': tf.TensorSpec((3, 4), tf.uint8),
                        'flag': tf.TensorSpec((1,), tf.bool),
                        'n': _SCALAR(tf.int64)},
    tf.TensorSpec((2,), tf.float32), (), _SCALAR(tf.int32),
    _SCALAR(tf.float32), _SCALAR(tf.float32),
)


def rows(first, count, environments):
  """A block of rows with episodes of nine."""
  number = np.arange(first, first + count)[:, None] + 1000 * np.arange(
      environments)
  kind = np.choose(number % 9, [0] + [1] * 7 + [2]).astype(np.int32)
  eye = number[..., None, None] + np.arange(12).reshape(3, 4)
  return trajectory.Trajectory(
      kind, {'eye': (eye % 256).astype(np.uint8),
             'flag': (number % 2 == 0)[..., None], 'n': number},
      np.stack([number, -number], -1).astype(np.float32), (), kind,
      number.astype(np.float32), np.ones(number.shape, np.float32))


def same(one, other):
  tf.nest.map_structure(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize('environments', [1, 3])
@pytest.mark.parametrize('count', [25, 40, 95])
def test_it_holds_what_memory_holds(tmp_path, environments, count):
  memory, disk = (
      replay.make_buffer(_SPEC, environments, 40 * environments, directory)
      for directory in (None, tmp_path))
  for buffer in (memory, disk):
    buffer.append(rows(0, count - 5, environments))
    for n in range(count - 5, count):
      buffer.add_batch(tf.nest.map_structure(
          lambda x: tf.constant(x[0]), rows(n, 1, environments)))
  same(memory.gather_all(), disk.gather_all())
  for one, other in zip(memory.rows(count - 7, count),
                        disk.rows(count - 7, count), strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('law', windows.LAWS)
def test_it_draws_what_memory_draws(tmp_path, law):
  drawn = []
  for directory in (None, tmp_path):
    buffer = replay.make_buffer(_SPEC, 2, 80, directory)
    buffer.append(rows(0, 60, 2))
    samples = replay.Samples(buffer, 6, 4, law, seed=3)
    batches = [samples.next()]
    samples.settle()
    buffer.append(rows(60, 30, 2))
    drawn.append([*batches, samples.next(), samples.next()])
  same(*drawn)


def test_steps_are_collected_into_it(tmp_path):
  buffers = []
  for directory in (None, tmp_path):
    tf.random.set_seed(2)
    environment = catch.Catch(seed=1)
    policy = random_tf_policy.RandomTFPolicy(
        environment.time_step_spec(), environment.action_spec())
    buffer = replay.make_buffer(policy.trajectory_spec, 1, 50, directory)
    collection.Collector(
        environment, policy, buffer, tf_metrics.EnvironmentSteps()
    ).prefill(70)
    buffers.append(buffer)
  assert int(buffers[1].added) > 70
  same(*(buffer.gather_all() for buffer in buffers))


def test_its_files_have_no_name_and_their_room_is_reserved(tmp_path):
  table = disk_table.DiskTable(_SPEC, 1000, tmp_path)
  assert not list(tmp_path.iterdir())
  sizes = [os.fstat(file._file.fileno()) for file in table._files if file]
  # Image, flag and action of a row: 12, 1 and 8 bytes.
  assert [size.st_size for size in sizes] == [12_000, 1000, 8000]
  assert all(size.st_blocks * 512 >= size.st_size for size in sizes)


def test_a_disk_without_room_is_an_error_at_once(tmp_path, monkeypatch):
  def full(file, start, size):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'posix_fallocate', full)
  with pytest.raises(OSError, match='No space left'):
    disk_table.DiskTable(_SPEC, 1000, tmp_path)


def test_what_is_read_in_parts_is_read_whole(tmp_path, monkeypatch):
  table = disk_table.DiskTable(_SPEC, 50, tmp_path)
  block = rows(0, 50, 1)
  # As much as a call of Linux gives at once, if that is little.
  for name in ('preadv', 'pwritev'):
    right = getattr(os, name)
    monkeypatch.setattr(os, name, lambda file, parts, place, right=right: right(
        file, [parts[0][:7]], place))
  table.write(np.arange(50), tf.nest.map_structure(lambda x: x[:, 0], block))
  same(table.read(np.arange(50)),
       tf.nest.map_structure(lambda x: x[:, 0], block))
