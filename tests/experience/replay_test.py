"""Tests of replay memory: its size, its windows, and who reads it when."""

import re
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import memory
from dreamerv2_tfa.experience import replay

SPEC = {
    'image': tf.TensorSpec((4, 5, 3), tf.uint8),   # 60 bytes
    'reward': tf.TensorSpec((), tf.float32),       # 4
    'position': tf.TensorSpec((2,), tf.float64),   # 16
}
ROW_BYTES = 60 + 4 + 16 + 8   # TF-Agents keeps an int64 id with each row
NUMBER = {'number': tf.TensorSpec((), tf.int64)}


def numbered_buffer(rows, capacity, num_environments=1):
  """A buffer whose rows hold their number, plus 1000 an environment."""
  buffer = replay.make_buffer(NUMBER, num_environments, capacity)
  add(buffer, range(rows), num_environments)
  return buffer


def add(buffer, numbers, num_environments=1):
  for number in numbers:
    row = number + 1000 * np.arange(num_environments)
    buffer.add_batch({'number': tf.constant(row, tf.int64)})


def pretend_memory(monkeypatch, total, free=None):
  monkeypatch.setattr(memory, 'total', lambda: total)
  monkeypatch.setattr(memory, 'free', lambda: total if free is None else free)


def fit(asked, *, reserve=0, shrink=False, least=12):
  return replay.fit(
      SPEC, asked, reserve=reserve, shrink=shrink, least=least)


# Size.


def test_required_bytes_by_hand():
  assert replay.required_bytes(SPEC, 7) == 7 * ROW_BYTES


def test_required_bytes_are_those_that_the_buffer_allocates():
  buffer = replay.make_buffer(SPEC, 3, 12)
  tables = [v for v in buffer.variables() if v.shape.rank]
  allocated = sum(v.dtype.size * int(tf.size(v)) for v in tables)
  assert replay.required_bytes(SPEC, 12) == allocated


def test_the_description_says_rows_bytes_and_memory(monkeypatch):
  pretend_memory(monkeypatch, 16 * 10**9, 12 * 10**9)
  assert replay.describe(fit(10**7)) == (
      'Replay memory: 10,000,000 steps x 88 bytes = 0.9 GB; 12.0 GB of 16.0 GB '
      'are free. The folder replay/ takes up to 1.0 GB.')


def test_a_capacity_that_just_fits_beside_the_rest_is_taken(monkeypatch):
  pretend_memory(monkeypatch, 10**9, 700 * ROW_BYTES)
  assert fit(500, reserve=200 * ROW_BYTES).rows == 500
  with pytest.raises(ValueError, match='train.replay_capacity = 500'):
    fit(501, reserve=200 * ROW_BYTES)


def test_what_is_free_counts_and_not_what_the_machine_has(monkeypatch):
  pretend_memory(monkeypatch, 10**12, 10**5 * ROW_BYTES)
  with pytest.raises(ValueError) as refusal:
    fit(5 * 10**7, reserve=12_345 * ROW_BYTES)
  message = str(refusal.value)
  assert (
      '50,000,000 steps needs 4.4 GB; 8.8 MB of 1000.0 GB are free' in message)
  advice = re.search(r"--gin_bindings='train.replay_capacity = (\d+)'", message)
  assert int(advice.group(1)) == 87_000  # whole thousands below 87,655
  assert fit(87_000, reserve=12_345 * ROW_BYTES).rows == 87_000


def test_a_capacity_out_of_a_preset_is_made_to_fit_and_the_line_says_so(
    monkeypatch):
  pretend_memory(monkeypatch, 24 * 10**9, 91 * 10**8)
  found = fit(2 * 10**9, reserve=3 * 10**9, shrink=True)
  assert (found.rows, found.asked) == (69_318_000, 2 * 10**9)
  assert replay.describe(found) == (
      'Replay memory: 69,318,000 of the 2,000,000,000 steps that were asked '
      'for, 6.1 GB, because 9.1 GB of 24.0 GB are free, of which TensorFlow '
      'and the updates need about 3.0 GB; older steps are forgotten after '
      '69,318,000. The folder replay/ takes up to 193.6 GB.')


def test_the_line_says_which_stored_steps_do_not_fit(monkeypatch):
  pretend_memory(monkeypatch, 10**9, 700 * ROW_BYTES)
  found = fit(1000, shrink=True)
  assert 'stored' not in replay.describe(found, 700)
  assert (
      'Of the 701 stored steps the oldest 1 do not fit and are not learned '
      'from; they stay on disk.') in replay.describe(found, 701)
  # A file more than was asked for is no loss.
  assert 'stored' not in replay.describe(fit(600), 640)


def test_a_small_replay_memory_is_taken_where_the_rest_alone_is_too_large(
    monkeypatch):
  pretend_memory(monkeypatch, 10**9, 1000 * ROW_BYTES)
  assert fit(100, reserve=10**9).rows == 100
  with pytest.raises(ValueError, match='replay_capacity = 100'):
    fit(101, reserve=10**9)


def test_nothing_is_taken_where_no_two_sequences_fit(monkeypatch):
  pretend_memory(monkeypatch, 10**9, 110 * ROW_BYTES)
  assert fit(100, reserve=10**9, shrink=True, least=11).rows == 11
  with pytest.raises(ValueError, match='Free some; or raise the limit'):
    fit(100, reserve=10**9, shrink=True, least=12)


def test_a_capacity_of_less_than_two_sequences_is_refused():
  replay.check(12, sequence_length=5, prefill=6)
  with pytest.raises(ValueError, match='wanted 12 or more'):
    replay.check(11, sequence_length=5, prefill=6)


