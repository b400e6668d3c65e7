"""Tests of replay on disk: what comes back, which files there are."""

import numpy as np
import pytest
import tensorflow as tf
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store

CAPACITY = 10   # rows of each environment
SPEC = {
    'action': tf.TensorSpec((2,), tf.float32),
    'image': tf.TensorSpec((3, 4), tf.uint8),
    'nested': (tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.bool)),
}


class Process:
  """A buffer and its store, as one process has them."""

  def __init__(
      self, root_dir, num_environments=1, capacity=CAPACITY, kept=None):
    self._num_environments = num_environments
    self.buffer = replay.make_buffer(
        SPEC, num_environments, num_environments * capacity)
    self.store = store.Store(root_dir / 'replay', self.buffer, capacity, kept)

  def add(self, numbers):
    for number in numbers:
      number = number + 1000 * np.arange(self._num_environments)
      self.buffer.add_batch({
          'action': tf.constant(
              np.stack([number, -number], 1), tf.float32),
          'image': tf.constant(
              number[:, None, None] % 256 + np.zeros((3, 4)), tf.uint8),
          'nested': (tf.constant(number, tf.int64),
                     tf.constant(number % 3 == 0))})

  def rows(self):
    """Everything in the buffer, `[environments, rows, ...]`, oldest first."""
    return self.buffer.gather_all()

  def numbers(self):
    return self.rows()['nested'][0].numpy()


def files(root_dir):
  """Numbers of the first rows of the files, and how many rows are in each."""
  result = {}
  for path in sorted((root_dir / 'replay').iterdir()):
    with np.load(path) as arrays:
      result[int(path.stem)] = len(arrays['0'])
  return result


@pytest.mark.parametrize('num_environments', [1, 3])
def test_rows_come_back_as_they_were_in_every_column(
    tmp_path, num_environments):
  before, after = (Process(tmp_path, num_environments) for _ in range(2))
  before.add(range(7))
  before.store.save()
  assert after.store.load() == 7
  tf.nest.map_structure(
      np.testing.assert_array_equal, before.rows(), after.rows())
  assert after.numbers().shape == (num_environments, 7)


@pytest.mark.parametrize('rows', [10, 11, 27])
def test_a_full_ring_comes_back_in_the_order_of_collection(tmp_path, rows):
  before, after = Process(tmp_path, 2), Process(tmp_path, 2)
  before.add(range(rows))
  before.store.save()
  after.store.load()
  last = np.arange(rows - 10, rows)
  np.testing.assert_array_equal(after.numbers(), [last, last + 1000])


def test_each_save_writes_only_what_is_new(tmp_path):
  process = Process(tmp_path)
  process.add(range(4))
  process.store.save()
  first = tmp_path / 'replay' / '000000000000.npz'
  written = first.stat().st_mtime_ns
  process.add(range(4, 9))
  process.store.save()
  assert files(tmp_path) == {0: 4, 4: 5}
  assert first.stat().st_mtime_ns == written


def test_a_save_with_nothing_new_writes_nothing(tmp_path):
  process = Process(tmp_path)
  process.store.save()
  assert not list(tmp_path.iterdir())
  process.add(range(4))
  process.store.save()
  process.store.save()
  assert files(tmp_path) == {0: 4}


def test_loading_from_a_new_folder_gives_0_rows_and_makes_nothing(tmp_path):
  assert Process(tmp_path).store.load() == 0
  assert not list(tmp_path.iterdir())


def test_a_save_names_its_file_by_the_number_of_its_first_row(tmp_path):
  process = Process(tmp_path)
  process.add(range(4))
  process.store.save()
  assert [p.name for p in (tmp_path / 'replay').iterdir()] == [
      '000000000000.npz']


def test_files_that_memory_forgot_are_dropped_and_no_others(tmp_path):
  process = Process(tmp_path)
  kept = []
  for start in range(0, 24, 4):
    process.add(range(start, start + 4))
    process.store.save()
    kept.append(list(files(tmp_path)))
  # Of 16 rows the last 10 start at 6: file 4 still holds two of them.
  assert kept == [
      [0], [0, 4], [0, 4, 8], [4, 8, 12], [8, 12, 16], [12, 16, 20]]


