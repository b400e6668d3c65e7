"""Tests of stored rows with numbers that are not finite."""

import numpy as np
import pytest
import stored
import tensorflow as tf
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import segments
from dreamerv2_tfa.experience import store

ROW = trajectory.Trajectory(
    step_type=tf.TensorSpec((), tf.int32),
    observation={'x': tf.TensorSpec((2,), tf.float32)},
    action=tf.TensorSpec((), tf.int32), policy_info=(),
    next_step_type=tf.TensorSpec((), tf.int32),
    reward=tf.TensorSpec((), tf.float32),
    discount=tf.TensorSpec((), tf.float32))


def write_rows(
    root_dir, types, first=0, bad=(), key='observation', num_environments=1):
  """A segment of rows with these step types, numbered in `action`."""
  number = np.arange(first, first + len(types))[:, None] + np.zeros(
      [1, num_environments], int)
  columns = dict(
      step_type=np.asarray(types, np.int32)[:, None] + 0 * number,
      observation=np.ones([len(types), num_environments, 2], np.float32),
      action=number, next_step_type=number, reward=1.0 * number,
      discount=np.ones(number.shape))
  for row in bad:
    columns[key][row - first, -1] = np.nan
  (root_dir / 'replay').mkdir(exist_ok=True)
  writer = segments.Writer(
      folder.segment_path(root_dir / 'replay', first),
      segments.Form(ROW, num_environments), first, 0)
  writer.write([
      columns[field].astype(spec.dtype.as_numpy_dtype)
      for field, spec in zip(columns, tf.nest.flatten(ROW), strict=True)])
  writer.commit()
  writer.close()


def load_rows(root_dir, num_environments=1):
  """Numbers and step types of the first environment that a buffer loads."""
  buffer = replay.make_buffer(ROW, num_environments, 50 * num_environments)
  kept = store.Store(root_dir / 'replay', buffer)
  kept.load()
  rows = buffer.gather_all()
  read = store.read(root_dir / 'replay', ROW)
  np.testing.assert_array_equal(read.action[:, 0], rows.action[0])
  np.testing.assert_array_equal(read.step_type[:, 0], rows.step_type[0])
  assert all(np.isfinite(x).all() for x in tf.nest.flatten(read))
  return list(zip(
      rows.action[0].numpy().tolist(), rows.step_type[0].numpy().tolist(),
      strict=True)), kept


@pytest.mark.parametrize('key', ['observation', 'reward', 'discount'])
@pytest.mark.parametrize('num_environments', [1, 3])
def test_a_row_that_is_not_finite_is_skipped_and_the_next_begins_an_episode(
    tmp_path, key, num_environments):
  write_rows(
      tmp_path, [0, 1, 1, 1, 2, 0, 1], bad=[2], key=key,
      num_environments=num_environments)
  rows, kept = load_rows(tmp_path, num_environments)
  assert rows == [(0, 0), (1, 1), (3, 0), (4, 2), (5, 0), (6, 1)]
  assert kept.skipped == 1


def test_a_last_row_after_a_gap_is_skipped_too(tmp_path):
  write_rows(tmp_path, [0, 1, 1, 2, 0, 1], bad=[2])
  rows, kept = load_rows(tmp_path)
  assert rows == [(0, 0), (1, 1), (4, 0), (5, 1)]
  assert kept.skipped == 2


def test_a_gap_reaches_into_the_next_file(tmp_path):
  write_rows(tmp_path, [0, 1, 1], bad=[2])
  write_rows(tmp_path, [1, 1], first=3)
  assert load_rows(tmp_path)[0] == [(0, 0), (1, 1), (3, 0), (4, 1)]


def test_rows_after_a_file_that_is_gone_begin_an_episode(tmp_path):
  write_rows(tmp_path, [0, 1, 1])
  write_rows(tmp_path, [1, 1], first=7)
  assert load_rows(tmp_path)[0] == [(0, 0), (1, 1), (2, 1), (7, 0), (8, 1)]


def test_no_file_is_written_over_where_rows_were_skipped(tmp_path):
  write_rows(tmp_path, [0, 1, 1])
  write_rows(tmp_path, [1], first=3, bad=[3])
  rows, kept = load_rows(tmp_path)
  assert len(rows) == 3
  kept.add(tf.nest.map_structure(
      lambda spec: np.ones([2, 1, *spec.shape], spec.dtype.as_numpy_dtype),
      ROW))
  kept.save()
  assert stored.files(tmp_path) == {0: 3, 3: 1, 4: 2}


def test_a_folder_of_such_rows_alone_has_none(tmp_path):
  write_rows(tmp_path, [0, 1], bad=[0, 1])
  buffer = replay.make_buffer(ROW, 1, 50)
  assert store.Store(tmp_path / 'replay', buffer).load() == 0


def test_rows_that_are_added_are_finite_before_they_reach_the_disk(tmp_path):
  buffer = replay.make_buffer(ROW, 1, 50)
  kept = store.Store(tmp_path / 'replay', buffer)
  rows = tf.nest.map_structure(
      lambda spec: np.ones([3, 1, *spec.shape], spec.dtype.as_numpy_dtype), ROW)
  rows.reward[1] = 1e30   # its square is infinite
  kept.add(rows)
  kept.save()
  assert stored.files(tmp_path) == {0: 2}
