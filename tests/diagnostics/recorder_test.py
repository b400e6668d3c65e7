"""Tests of what is kept of an evaluation's first episode."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import specs
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.experience import sequences

ACTION = tensor_spec.BoundedTensorSpec((), tf.int32, 0, 2)


def _row(number, kind='mid', *, discount=1.0):
  """A row of two environments; the second is never kept."""
  types = {'first': (0, 1), 'mid': (1, 1), 'end': (1, 2), 'last': (2, 0)}
  now, after = types[kind]
  both = lambda x, dtype: tf.constant([x, 77], dtype)
  return trajectory.Trajectory(
      both(now, tf.int32), {'x': both(number, tf.float32)},
      both(number % 3, tf.int32), (), both(after, tf.int32),
      both(10 + number, tf.float32), both(discount, tf.float32))


def _recorded(*rows):
  recorder = recorder_lib.Recorder()
  recorder.begin()
  for row in rows:
    recorder(row)
  return recorder


def _whole(discount=0.0):
  return _recorded(
      _row(0, 'first'), _row(1), _row(2, 'end', discount=discount),
      _row(3, 'last'), _row(4, 'first'), _row(5))


def test_the_first_episode_of_the_first_environment_is_kept():
  kept = _whole().rows
  assert [row.observation['x'] for row in kept] == [0, 1, 2, 3]


@pytest.mark.parametrize(('discount', 'expected'), [(0.0, True), (1.0, False)])
def test_an_episode_has_terminated_where_its_last_discount_is_0(
    discount, expected):
  assert _whole(discount).terminated is expected


def test_an_episode_that_goes_on_has_not_terminated():
  assert not _recorded(_row(0, 'first'), _row(1)).terminated


def test_model_rows_begin_with_the_first_observation():
  episode = _whole().episode()
  assert episode.reward.shape == [1, 65]
  rows = sequences.from_trajectory(episode, specs.Actions(ACTION))
  np.testing.assert_array_equal(rows.observation['x'][0, :5], [0, 1, 2, 3, 3])
  np.testing.assert_array_equal(rows.reward[0, :4], [0, 10, 11, 12])
  np.testing.assert_array_equal(rows.continue_[0, :4], [1, 1, 1, 0])
  np.testing.assert_array_equal(rows.is_first[0, :4], [1, 0, 0, 0])


def test_few_lengths_are_compiled():
  long = _recorded(_row(0, 'first'), *map(_row, range(1, 65)))
  assert long.episode().reward.shape == [1, 129]


def test_a_long_episode_is_kept_up_to_a_bound(monkeypatch):
  monkeypatch.setattr(recorder_lib, 'MOST_ROWS', 3)
  recorder = _recorded(_row(0, 'first'), *map(_row, range(1, 9)))
  assert len(recorder.rows) == 3


def test_the_next_evaluation_is_kept_only_after_clear():
  recorder = _whole()
  recorder.begin()
  recorder(_row(8, 'first'))
  assert len(recorder.rows) == 4
  recorder.clear()
  recorder.begin()
  recorder(_row(8, 'first'))
  assert [row.observation['x'] for row in recorder.rows] == [8]


def test_another_round_of_the_same_evaluation_is_not_joined_to_a_cut_episode():
  recorder = _recorded(_row(0, 'first'), _row(1))
  recorder.begin()  # the episode was cut, and all environments reset
  recorder(_row(8, 'first'))
  assert len(recorder.rows) == 2


def test_one_row_is_no_episode():
  assert _recorded(_row(0, 'first')).episode() is None