def test_rows_overwritten_before_a_save_are_not_on_disk(tmp_path):
  process = Process(tmp_path)
  process.add(range(3))
  process.store.save()
  process.add(range(3, 25))
  process.store.save()
  assert files(tmp_path) == {15: 10}


def test_a_save_that_crosses_the_end_of_the_ring_keeps_its_order(tmp_path):
  before, after = Process(tmp_path), Process(tmp_path)
  before.add(range(8))
  before.store.save()
  before.add(range(8, 13))
  before.store.save()
  with np.load(tmp_path / 'replay' / '000000000008.npz') as arrays:
    np.testing.assert_array_equal(arrays['2'][:, 0], range(8, 13))
  after.store.load()
  np.testing.assert_array_equal(after.numbers(), [range(3, 13)])


def test_a_second_process_goes_on_counting(tmp_path):
  one, two, three = (Process(tmp_path) for _ in range(3))
  one.add(range(4))
  one.store.save()
  two.store.load()
  two.add(range(4, 7))
  two.store.save()
  assert files(tmp_path) == {0: 4, 4: 3}
  assert three.store.load() == 7
  np.testing.assert_array_equal(three.numbers(), [range(7)])


def test_numbers_go_on_over_processes_after_files_were_dropped(tmp_path):
  processes = [Process(tmp_path) for _ in range(5)]
  for i, process in enumerate(processes):
    process.store.load()
    process.add(range(6 * i, 6 * i + 6))
    process.store.save()
  assert files(tmp_path) == {18: 6, 24: 6}
  last = Process(tmp_path)
  last.store.load()
  np.testing.assert_array_equal(last.numbers(), [range(20, 30)])


