"""Tests of replay on disk: what comes back, which files there are."""

import json
import os

import numpy as np
import pytest
import stored
import tensorflow as tf

from dreamerv2_tfa.experience import segments
from dreamerv2_tfa.experience import store

CAPACITY, SPEC = stored.CAPACITY, stored.SPEC
Process, files = stored.Process, stored.files


@pytest.fixture(autouse=True)
def halves(monkeypatch):
  """A segment holds half of the capacity."""
  monkeypatch.setattr(store, '_SHARE', 2)


def segment(root_dir, first):
  return root_dir / 'replay' / f'{first:012d}.tfrecord'


@pytest.mark.parametrize('num_environments', [1, 3])
def test_rows_come_back_as_they_were_in_every_column(
    tmp_path, num_environments):
  before, after = (Process(tmp_path, num_environments) for _ in range(2))
  before.save(range(7))
  assert after.store.load() == 7
  tf.nest.map_structure(
      np.testing.assert_array_equal, before.rows(), after.rows())
  assert np.shape(after.numbers()) == (num_environments, 7)


@pytest.mark.parametrize('rows', [10, 11, 27])
def test_a_full_ring_comes_back_in_the_order_of_collection(tmp_path, rows):
  before, after = Process(tmp_path, 2), Process(tmp_path, 2)
  before.save(range(rows))
  after.store.load()
  last = np.arange(rows - 10, rows)
  np.testing.assert_array_equal(after.numbers(), [last, last + 1000])


def test_a_save_appends_only_what_is_new(tmp_path):
  process = Process(tmp_path)
  assert process.save(range(3)) == 3
  before = segment(tmp_path, 0).read_bytes()
  assert process.save(range(3, 5)) == 5
  after = segment(tmp_path, 0).read_bytes()
  assert after.startswith(before) and files(tmp_path) == {0: 5}
  assert process.save(range(5, 9)) == 9
  assert segment(tmp_path, 0).read_bytes() == after
  assert files(tmp_path) == {0: 5, 5: 4}


def test_a_save_with_nothing_new_writes_nothing(tmp_path):
  process = Process(tmp_path)
  assert process.store.save() == 0
  assert not list(tmp_path.iterdir())
  process.save(range(4))
  written = segment(tmp_path, 0).stat().st_mtime_ns
  assert process.store.save() == 4
  assert files(tmp_path) == {0: 4}
  assert segment(tmp_path, 0).stat().st_mtime_ns == written


def test_loading_from_a_new_folder_gives_0_rows_and_makes_nothing(tmp_path):
  process = Process(tmp_path)
  assert process.store.load() == 0 and process.store.missing == 0
  assert not list(tmp_path.iterdir())


def test_a_segment_is_a_tfrecord_file_that_can_be_mapped(tmp_path):
  process = Process(tmp_path, 2)
  process.save(range(4))
  path = segment(tmp_path, 0)
  records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
  header = json.loads(records[0])
  assert header['environments'] == 2 and header['first'] == 0
  assert header['columns'] == [
      ['float32', [2]], ['uint8', [3, 4]], ['int64', []], ['bool', []]]
  form = segments.Form(SPEC, 2)
  assert {len(record) for record in records[1:]} == {form.row.itemsize}
  mapped = np.memmap(
      path, form.record, 'r', offset=path.stat().st_size
      - 4 * form.record.itemsize)
  assert mapped['row']['2'].tolist() == [[n, n + 1000] for n in range(4)]
  assert mapped['row']['number'].tolist() == [0, 1, 2, 3]


def test_segments_end_after_a_share_of_the_rows_or_so_many_bytes(
    tmp_path, monkeypatch):
  monkeypatch.setattr(store, '_SHARE', 10)
  Process(tmp_path / 'a', capacity=40).save(range(9))
  assert files(tmp_path / 'a') == {0: 4, 4: 4, 8: 1}
  size = segments.Form(SPEC, 1).record.itemsize
  monkeypatch.setattr(store, '_SEGMENT', 3 * size)
  Process(tmp_path / 'b', capacity=40).save(range(9))
  assert files(tmp_path / 'b') == {0: 3, 3: 3, 6: 3}


