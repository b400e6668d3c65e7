"""A process that resumes draws the batches of one that never stopped."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.experience import windows

_ROWS = 40  # of each environment's ring
_B, _T, _SEED = 6, 4, 5
_SCALAR = lambda dtype: tf.TensorSpec((), dtype)
_SPEC = trajectory.Trajectory(
    _SCALAR(tf.int32), {'n': tf.TensorSpec((2,), tf.int64)}, _SCALAR(tf.int32),
    (), _SCALAR(tf.int32), _SCALAR(tf.float32), _SCALAR(tf.float32),
)


def row(n, environments):
  """Row n; environment e has episodes of 7 + e rows."""
  lengths = 7 + np.arange(environments)
  kind = np.where(n % lengths == 0, 0, np.where(n % lengths + 1 == lengths,
                                                2, 1))
  number = n + 1000 * np.arange(environments)
  return trajectory.Trajectory(
      tf.constant(kind, tf.int32),
      {'n': tf.constant(np.stack([number, -number], 1), tf.int64)},
      tf.constant(kind, tf.int32), (), tf.constant(kind, tf.int32),
      tf.constant(number, tf.float32), tf.ones([environments]),
  )


class Process:
  """Buffer, store and samples of one process of a run."""

  def __init__(self, folder, law, environments, taken=0):
    self._environments = environments
    self.buffer = replay.make_buffer(
        _SPEC, environments, environments * _ROWS)
    self._store = store.Store(folder / 'replay', self.buffer)
    self.rows = self._store.load()
    self._law, self._taken = law, taken
    if taken:
      self.begin()

  def begin(self):
    self.samples = replay.Samples(
        self.buffer, _B, _T, self._law, seed=_SEED, taken=self._taken)

  def collect(self, first, count):
    for n in range(first, first + count):
      self.buffer.add_batch(row(n, self._environments))

  def loop(self, updates, first, each):
    """So many times: take a batch, then collect so many rows."""
    drawn = []
    for update in range(updates):
      drawn.append(self.samples.next().observation['n'].numpy())
      self.samples.settle()
      if update < updates - 1:
        self.collect(first + update * each, each)
    return drawn

  def save(self):
    self.samples.settle()
    self._store.save()
    return int(self.samples.taken)


@pytest.mark.parametrize('law', windows.LAWS)
@pytest.mark.parametrize('environments', [1, 3])
@pytest.mark.parametrize('prefill, each', [
    (12, 3),  # the ring is not full at the stop, and is soon after
    (40, 3),  # full: the next rows overwrite the oldest ones
    (95, 17),  # went round twice; a loop overwrites a large part
])
def test_stopped_and_resumed_equals_a_run_without_a_stop(
    tmp_path, law, environments, prefill, each):
  whole = Process(tmp_path / 'whole', law, environments)
  whole.collect(0, prefill)
  whole.begin()
  wanted = whole.loop(8, prefill, each)

  first = Process(tmp_path / 'parts', law, environments)
  first.collect(0, prefill)
  first.begin()
  found = first.loop(3, prefill, each)
  taken = first.save()
  second = Process(tmp_path / 'parts', law, environments, taken)
  end = prefill + 2 * each
  assert second.rows == min(end, _ROWS) and taken == 3
  second.collect(end, each)  # the writer is there before the first batch
  found += second.loop(2, end + each, each)
  taken = second.save()
  third = Process(tmp_path / 'parts', law, environments, taken)
  third.collect(end + 2 * each, each)
  found += third.loop(3, end + 3 * each, each)

  np.testing.assert_array_equal(found, wanted)
  assert len({batch.tobytes() for batch in wanted}) == 8


@pytest.mark.parametrize('law', windows.LAWS)
def test_another_seed_draws_other_windows(tmp_path, law):
  process = Process(tmp_path, law, 1)
  process.collect(0, 30)
  one, two = (
      replay.Samples(process.buffer, _B, _T, law, seed=seed).next()
      for seed in (1, 2))
  assert np.any(one.reward != two.reward)


def test_a_batch_is_the_same_wherever_its_rows_are_in_the_ring(tmp_path):
  one, other = Process(tmp_path, 'episodes', 2), Process(tmp_path, 'rows', 2)
  one.collect(0, 97)
  other.collect(57, 40)
  for law in windows.LAWS:
    batches = [
        replay.Samples(x.buffer, _B, _T, law, seed=3).next().reward.numpy()
        for x in (one, other)]
    np.testing.assert_array_equal(*batches)


def test_a_block_is_added_as_its_rows_one_by_one(tmp_path):
  for first, count in ((0, 7), (33, 20), (10, 95)):
    one, block = Process(tmp_path, 'rows', 3), Process(tmp_path, 'rows', 3)
    one.collect(0, first + count)
    block.collect(0, first)
    rows = [row(n, 3) for n in range(first, first + count)]
    block.buffer.append(
        tf.nest.map_structure(lambda *x: np.stack(x), *rows))
    for wanted, found in zip(
        one.buffer.variables(), block.buffer.variables(), strict=True):
      np.testing.assert_array_equal(found, wanted)