def test_loading_alone_writes_nothing_new(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  one.add(range(4))
  one.store.save()
  two.store.load()
  two.store.save()
  assert files(tmp_path) == {0: 4}


@pytest.mark.parametrize('capacity', [5, 20])
def test_a_run_may_go_on_with_another_capacity(tmp_path, capacity):
  one, two, three = (
      Process(tmp_path), Process(tmp_path, capacity=capacity),
      Process(tmp_path, capacity=capacity))
  one.add(range(8))
  one.store.save()
  two.store.load()
  two.add(range(8, 10))
  two.store.save()
  three.store.load()
  first = max(0, 10 - capacity)
  np.testing.assert_array_equal(three.numbers(), [range(first, 10)])


def test_what_does_not_fit_in_memory_stays_on_disk_for_a_larger_one(tmp_path):
  first = Process(tmp_path)
  first.add(range(9))
  first.store.save()
  small = Process(tmp_path, capacity=4, kept=CAPACITY)
  small.store.load()
  assert small.numbers().tolist() == [[5, 6, 7, 8]]
  small.add([9])
  small.store.save()
  assert store.rows(tmp_path / 'replay') == 10
  large = Process(tmp_path)
  large.store.load()
  assert large.numbers().tolist() == [list(range(10))]
  small.add(range(10, 13))
  small.store.save()
  assert store.rows(tmp_path / 'replay') == 13
  assert list(files(tmp_path)) == [0, 9, 10]
  small.add(range(13, 17))
  small.add(range(17, 20))
  small.store.save()  # after 3 rows were overwritten that nothing had saved
  assert list(files(tmp_path)) == [16] and large.store.missing == 0
  assert store.rows(tmp_path / 'replay') == 4


def test_nothing_is_stored_in_a_folder_that_is_not_there(tmp_path):
  assert store.rows(tmp_path / 'none' / 'replay') == 0


def test_a_file_that_was_being_written_when_the_process_died_is_ignored(
    tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  one.add(range(4))
  one.store.save()
  (tmp_path / 'replay' / '000000000004.part').write_bytes(b'PK half a file')
  assert two.store.load() == 4


def test_rows_of_another_number_of_environments_are_refused(tmp_path):
  one, two = (Process(tmp_path, num_environments=n) for n in (3, 2))
  one.add(range(4))
  one.store.save()
  with pytest.raises(
      ValueError, match='by 3 environments; got 2. Set train.environments = 3'):
    two.store.load()


# Damaged files ----------------------------------------------------------------


@pytest.mark.parametrize('left', [0, 20, 300, -1])
def test_a_cut_file_is_refused_by_its_name_and_stays(tmp_path, left):
  one, two = Process(tmp_path), Process(tmp_path)
  one.add(range(4))
  one.store.save()
  path = tmp_path / 'replay' / '000000000000.npz'
  path.write_bytes(path.read_bytes()[:left])
  for read in (two.store.load, lambda: store.read(tmp_path / 'replay', SPEC)):
    with pytest.raises(ValueError, match=rf'{path} cannot be read \(') as error:
      read()
    assert 'or remove it' in str(error.value)
    assert '\n' not in str(error.value)
  assert path.exists()


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  (tmp_path / 'replay').mkdir()
  path = tmp_path / 'replay' / '000000000000.npz'
  np.savez(path, **{'0': np.zeros([4, 1, 2])})
  with pytest.raises(ValueError, match=f'{path} are of another form'):
    one.store.load()
  np.savez(path, step=np.zeros([4, 1, 2]))
  with pytest.raises(ValueError, match=f'{path} cannot be read'):
    two.store.load()


@pytest.mark.parametrize('name', [
    'copy of 000000000000.npz', '000000000004.part', 'notes.txt'])
def test_files_of_other_names_are_no_rows(tmp_path, name):
  one, two = Process(tmp_path), Process(tmp_path)
  one.add(range(4))
  one.store.save()
  (tmp_path / 'replay' / name).write_bytes(b'x')
  assert two.store.load() == 4


def test_no_file_is_written_over_where_one_in_the_middle_is_gone(tmp_path):
  one, two, three = (Process(tmp_path) for _ in range(3))
  for start in (0, 3, 6):
    one.add(range(start, start + 3))
    one.store.save()
  (tmp_path / 'replay' / '000000000003.npz').unlink()
  assert two.store.load() == 6 and two.store.missing == 3
  two.add(range(9, 12))
  two.store.save()
  assert files(tmp_path) == {0: 3, 6: 3, 9: 3}
  three.store.load()
  assert three.numbers().tolist() == [[0, 1, 2, 6, 7, 8, 9, 10, 11]]


@pytest.mark.parametrize('gone', [0, 3, 6])
def test_rows_that_are_gone_are_counted_wherever_they_were(tmp_path, gone):
  one, two = Process(tmp_path), Process(tmp_path)
  for start in (0, 3, 6):
    one.add(range(start, start + 3))
    one.store.save()
  (tmp_path / 'replay' / f'{gone:012d}.npz').unlink()
  assert two.store.load() == 6 and two.store.missing == 3
  two.add(range(9, 12))
  two.store.save()
  assert max(files(tmp_path)) == 9


def test_no_row_is_missed_where_memory_forgot_it(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  for start in range(0, 40, 4):
    one.add(range(start, start + 4))
    one.store.save()
  assert min(files(tmp_path)) > 0
  two.store.load()
  assert two.store.missing == 0


def test_no_row_is_missed_where_a_kill_came_before_they_were_counted(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  one.add(range(3))
  one.store.save()
  span = (tmp_path / 'replay.json').read_text()
  one.add(range(3, 6))
  one.store.save()
  (tmp_path / 'replay.json').write_text(span)
  assert two.store.load() == 6 and two.store.missing == 0


def test_a_copy_under_another_name_is_refused(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  for start in (0, 3):
    one.add(range(start, start + 3))
    one.store.save()
  folder = tmp_path / 'replay'
  (folder / '000000000001.npz').write_bytes(
      (folder / '000000000000.npz').read_bytes())
  with pytest.raises(ValueError, match='000001.npz begins before the file bef'):
    two.store.load()


# Numbers that are not finite --------------------------------------------------

ROW = trajectory.Trajectory(
    step_type=tf.TensorSpec((), tf.int32),
    observation={'x': tf.TensorSpec((2,), tf.float32)},
    action=tf.TensorSpec((), tf.int32), policy_info=(),
    next_step_type=tf.TensorSpec((), tf.int32),
    reward=tf.TensorSpec((), tf.float32),
    discount=tf.TensorSpec((), tf.float32))


def write_rows(
    root_dir, types, first=0, bad=(), key='observation', num_environments=1):
  """A file of rows with these step types, numbered in `action`."""
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
  np.savez(root_dir / 'replay' / f'{first:012d}.npz', **{
      str(i): columns[field].astype(spec.dtype.as_numpy_dtype)
      for i, (field, spec) in enumerate(zip(
          columns, tf.nest.flatten(ROW), strict=True))})


def load_rows(root_dir, num_environments=1):
  """Numbers and step types of the first environment that a buffer loads."""
  buffer = replay.make_buffer(ROW, num_environments, 50 * num_environments)
  kept = store.Store(root_dir / 'replay', buffer, 50)
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
  assert files(tmp_path) == {0: 3, 3: 1, 4: 2}


def test_a_folder_of_such_rows_alone_has_none(tmp_path):
  write_rows(tmp_path, [0, 1], bad=[0, 1])
  buffer = replay.make_buffer(ROW, 1, 50)
  assert store.Store(tmp_path / 'replay', buffer, 50).load() == 0


def test_rows_that_are_added_are_finite_before_they_reach_the_disk(tmp_path):
  buffer = replay.make_buffer(ROW, 1, 50)
  kept = store.Store(tmp_path / 'replay', buffer, 50)
  rows = tf.nest.map_structure(
      lambda spec: np.ones([3, 1, *spec.shape], spec.dtype.as_numpy_dtype), ROW)
  rows.reward[1] = 1e30   # its square is infinite
  kept.add(rows)
  kept.save()
  assert files(tmp_path) == {0: 2}


def stored(tmp_path, numbers=range(12), num_environments=2):
  process = Process(tmp_path, num_environments, capacity=100)
  for number in numbers:
    process.add([number])
    if number % 5 == 4:
      process.store.save()
  process.store.save()


def test_rows_are_read_without_a_buffer_oldest_first(tmp_path):
  stored(tmp_path)
  rows = store.read(tmp_path / 'replay', SPEC)
  assert rows['nested'][0][:, 0].tolist() == list(range(12))
  assert rows['nested'][0][:, 1].tolist() == list(range(1000, 1012))
  assert rows['action'].shape == (12, 2, 2)


def test_the_newest_rows_are_read_where_they_are_enough(tmp_path):
  stored(tmp_path)   # in files of 5, 5 and 2 rows
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
  found = store.windows(episodes(4, 3, 5), 200, 3, seed=0).reward.numpy()
  assert found.shape == (200, 3)
  assert (np.diff(found, axis=1) == 1).all()
  assert set(found[:, 0]) == {*range(10), *range(1000, 1010)}


def test_a_whole_window_is_inside_one_episode():
  found = store.windows(episodes(4, 3, 5), 200, 3, seed=0, whole=True)
  assert {x % 1000 for x in found.reward.numpy()[:, 0]} == {0, 1, 4, 7, 8, 9}
  assert (found.step_type.numpy()[:, 1:] != 0).all()


def test_windows_longer_than_what_is_stored_are_refused():
  with pytest.raises(ValueError, match='No 13 stored rows.*12'):
    store.windows(episodes(4, 3, 5), 1, 13, seed=0)
  with pytest.raises(ValueError, match='No 6 .*one episode'):
    store.windows(episodes(4, 3, 5), 1, 6, seed=0, whole=True)