def test_files_that_memory_forgot_at_the_last_save_are_removed_and_no_others(
    tmp_path):
  process = Process(tmp_path)
  kept = []
  for start in range(0, 24, 4):
    process.save(range(start, start + 4))
    kept.append(list(files(tmp_path)))
  # Row 20 begins a file. Of the 20 rows at the save before, the last 10 begin
  # at row 10, so the files of rows 0 and 5 are not needed.
  assert kept == [
      [0], [0, 5], [0, 5, 10], [0, 5, 10, 15], [0, 5, 10, 15], [10, 15, 20]]


@pytest.mark.parametrize('num_environments', [1, 3])
@pytest.mark.parametrize('each', [1, 3, 4, 9, 12])
def test_a_checkpoint_before_the_last_save_gives_the_buffer_as_it_was(
    tmp_path, num_environments, each):
  writer, wanted = Process(tmp_path, num_environments), []
  for start in range(0, 60, each):
    if wanted:  # killed after this save, and before its checkpoint
      reader = Process(tmp_path, num_environments)
      assert reader.store.load(start) == min(start, 10)
      assert reader.numbers() == wanted
      assert reader.store.missing == 0 and not reader.store.notes
    assert writer.save(range(start, start + each)) == start + each
    last = Process(tmp_path, num_environments)
    if wanted:
      last.store.load(start)
      assert last.numbers() == wanted and last.store.cut == each - max(
          each - 10, 0)
    wanted = writer.numbers()


