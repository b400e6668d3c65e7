"""Tests of metrics: lines of JSON, TensorBoard's events, means of updates."""

import json
import math
import re
import threading

import numpy as np
import pytest
import small
import tensorflow as tf
from tensorflow.core.util import event_pb2
from tf_agents.agents import tf_agent

from dreamerv2_tfa.training import loggers
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training.loggers import group
from dreamerv2_tfa.training.loggers import logger


def _writer(root, step, reported=None, evaluated=None):
  """The loggers of a run without others, which resumes at a step."""
  known = [step if x is None else x for x in (reported, evaluated)]
  return group.Group(
      loggers.load(('tensorboard', 'jsonl')),
      logger.Start(runs.RunFolder(root), step, *known), print)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """A folder that two writers, one after another, wrote to."""
  root = tmp_path_factory.mktemp('run')
  first = _writer(root, 0)
  first.write(40, {'model_loss': 3.5, 'fps': 20.0})
  first.write(48, {'eval_return': -1.25})
  first.write(80, {'model_loss': math.nan, 'actor_loss': -math.inf})
  first.close()
  second = _writer(root, 80)
  second.write(120, {'model_loss': 2.5})
  second.close()
  return root


def _events(folder):
  """Points in the event files of a folder: list of tag, step, value."""
  points = []
  # Of files of one second the last number in the name says the order.
  order = lambda path: list(map(int, re.findall(r'\d+', path.name)))
  for path in sorted(folder.glob('events.out.tfevents.*'), key=order):
    for record in tf.data.TFRecordDataset(str(path)):
      event = event_pb2.Event.FromString(record.numpy())
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name != 'scalars':
          continue
        number = float(tf.make_ndarray(value.tensor))
        points.append((value.tag, event.step, number))
  return points


def _played(*rows, look=None):
  """`Updates` of an update that returns these numbers, a dict after another."""
  count = tf.Variable(-1)

  def update():
    row = count.assign_add(1)
    extra = {
        key: tf.constant([numbers[key] for numbers in rows])[row]
        for key in rows[0]}
    return tf_agent.LossInfo(extra.pop('loss'), extra)

  return metrics.Updates(update, look or _refuse)


class Refused(Exception):
  """Names of numbers that are not finite."""


def _refuse(numbers):
  raise Refused(*(name for name, x in numbers.items() if not math.isfinite(x)))


def _lines(root):
  return (root / 'metrics.jsonl').read_text().splitlines()


def test_a_line_has_the_step_and_the_metrics(root):
  assert json.loads(_lines(root)[0]) == {
      'step': 40, 'model_loss': 3.5, 'fps': 20.0
  }


def test_numbers_that_are_not_finite_are_null(root):
  assert _lines(root)[2] == '{"step": 80, "model_loss": null, ' \
      '"actor_loss": null}'


def test_a_second_writer_appends(root):
  steps = [json.loads(line)['step'] for line in _lines(root)]
  assert steps == [40, 48, 80, 120]


def test_training_goes_to_the_events_in_train(root):
  points = [p for p in _events(root / 'train') if math.isfinite(p[2])]
  assert points == [
      ('model_loss', 40, 3.5), ('fps', 40, 20.0), ('model_loss', 120, 2.5)
  ]


def test_evaluation_goes_to_the_events_in_eval(root):
  assert _events(root / 'eval') == [('eval_return', 48, -1.25)]


def test_a_line_can_be_read_before_the_writer_is_closed(tmp_path):
  writer = _writer(tmp_path, 0)
  writer.write(4, {'fps': 1.0})
  assert len(_lines(tmp_path)) == 1
  assert _events(tmp_path / 'train') == [('fps', 4, 1.0)]
  writer.close()


def _written(root, *sessions):
  """Lets writers write, one after another: pairs of start and steps."""
  for start, steps in sessions:
    writer = _writer(root, start)
    for step in steps:
      writer.write(step, {'fps': float(start)})
    writer.close()


def test_lines_after_the_step_that_a_run_resumes_at_stay_and_are_marked(
    tmp_path):
  _written(tmp_path, (0, (40, 80, 80, 120)), (80, (100, 120)))
  lines = [json.loads(line) for line in _lines(tmp_path)]
  assert [line['step'] for line in lines] == [40, 80, 80, 120, 80, 100, 120]
  assert lines[4] == {'step': 80, 'resumed': 80}


def test_superseded_lines_are_not_read(tmp_path):
  _written(tmp_path, (0, (40, 80, 120)), (80, (100, 160)), (0, (60,)))
  path = tmp_path / 'metrics.jsonl'
  assert [row['step'] for row in metrics.read(path)] == [60]
  _written(tmp_path, (60, (90,)))
  assert [(row['step'], row['fps']) for row in metrics.read(path)] == [
      (60, 0.0), (90, 60.0)]
  assert len(_lines(tmp_path)) == 3 + 1 + 2 + 1 + 1 + 1


def test_a_resumed_run_with_nothing_to_supersede_leaves_no_mark(tmp_path):
  _written(tmp_path, (0, (40, 80)), (80, (120,)), (120, (160,)))
  assert len(_lines(tmp_path)) == 4
  assert len(metrics.read(tmp_path / 'metrics.jsonl')) == 4


