"""Tests of the shift of time, against what an environment really gave."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import specs
from dreamerv2_tfa.experience import sequences

ACTIONS = specs.Actions(tensor_spec.BoundedTensorSpec((), tf.int32, 1, 4))
FIRST, MID, LAST = ts.StepType.FIRST, ts.StepType.MID, ts.StepType.LAST

# What the environment gave, a row a time step: step type, reward and discount
# that arrived with the observation, and the action that was taken there. The
# observation of row t is t. Two episodes: one terminates, one is cut short.
STREAM = [
    (FIRST, 0.0, 1.0, 2),
    (MID, 0.5, 1.0, 4),
    (MID, -1.0, 1.0, 3),
    (LAST, 7.0, 0.0, 1),    # terminal; its action starts the next episode
    (FIRST, 0.0, 1.0, 3),
    (MID, 2.0, 1.0, 2),
    (LAST, 9.0, 1.0, 4),    # a time limit
    (FIRST, 0.0, 1.0, 1),
    (MID, 4.0, 1.0, 2),
    (MID, 5.0, 1.0, 3),
    (MID, 6.0, 1.0, 1),
]


def time_step(t):
  step_type, reward, discount, _ = STREAM[t]
  return ts.TimeStep(
      tf.constant(step_type), tf.constant(reward, tf.float32),
      tf.constant(discount, tf.float32),
      {'position': tf.constant([10.0 * t, t]), 'count': tf.constant(t)})


def stored_rows():
  """Rows `[10]` as TF-Agents' driver stores them; boundary rows are noise."""
  rows = []
  for t in range(len(STREAM) - 1):
    action = policy_step.PolicyStep(tf.constant(STREAM[t][3]))
    row = trajectory.from_transition(time_step(t), action, time_step(t + 1))
    if STREAM[t][0] == LAST:   # means nothing, whatever it says
      row = row._replace(reward=tf.constant(99.0), discount=tf.constant(0.25))
    rows.append(row)
  return tf.nest.map_structure(lambda *x: tf.stack(x), *rows)


def sequence(*starts, length):
  """Model rows of windows of `length` stored rows."""
  rows = stored_rows()
  windows = tf.nest.map_structure(
      lambda x: tf.stack([x[start:start + length] for start in starts]), rows)
  return sequences.from_trajectory(windows, ACTIONS)


# Two windows of 6 stored rows: one from the start, over the terminal end; one
# that begins in the middle of an episode, over the time limit. Model row i of
# a window that starts at s holds time step s + i + 1.
STARTS, LENGTH = (0, 4), 6
TIMES = [[start + 1 + i for i in range(LENGTH - 1)] for start in STARTS]


def windows():
  return sequence(*STARTS, length=LENGTH)


def test_t_plus_1_rows_make_t():
  tf.nest.map_structure(
      lambda x: x.shape[:2].assert_is_compatible_with([2, 5]), windows())


def test_observations_are_those_of_the_rows_after_the_first():
  np.testing.assert_array_equal(windows().observation['count'], TIMES)


def test_each_part_of_an_observation_is_shifted_alike():
  position = windows().observation['position'].numpy()
  assert position.shape == (2, 5, 2)
  np.testing.assert_array_equal(position[..., 0], 10 * np.array(TIMES))


def test_reward_is_the_one_that_arrived_with_the_observation():
  expected = [[STREAM[t][1] for t in row] for row in TIMES]
  assert expected == [[0.5, -1.0, 7.0, 0.0, 2.0], [2.0, 9.0, 0.0, 4.0, 5.0]]
  np.testing.assert_array_equal(windows().reward, expected)


def test_continue_is_0_at_a_terminal_row_and_1_at_a_time_limit():
  np.testing.assert_array_equal(
      windows().continue_,
      [[1.0, 1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])


def test_the_last_row_of_an_episode_carries_the_terminal_reward():
  rows = windows()
  last = np.array(TIMES) == 3
  assert (rows.reward[last].numpy(), rows.continue_[last].numpy()) == (7.0, 0.0)


def test_a_first_row_has_reward_0_and_continue_1_whatever_was_stored():
  rows = windows()
  first = (np.array(TIMES) == 4) | (np.array(TIMES) == 7)
  np.testing.assert_array_equal(rows.reward[first], [0.0, 0.0])
  np.testing.assert_array_equal(rows.continue_[first], [1.0, 1.0])


def test_episodes_and_windows_start_with_is_first():
  np.testing.assert_array_equal(
      windows().is_first, [[1, 0, 0, 1, 0], [1, 0, 1, 0, 0]])


def test_a_window_that_starts_mid_episode_keeps_what_led_into_its_first_row():
  rows = sequence(2, length=3)   # time steps 3 (terminal) and 4
  np.testing.assert_array_equal(rows.is_first, [[True, True]])
  np.testing.assert_array_equal(rows.reward, [[7.0, 0.0]])
  np.testing.assert_array_equal(rows.continue_, [[0.0, 1.0]])


def test_prev_action_is_the_one_that_led_into_the_observation():
  prev_action = windows().prev_action
  assert (prev_action.shape, prev_action.dtype) == ((2, 5, 4), tf.float32)
  # The lowest action is 1; into the first step of an episode none has led.
  expected = [
      [STREAM[t - 1][3] if STREAM[t][0] != FIRST else 0 for t in row]
      for row in TIMES
  ]
  one_hot = np.eye(5)[np.array(expected)][..., 1:]
  np.testing.assert_array_equal(prev_action, one_hot)


def test_boxes_are_scaled_on_the_way():
  actions = specs.Actions(
      tensor_spec.BoundedTensorSpec((2,), tf.float32, 0.0, 4.0))
  rows = stored_rows()._replace(
      action=tf.tile(tf.range(10.0)[:, None] / 4, [1, 2]))
  rows = tf.nest.map_structure(lambda x: x[None], rows)
  prev_action = sequences.from_trajectory(rows, actions).prev_action
  by_hand = np.arange(9) / 8 - 1
  by_hand[[t - 1 for t in (4, 7)]] = 0.0  # first steps: none has led there
  np.testing.assert_allclose(prev_action[0], np.stack([by_hand] * 2, 1))


def test_numbers_are_float32_whatever_the_environment_gave():
  rows = tf.nest.map_structure(lambda x: x[None], stored_rows())
  rows = rows._replace(
      reward=tf.cast(rows.reward, tf.float64),
      discount=tf.cast(rows.discount, tf.float64))
  result = sequences.from_trajectory(rows, ACTIONS)
  assert result.reward.dtype == result.continue_.dtype == tf.float32
  assert result.is_first.dtype == tf.bool


def test_two_rows_make_one():
  rows = sequence(3, length=2)
  assert rows.is_first.shape == (1, 1)
  assert bool(rows.is_first[0, 0])


def test_one_row_is_refused():
  with pytest.raises(ValueError, match='two rows or more'):
    sequence(0, length=1)
