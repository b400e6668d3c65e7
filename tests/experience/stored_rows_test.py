"""Tests of rows that are read without a buffer, and of windows of them."""

import numpy as np
import pytest
import stored
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import store
from dreamerv2_tfa.experience import windows

SPEC = stored.SPEC


def saved(tmp_path):
  """Twelve rows of two environments, in files of 5, 5 and 2."""
  process = stored.Process(tmp_path, 2, capacity=50)
  process.save(range(12))


def test_rows_are_read_without_a_buffer_oldest_first(tmp_path):
  saved(tmp_path)
  rows = store.read(tmp_path / 'replay', SPEC)
  assert rows['nested'][0][:, 0].tolist() == list(range(12))
  assert rows['nested'][0][:, 1].tolist() == list(range(1000, 1012))
  assert rows['action'].shape == (12, 2, 2)


def test_the_newest_rows_are_read_where_they_are_enough(tmp_path):
  saved(tmp_path)
  rows = store.read(tmp_path / 'replay', SPEC, at_least=3)
  assert rows['nested'][0][:, 0].tolist() == list(range(5, 12))


def test_a_folder_without_rows_is_refused(tmp_path):
  with pytest.raises(ValueError, match='no stored rows'):
    store.read(tmp_path / 'replay', SPEC)


def episodes(*lengths):
  """Rows of episodes, numbered, of two environments."""
  types = np.concatenate([[0] + [1] * (n - 2) + [2] for n in lengths])
  number = np.arange(len(types))
  return trajectory.Trajectory(
      step_type=np.stack([types, types], 1), observation=(), action=(),
      policy_info=(), next_step_type=(), discount=(),
      reward=np.stack([number, number + 1000], 1))


def test_a_window_is_of_consecutive_rows_of_one_environment():
  found = windows.of_rows(episodes(4, 3, 5), 200, 3, seed=0).reward.numpy()
  assert found.shape == (200, 3)
  assert (np.diff(found, axis=1) == 1).all()
  assert set(found[:, 0]) == {*range(10), *range(1000, 1010)}


def test_a_whole_window_is_inside_one_episode():
  found = windows.of_rows(episodes(4, 3, 5), 200, 3, seed=0, whole=True)
  assert {x % 1000 for x in found.reward.numpy()[:, 0]} == {0, 1, 4, 7, 8, 9}
  assert (found.step_type.numpy()[:, 1:] != 0).all()


def test_windows_longer_than_what_is_stored_are_refused():
  with pytest.raises(ValueError, match='No 13 stored rows.*12'):
    windows.of_rows(episodes(4, 3, 5), 1, 13, seed=0)
  with pytest.raises(ValueError, match='No 6 .*one episode'):
    windows.of_rows(episodes(4, 3, 5), 1, 6, seed=0, whole=True)
