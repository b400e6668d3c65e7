"""Tests of TensorBoard's event files: no step is in them twice."""

import re

import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from dreamerv2_tfa.training import events


def session(folder, begin, steps):
  """Writes a scalar at these steps, in a session that resumes at `begin`."""
  writer = events.writer(folder, begin)
  for step in steps:
    with writer.as_default(step=step):
      tf.summary.scalar('loss', float(step))
  writer.close()


def points(folder):
  """Steps of the summaries of all files, as any reader of records has them."""
  found = []
  # Of files of one second the last number in the name says the order.
  order = lambda path: list(map(int, re.findall(r'\d+', path.name)))
  for path in sorted(folder.glob('events*'), key=order):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
      event = event_pb2.Event.FromString(record)
      found += [event.step for _ in event.summary.value]
  return found


def test_what_a_killed_session_wrote_beyond_the_resume_is_removed(tmp_path):
  session(tmp_path, 0, [10, 20, 30, 40])
  session(tmp_path, 20, [30, 40, 50])
  session(tmp_path, 40, [50, 60])
  assert points(tmp_path) == [10, 20, 30, 40, 50, 60]
  assert not list(tmp_path.glob('*.part'))


def test_a_file_with_nothing_beyond_the_resume_is_left_as_it_is(tmp_path):
  session(tmp_path, 0, [10, 20])
  path, = tmp_path.iterdir()
  before = path.stat().st_ino, path.read_bytes()
  session(tmp_path, 20, [30])
  assert (path.stat().st_ino, path.read_bytes()) == before


@pytest.mark.parametrize('damage', [
    lambda data: data[:-5], lambda data: data + b'half', lambda data: b''])
def test_a_record_that_a_kill_cut_short_is_removed(damage, tmp_path):
  session(tmp_path, 0, [10, 20])
  path, = tmp_path.iterdir()
  path.write_bytes(damage(path.read_bytes()))
  session(tmp_path, 20, [30])
  found = points(tmp_path)  # reads every record of every file
  assert found[-1] == 30 and set(found) <= {10, 20, 30}


def test_what_a_killed_process_left_while_it_cut_is_removed(tmp_path):
  session(tmp_path, 0, [10, 20])
  (tmp_path / 'events.part').write_bytes(b'half')
  session(tmp_path, 20, [30])
  assert points(tmp_path) == [10, 20, 30]