def test_there_are_no_metrics_without_a_file(tmp_path):
  assert metrics.read(tmp_path / 'metrics.jsonl') == []


@pytest.mark.parametrize('name', ['train', 'eval'])
def test_tensorboard_shows_each_step_of_a_killed_run_once(tmp_path, name):
  from tensorboard.backend.event_processing import plugin_event_accumulator

  key = {'train': 'fps', 'eval': 'eval_return'}[name]
  _write(tmp_path, 0, [(key, step) for step in (40, 80, 120)])
  for path in tmp_path.glob('*/events*'):   # TensorBoard reads by name
    path.rename(path.with_name('events.out.tfevents.1.first'))
  _write(tmp_path, 80, [(key, step) for step in (100, 120)])
  events = plugin_event_accumulator.EventAccumulator(str(tmp_path / name))
  events.Reload()
  assert [event.step for event in events.Tensors(key)] == [40, 80, 100, 120]


def test_a_line_that_a_killed_process_left_half_written_is_dropped(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 40, "fps": 1.0}\n{"step"')
  assert len(metrics.read(tmp_path / 'metrics.jsonl')) == 1
  writer = _writer(tmp_path, 80)
  writer.write(120, {'fps': 1.0})
  writer.close()
  assert [json.loads(line)['step'] for line in _lines(tmp_path)] == [40, 120]


def test_a_whole_last_line_is_kept_without_its_end(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 40, "fps": 1.0}')
  _writer(tmp_path, 80).close()
  assert (tmp_path / 'metrics.jsonl').read_text() == (
      '{"step": 40, "fps": 1.0}\n')


@pytest.mark.parametrize('line', [
    '{"step": 80, "fps"', 'no JSON', '[1, 2]', '{"fps": 1.0}', '""',
    '{"step": "80"}', '',
])
@pytest.mark.parametrize('read', [
    lambda folder: metrics.read(folder.metrics),
    lambda folder: _writer(folder.root, 0)])
def test_a_damaged_line_is_refused_by_its_number_and_stays(
    tmp_path, line, read):
  text = f'{{"step": 40}}\n{line}\n{{"step": 120}}\n'
  path = tmp_path / 'metrics.jsonl'
  path.write_text(text)
  with pytest.raises(ValueError, match=f'Line 2 of {path}.*Repair or remove'):
    read(runs.RunFolder(tmp_path))
  assert path.read_text() == text


def test_a_damaged_line_is_told_by_one_number_of_a_line(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 40}\n{"step": 80, "fps"\n{"step": 120}\n')
  with pytest.raises(ValueError) as error:
    metrics.read(path)
  assert f"Line 2 of {path} is no" in str(error.value)
  assert "(Expecting ':' delimiter, at character 20)" in str(error.value)


def test_a_report_is_the_mean_of_each_metric():
  updates = _played(
      dict(loss=1.0, model_loss=1.0, kl_loss=8.0),
      dict(loss=2.0, model_loss=2.0, kl_loss=4.0),
      dict(loss=9.0, model_loss=6.0, kl_loss=3.0))
  for _ in range(3):
    updates()
  assert updates.report() == {'model_loss': 3.0, 'kl_loss': 5.0}


def test_a_report_starts_anew():
  updates = _played(
      dict(loss=1.0, model_loss=1.0), dict(loss=1.0, model_loss=7.0))
  updates()
  assert updates.report() == {'model_loss': 1.0}
  updates()
  assert updates.report() == {'model_loss': 7.0}


def test_without_updates_there_is_nothing_to_report():
  updates = _played(dict(loss=1.0, model_loss=1.0))
  updates.check()
  assert updates.report() == {}


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_no_update_runs_after_one_that_is_not_finite(value):
  good = dict(loss=1.0, model_loss=1.0, kl_loss=2.0)
  updates = _played(good, dict(good, loss=value, model_loss=value), good)
  updates()
  updates()
  with pytest.raises(Refused) as refused:
    updates()
  assert refused.value.args == ('loss', 'model_loss')


def test_a_check_looks_at_the_last_update_once():
  updates = _played(dict(loss=math.nan, model_loss=1.0))
  updates()
  with pytest.raises(Refused):
    updates.check()
  updates.check()


def test_what_was_not_reported_is_restored_to_the_last_bit():
  rows = [dict(loss=1.0, model_loss=1 / 3), dict(loss=2.0, model_loss=1e-30),
          dict(loss=3.0, model_loss=math.inf), dict(loss=1.0, model_loss=0.7)]
  one = _played(*rows, look=lambda *_: None)
  for _ in range(2):
    one()
  other = _played(*rows[2:], look=lambda *_: None)
  other.restore(one.unreported())
  assert other.pending
  for _ in range(2):
    one()
    other()
  assert other.unreported() == one.unreported()
  assert other.report() == one.report()


def test_a_check_of_finite_losses_leaves_the_report_as_it_is():
  updates = _played(dict(loss=1.0, model_loss=1.0))
  updates()
  updates.check()
  assert updates.report() == {'model_loss': 1.0}


def test_updates_are_pending_until_they_are_reported():
  updates = _played(dict(loss=1.0, model_loss=1.0))
  assert not updates.pending
  updates()
  assert updates.pending
  updates.report()
  assert not updates.pending


def test_an_update_is_traced_once_and_runs_every_time():
  traced, count = [], tf.Variable(0)

  def update():
    traced.append(True)
    count.assign_add(1)
    return tf_agent.LossInfo(tf.constant(1.0), {'model_loss': count})

  updates = metrics.Updates(update, _refuse)
  for _ in range(4):
    updates()
  assert len(traced) == 1
  assert updates.report() == {'model_loss': 2.5}


class Gate:
  """An update that waits for a word, and may fail."""

  def __init__(self):
    self.open, self.calls, self.fails = threading.Event(), 0, False
    self.open.set()

  def __call__(self):
    def wait():
      self.calls += 1
      assert self.open.wait(30)
      if self.fails:
        raise ValueError('mine')
      return np.float32(self.calls)

    number = tf.numpy_function(wait, [], tf.float32)
    return tf_agent.LossInfo(tf.reshape(number, []), {'model_loss': number})


def test_an_update_beside_runs_until_it_is_looked_at():
  gate = Gate()
  updates = metrics.Updates(gate, _refuse, beside=True)
  updates()  # compiled: in this thread
  assert gate.calls == 1
  gate.open.clear()
  updates()  # returns while it runs
  assert updates.pending
  gate.open.set()
  assert updates.report() == {'model_loss': 1.5}


def test_an_error_in_an_update_beside_is_raised_where_it_is_looked_at():
  gate = Gate()
  updates = metrics.Updates(gate, _refuse, beside=True)
  updates()
  gate.fails = True
  updates()
  with pytest.raises(tf.errors.InvalidArgumentError, match='mine'):
    updates()


def test_an_update_leaves_next_to_nothing_behind_in_memory():
  # As in collection_test: of twenty numbers, each a tensor, 1,000 bytes.
  assert small.bytes_left("""
import tensorflow as tf
from tf_agents.agents import tf_agent
from dreamerv2_tfa.training import metrics

updates = metrics.Updates(lambda: tf_agent.LossInfo(
    tf.constant(1.0), {str(i): tf.constant(1.0) for i in range(20)}), print)

def function():
  updates()
  updates.report()
""") < 200


# Achievements -----------------------------------------------------------------


def test_achievements_are_percentages_of_all_episodes_and_a_score_by_hand():
  achievements = metrics.Achievements(['wood', 'stone', 'coal'])
  assert achievements.report() == {}
  achievements.add([{'wood': 1.0, 'stone': 0.0, 'coal': 0.0}])
  achievements.add([
      {'wood': 1.0, 'stone': 1.0, 'coal': 0.0},
      {'wood': 1.0, 'stone': 0.0, 'coal': 0.0},
      {'wood': 0.0, 'stone': 0.0, 'coal': 0.0}])
  report = achievements.report()
  score = math.exp((math.log(76) + math.log(26) + math.log(1)) / 3) - 1
  assert report == pytest.approx({
      'achievement_wood': 75, 'achievement_stone': 25, 'achievement_coal': 0,
      'crafter_score': score})
  assert metrics.Achievements([]).report() == {}


def test_achievements_are_restored_from_a_checkpoint(tmp_path):
  before, after = (metrics.Achievements(['wood']) for _ in range(2))
  before.add([{'wood': 1.0}, {'wood': 0.0}])
  path = before.state.write(str(tmp_path / 'counts'))
  after.state.read(path).assert_consumed()
  after.add([{'wood': 0.0}, {'wood': 0.0}])
  assert after.report()['achievement_wood'] == 25


def _write(root, step, kinds, **known):
  writer = _writer(root, step, **known)
  for kind, at in kinds:
    writer.write(at, {kind: float(at)})
  writer.close()


def test_a_line_at_the_step_of_the_resume_counts_only_if_the_resume_knows_it(
    tmp_path):
  (tmp_path / 'run').mkdir()
  root = tmp_path / 'run'
  _write(root, 0, [('loss', 40), ('eval_return', 40), ('loss', 80),
                   ('eval_return', 80)], reported=0, evaluated=0)
  # Killed; the checkpoint at 80 was saved before the second evaluation.
  _write(root, 80, [('eval_return', 80)], reported=80, evaluated=40)
  rows = metrics.read(root / 'metrics.jsonl')
  assert [(row['step'], 'eval_return' in row) for row in rows] == [
      (40, False), (40, True), (80, False), (80, True)]
  # And now after it, but before the report.
  _write(root, 80, [('loss', 80)], reported=40, evaluated=80)
  rows = metrics.read(root / 'metrics.jsonl')
  assert [(row['step'], 'eval_return' in row) for row in rows] == [
      (40, False), (40, True), (80, True), (80, False)]
  for kind, tag in (('train', 'loss'), ('eval', 'eval_return')):
    points = [(step, name) for name, step, _ in _events(root / kind)]
    assert points == [(40, tag), (80, tag)]