def test_a_prefill_that_holds_no_sequence_is_refused():
  replay.check(100, sequence_length=5, prefill=6)
  with pytest.raises(ValueError, match=r'train.prefill = 5.*wanted 6 or more'):
    replay.check(100, sequence_length=5, prefill=5)


def test_each_of_several_environments_must_hold_its_sequences():
  replay.check(36, sequence_length=5, prefill=18, num_environments=3)
  with pytest.raises(ValueError, match='each of 3 environments; wanted 18'):
    replay.check(36, sequence_length=5, prefill=17, num_environments=3)
  with pytest.raises(ValueError, match='each of 3 environments; wanted 36'):
    replay.check(35, sequence_length=5, prefill=18, num_environments=3)


def test_the_capacity_is_shared_by_the_environments():
  buffer = replay.make_buffer(NUMBER, 3, 12)
  assert int(buffer.capacity) == 12
  add(buffer, range(5), 3)   # each holds four
  assert int(buffer.num_frames()) == 12


# Samples.


def test_a_sample_has_b_windows_of_t_plus_1_rows():
  samples = replay.Samples(numbered_buffer(9, 20), 3, sequence_length=4, seed=7)
  assert samples.next()['number'].shape == (3, 5)


def windows(samples, count):
  return np.concatenate([samples.next()['number'] for _ in range(count)])


@pytest.mark.parametrize('rows', [9, 27])   # the second wraps around
def test_windows_are_consecutive_rows_in_the_order_of_collection(rows):
  samples = replay.Samples(
      numbered_buffer(rows, 10), 7, sequence_length=4, seed=7)
  drawn = windows(samples, 20)
  np.testing.assert_array_equal(np.diff(drawn, axis=1), 1)
  assert drawn.min() >= rows - 10 and drawn.max() <= rows - 1


def test_windows_start_at_every_row_that_has_room_alike_often():
  samples = replay.Samples(
      numbered_buffer(9, 20), 50, sequence_length=4, seed=7)
  starts, counts = np.unique(windows(samples, 20)[:, 0], return_counts=True)
  np.testing.assert_array_equal(starts, range(5))
  chi_square = ((counts - 200) ** 2 / 200).sum()
  assert chi_square < 18.5   # 4 degrees of freedom: one run in 1000 fails


def test_a_window_stays_with_one_environment():
  samples = replay.Samples(
      numbered_buffer(9, 20, num_environments=2), 7, sequence_length=4, seed=7)
  drawn = windows(samples, 10)
  np.testing.assert_array_equal(np.diff(drawn, axis=1), 1)
  assert set(np.unique(drawn // 1000)) == {0, 1}


def test_exactly_as_many_rows_as_a_window_needs_are_enough():
  samples = replay.Samples(numbered_buffer(5, 20), 2, sequence_length=4, seed=7)
  np.testing.assert_array_equal(
      samples.next()['number'], [[0, 1, 2, 3, 4]] * 2)


# Settling.


class SlowBuffer(buffer_lib.Buffer):
  """Gives the present value of `number` after a while."""

  def __init__(self, seconds):
    super().__init__(NUMBER, 1, 20)
    self.number = 0
    self._seconds = seconds
    add(self, range(20))

  def read(self, index):
    def present():
      time.sleep(self._seconds)
      return np.int64(self.number)

    number = tf.py_function(present, [], tf.int64)
    return {'number': tf.fill(tf.shape(index), number)}


def test_after_settling_the_next_batch_is_older_than_what_is_written_then():
  buffer = SlowBuffer(0.2)
  samples = replay.Samples(buffer, 2, sequence_length=4, seed=7)
  drawn = [samples.next()]
  for number in (1, 2):
    samples.settle()
    buffer.number = number
    drawn.append(samples.next())
  # One batch is drawn ahead: what is written shows two batches later.
  assert [int(batch['number'][0, 0]) for batch in drawn] == [0, 0, 1]


def test_a_batch_drawn_inside_a_function_is_counted_too():
  buffer = SlowBuffer(0.2)
  samples = replay.Samples(buffer, 2, sequence_length=4, seed=7)
  draw = tf.function(lambda: samples.next()['number'][0, 0])
  drawn = [int(draw())]
  for number in (1, 2):
    samples.settle()
    buffer.number = number
    drawn.append(int(draw()))
  assert drawn == [0, 0, 1]


def test_settling_before_the_first_batch_returns_at_once():
  samples = replay.Samples(numbered_buffer(9, 20), 2, sequence_length=4, seed=7)
  start = time.monotonic()
  samples.settle()
  assert time.monotonic() - start < 1.0


def test_settling_waits_for_a_batch_that_another_thread_is_about_to_take():
  samples = replay.Samples(numbered_buffer(9, 20), 2, sequence_length=4, seed=7)
  taker = threading.Timer(0.3, samples.next)
  taker.start()
  samples.settle(1)
  assert int(samples.taken) == 1
  taker.join()


def test_no_more_than_one_batch_is_drawn_ahead():
  buffer = numbered_buffer(9, 20)
  samples = replay.Samples(buffer, 2, sequence_length=4, seed=7)
  samples.next()
  samples.settle()
  time.sleep(0.2)
  add(buffer, range(100, 120))   # overwrites every row
  assert int(samples.next()['number'].numpy().max()) < 9
  assert int(samples.next()['number'].numpy().min()) >= 100


def test_settling_twice_waits_for_nothing():
  samples = replay.Samples(numbered_buffer(9, 20), 2, sequence_length=4, seed=7)
  samples.next()
  samples.settle()
  start = time.monotonic()
  samples.settle()
  assert time.monotonic() - start < 1.0