def test_rows_after_the_checkpoint_are_cut_by_the_next_save(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  end = one.save(range(8))
  one.save(range(8, 17))
  there = files(tmp_path)
  two.store.load(end)
  assert two.numbers() == [list(range(8))] and two.store.cut == 9
  assert two.store.missing == 0 and not two.store.notes
  assert files(tmp_path) == there  # a process that reads changes nothing
  assert two.save([80, 90]) == 10
  assert files(tmp_path) == {0: 5, 5: 3, 8: 2}
  three = Process(tmp_path)
  three.store.load(10)
  assert three.numbers() == [[*range(8), 80, 90]] and three.store.cut == 0


def test_rows_overwritten_before_a_save_are_not_missed(tmp_path):
  one, two, three = (Process(tmp_path) for _ in range(3))
  first = one.save(range(3))
  end = one.save(range(3, 25))
  two.store.load(first)
  assert two.numbers() == [[0, 1, 2]]  # killed before the second checkpoint
  assert three.store.load(end) == 10 and three.store.missing == 0
  assert three.numbers() == [list(range(15, 25))]
  assert three.save([25]) == 26
  assert files(tmp_path) == {15: 5, 20: 5, 25: 1}


def test_a_save_that_crosses_the_end_of_the_ring_keeps_its_order(tmp_path):
  before, after = Process(tmp_path), Process(tmp_path)
  before.save(range(8))
  before.save(range(8, 13))
  after.store.load()
  assert after.numbers() == [list(range(3, 13))]


def test_a_second_process_counts_on_in_a_segment_of_its_own(tmp_path):
  one, two, three = (Process(tmp_path) for _ in range(3))
  one.save(range(4))
  two.store.load(4)
  two.save(range(4, 7))
  assert files(tmp_path) == {0: 4, 4: 3}
  assert three.store.load(7) == 7
  assert three.numbers() == [list(range(7))]


def test_numbers_count_on_over_processes_after_files_were_removed(tmp_path):
  processes = [Process(tmp_path) for _ in range(5)]
  for i, process in enumerate(processes):
    process.store.load(6 * i)
    process.save(range(6 * i, 6 * i + 6))
  last = Process(tmp_path)
  last.store.load()
  assert last.numbers() == [list(range(20, 30))] and last.store.missing == 0
  assert files(tmp_path) == {12: 5, 17: 1, 18: 5, 23: 1, 24: 5, 29: 1}


def test_loading_alone_writes_nothing_new(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  one.save(range(4))
  two.store.load()
  two.store.save()
  assert files(tmp_path) == {0: 4}


@pytest.mark.parametrize('capacity', [5, 20])
def test_a_run_may_be_resumed_with_another_capacity(tmp_path, capacity):
  one, two, three = (
      Process(tmp_path), Process(tmp_path, capacity=capacity),
      Process(tmp_path, capacity=capacity))
  one.save(range(8))
  two.store.load(8)
  end = two.save(range(8, 10))
  three.store.load(end)
  first = max(0, 10 - capacity)
  assert three.numbers() == [list(range(first, 10))]
  assert three.store.missing == 0


def test_a_larger_capacity_does_not_miss_what_a_smaller_one_forgot(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path, capacity=40)
  for start in range(0, 40, 4):
    one.save(range(start, start + 4))
  assert min(files(tmp_path)) == 20
  two.store.load(40)
  assert two.numbers() == [list(range(20, 40))] and two.store.missing == 0


def test_what_does_not_fit_in_memory_stays_on_disk_for_a_larger_one(tmp_path):
  first = Process(tmp_path)
  first.save(range(9))
  small = Process(tmp_path, capacity=4, kept=CAPACITY)
  small.store.load(9)
  assert small.numbers() == [[5, 6, 7, 8]]
  small.save([9])
  assert store.rows(tmp_path / 'replay') == 10
  large = Process(tmp_path)
  large.store.load(10)
  assert large.numbers() == [list(range(10))]


def test_nothing_is_stored_in_a_folder_that_is_not_there(tmp_path):
  assert store.rows(tmp_path / 'none' / 'replay') == 0


def test_rows_of_another_number_of_environments_are_refused(tmp_path):
  one, two = (Process(tmp_path, num_environments=n) for n in (3, 2))
  one.save(range(4))
  with pytest.raises(
      ValueError, match='by 3 environments; got 2. Set train.environments = 3'):
    two.store.load()


def test_rows_of_other_observations_are_refused(tmp_path):
  one, two = Process(tmp_path), Process(tmp_path)
  one.save(range(4))
  two.store._form = segments.Form(
      {**SPEC, 'image': tf.TensorSpec((4, 3), tf.uint8)}, 1)
  with pytest.raises(ValueError, match=(
      r'of another form: got uint8 \[3, 4\], wanted uint8 \[4, 3\]')):
    two.store.load()


# A disk that fails ------------------------------------------------------------


@pytest.mark.parametrize('method', ['write', 'commit'])
@pytest.mark.parametrize('call', [0, 1, 2])
def test_a_save_that_fails_may_be_tried_again(
    tmp_path, monkeypatch, method, call):
  one, two = Process(tmp_path), Process(tmp_path)
  assert one.save(range(3)) == 3
  right, calls = getattr(segments.Writer, method), []

  def fails(self, *args):
    calls.append(None)
    right(self, *args)
    if len(calls) == call + 1:
      self._file.write(b'half a row')
      self._file.flush()
      raise OSError('No space left on device')

  one.add(range(3, 12))  # three segments
  with monkeypatch.context() as patch:
    patch.setattr(segments.Writer, method, fails)
    with pytest.raises(OSError, match='No space'):
      one.store.save()
  assert one.store.save() == 12
  assert two.store.load(12) == 10
  assert two.numbers() == [list(range(2, 12))]
  assert two.store.missing == 0 and not two.store.notes
  assert not list((tmp_path / 'replay').glob('*.damaged*'))


def test_a_save_waits_for_the_disk(tmp_path, monkeypatch):
  synced, fsync = [], os.fsync
  monkeypatch.setattr(os, 'fsync', lambda file: (
      synced.append(os.readlink(f'/proc/self/fd/{file}')), fsync(file)))
  process = Process(tmp_path)
  process.save(range(3))
  path = str(segment(tmp_path, 0))
  assert {path, str(tmp_path / 'replay')} <= set(synced)
  del synced[:]
  process.save([3])
  assert synced == [path]
