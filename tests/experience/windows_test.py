"""Tests of windows drawn by episode: what they hold, and how often."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import windows

FIRST, MID, LAST = 0, 1, 2


def types_of(*lengths, ended=True):
  """Step types of episodes with so many rows each."""
  rows = [[FIRST] + [MID] * (n - 2) + [LAST] for n in lengths]
  types = np.concatenate(rows)
  if not ended:
    types[-1] = MID
  return types


def buffer_of(types, capacity=None):
  """A buffer of rows numbered by time, environment e from 1000 e on."""
  types = np.atleast_2d(types)
  scalar = lambda dtype: tf.TensorSpec((), dtype)
  spec = trajectory.Trajectory(
      scalar(tf.int32), {'n': scalar(tf.int64)}, scalar(tf.int32), (),
      scalar(tf.int32), scalar(tf.float32), scalar(tf.float32),
  )
  num_environments, rows = types.shape
  buffer = replay.make_buffer(
      spec, num_environments, capacity or num_environments * rows)
  zeros = tf.zeros([num_environments], tf.int32)
  for n in range(rows):
    buffer.add_batch(trajectory.Trajectory(
        tf.constant(types[:, n], tf.int32),
        {'n': tf.constant(n + 1000 * np.arange(num_environments), tf.int64)},
        zeros, (), zeros, tf.zeros([num_environments]),
        tf.zeros([num_environments]),
    ))
  return buffer


def starts(samples, batches):
  """Numbers of the first model rows, one after the stored row before."""
  drawn = np.concatenate(
      [samples.next().observation['n'] for _ in range(batches)]
  )
  np.testing.assert_array_equal(np.diff(drawn, axis=1), 1)
  return drawn[:, 1]


def chi_square(found, chances, count):
  """Of how often each key of `chances` was found; none other may be."""
  assert set(np.unique(found)) <= set(chances)
  counts = np.array([np.sum(found == key) for key in chances])
  wanted = count * np.array(list(chances.values()))
  return np.sum((counts - wanted) ** 2 / wanted)


# The law.


# Episodes of 7, 5 and 9 rows; windows of T = 4 model rows.
#
#   rows        0 .. 6        7 .. 11      12 ... 20
#   model rows  1 .. 6        7 .. 11      12 ... 20    nothing leads into 0
#   windows at  1 2 3         7 8          12 ... 17
_LENGTHS, _T = (7, 5, 9), 4


def test_an_episode_then_a_window_of_it_uniformly():
  chances = dict.fromkeys((1, 2, 3), 1 / 3 / 3)
  chances |= dict.fromkeys((7, 8), 1 / 3 / 2)
  chances |= dict.fromkeys(range(12, 18), 1 / 3 / 6)
  samples = replay.Samples(
      buffer_of(types_of(*_LENGTHS)), 60, _T, 'episodes', seed=7
  )
  found = starts(samples, 50)
  # 10 degrees of freedom: one run in 1000 fails.
  assert chi_square(found, chances, 3000) < 29.6


def test_ends_are_as_likely_as_in_the_published_package():
  # There: min(randint(total - T + 1 + T), total - T).
  def of_one(first, total):
    ways = total + 1
    others = {first + i: 1 / 3 / ways for i in range(total - _T)}
    return others | {first + total - _T: (_T + 1) / 3 / ways}

  chances = of_one(1, 6) | of_one(7, 5) | of_one(12, 9)
  samples = replay.Samples(
      buffer_of(types_of(*_LENGTHS)), 60, _T, 'episodes_ends', seed=7
  )
  found = starts(samples, 50)
  assert chi_square(found, chances, 3000) < 29.6


def test_the_chances_are_those_of_a_naive_twin():
  rng = np.random.default_rng(0)
  draws = rng.random([4000, 2])
  types = types_of(6, 11, 5)
  twin = []
  for episode, j in draws:
    first, last = [(1, 5), (6, 16), (17, 21)][int(episode * 3)]
    total = last - first + 1
    upper = total - _T + 1 + _T
    twin.append(first - 1 + min(int(j * upper), total - _T))
  found = windows.draw(types[None], draws, _T, ends=True)
  np.testing.assert_array_equal(found[:, 1], twin)


def test_rows_are_uniform_and_windows_go_over_ends():
  samples = replay.Samples(buffer_of(types_of(*_LENGTHS)), 60, _T, seed=7)
  found = starts(samples, 50)
  chances = dict.fromkeys(range(1, 18), 1 / 17)
  assert chi_square(found, chances, 3000) < 39.3  # 16 degrees of freedom


# What is drawn.


def test_a_window_stays_inside_its_episode():
  buffer = buffer_of(types_of(7, 5, 9, 6))
  samples = replay.Samples(buffer, 50, _T, 'episodes', seed=7)
  for _ in range(5):
    types = samples.next().step_type.numpy()[:, 1:]  # model rows
    assert not (types[:, 1:] == FIRST).any()
    assert not (types[:, :-1] == LAST).any()


def test_the_first_row_of_an_episode_is_drawn_too():
  samples = replay.Samples(
      buffer_of(types_of(7, 5)), 50, _T, 'episodes', seed=7)
  types = samples.next().step_type.numpy()
  assert ((types[:, 0] == LAST) & (types[:, 1] == FIRST)).any()


def test_an_episode_that_goes_on_waits_for_its_end():
  types = np.concatenate([types_of(6), types_of(9, ended=False)])
  places = windows.draw(
      types[None], np.random.default_rng(1).random([200, 2]), 3, ends=False
  )
  assert places[:, 1].max() + 3 <= 5


def test_where_none_has_ended_those_that_go_on_are_drawn():
  types = types_of(9, ended=False)
  places = windows.draw(
      types[None], np.random.default_rng(1).random([200, 2]), 3, ends=False
  )
  assert set(places[:, 1]) == set(range(6))


def test_an_environment_that_began_anew_without_an_end_has_ended():
  types = np.array([FIRST, MID, MID, FIRST, MID, MID, MID])
  spans, ended = windows.episodes(types)
  np.testing.assert_array_equal(spans, [[1, 2], [3, 6]])
  np.testing.assert_array_equal(ended, [True, False])


def test_a_short_episode_is_taken_whole_with_what_follows():
  types = types_of(3, 3, 3, 3, 3, 3)
  places = windows.draw(
      types[None], np.random.default_rng(1).random([300, 2]), 5, ends=True
  )
  # Model rows begin with an episode, but at the newest, where none follow.
  assert set(places[:, 1]) == {0, 2, 5, 8, 11, 12}


def test_what_is_left_of_an_episode_after_the_oldest_rows_counts():
  buffer = buffer_of(types_of(9, 8), capacity=12)
  samples = replay.Samples(buffer, 50, _T, 'episodes', seed=7)
  found = starts(samples, 10)
  # Row 5 is the oldest: 6 to 8 of the first episode, less than a window.
  assert set(np.unique(found)) == {6, *range(9, 14)}


def test_episodes_of_all_environments_are_drawn_alike():
  types = np.stack([types_of(9, 9), types_of(6, 12)])
  samples = replay.Samples(buffer_of(types), 60, _T, 'episodes', seed=7)
  found = starts(samples, 40)
  place = np.minimum(found // 1000 * 2 + (found % 1000 >= np.where(
      found < 1000, 9, 6)), 3)
  assert chi_square(place, dict.fromkeys(range(4), 0.25), 2400) < 16.3


@pytest.mark.parametrize('rows', [13, 29])  # the second went round twice
def test_all_parts_of_a_row_are_of_one_row(rows):
  types = np.resize(types_of(5, 6), rows)
  buffer = buffer_of(np.stack([types, types]), capacity=24)
  samples = replay.Samples(buffer, 30, 3, 'episodes_ends', seed=7)
  batch = samples.next()
  number = batch.observation['n'].numpy() % 1000
  np.testing.assert_array_equal(batch.step_type, types[number])
  assert number.min() >= rows - 12


# The pipeline.


def test_the_same_seed_draws_the_same_windows():
  def run():
    samples = replay.Samples(
        buffer_of(types_of(9, 7)), 6, _T, 'episodes_ends', seed=7
    )
    return [starts(samples, 1) for _ in range(4)]

  ones, others = run(), run()
  np.testing.assert_array_equal(ones, others)
  assert not np.array_equal(ones[0], ones[1])


def test_rows_that_are_added_are_drawn_after_settling():
  buffer = buffer_of(types_of(6, 6), capacity=12)
  samples = replay.Samples(buffer, 30, _T, 'episodes', seed=7)
  draw = tf.function(samples.next)
  draw()
  samples.settle()
  zero = tf.zeros([1], tf.int32)
  for n, step_type in enumerate(types_of(6, 6), 12):
    buffer.add_batch(trajectory.Trajectory(
        tf.constant([step_type], tf.int32), {'n': tf.constant([n], tf.int64)},
        zero, (), zero, tf.zeros([1]), tf.zeros([1]),
    ))
  assert draw().observation['n'].numpy().max() < 12  # was drawn ahead
  assert draw().observation['n'].numpy().min() >= 12


def test_too_few_rows_are_refused():
  with pytest.raises(ValueError, match='holds 4 rows.*takes 5'):
    windows.draw(types_of(4)[None], np.zeros([1, 2]), 4, ends=False)


def test_an_unknown_law_is_refused():
  with pytest.raises(ValueError, match="train.sampling must be one of 'rows'"):
    replay.Samples(buffer_of(types_of(9)), 2, _T, 'uniform', seed=7)


@pytest.mark.parametrize('length, count, wanted', [
    (3, 9, [[0, 6], [1, 6], [1, 3], [1, 0]]),
    (3, 2, [[0, 6], [1, 6]]),
    (4, 9, [[0, 5], [1, 5], [1, 1]]),
    (9, 9, [[1, 0]]),
    (10, 9, []),
])
def test_the_newest_windows_are_inside_an_episode(length, count, wanted):
  types = np.array([[1, 1, 1, 1, 2, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1, 1, 2]])
  found = windows.newest(types, length, count).tolist()
  for environment, start in found:
    assert not (types[environment, start + 1:start + length] == 0).any()
  assert found == wanted


def test_an_episode_whose_first_rows_were_overwritten_has_windows_too():
  types = np.array([[1, 1, 1, 1, 1, 2], [1, 1, 1, 0, 1, 1]])
  assert windows.newest(types, 3, 9).tolist() == [[0, 3], [1, 3], [0, 0]]


def test_without_rows_there_is_no_window():
  assert windows.newest(np.zeros([2, 0], np.int32), 3, 9).tolist() == []
