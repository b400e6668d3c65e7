"""Tests of metrics: lines of JSON, TensorBoard's events, means of updates."""

import json
import math
import re

import pytest
import small
import tensorflow as tf
from tensorflow.core.util import event_pb2
from tf_agents.agents import tf_agent

from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  """A folder that two writers, one after another, wrote to."""
  root = tmp_path_factory.mktemp('run')
  first = metrics.Writer(runs.RunFolder(root), 0)
  first.write(40, {'model_loss': 3.5, 'fps': 20.0})
  first.write(48, {'eval_return': -1.25})
  first.write(80, {'model_loss': math.nan, 'actor_loss': -math.inf})
  first.close()
  second = metrics.Writer(runs.RunFolder(root), 80)
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
        number = float(tf.make_ndarray(value.tensor))
        points.append((value.tag, event.step, number))
  return points


def _played(*rows):
  """`Updates` of an update that returns these numbers, a dict after another."""
  count = tf.Variable(-1)

  def update():
    row = count.assign_add(1)
    extra = {
        key: tf.constant([numbers[key] for numbers in rows])[row]
        for key in rows[0]}
    return tf_agent.LossInfo(extra.pop('loss'), extra)

  return metrics.Updates(update)


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
  writer = metrics.Writer(runs.RunFolder(tmp_path), 0)
  writer.write(4, {'fps': 1.0, 'eval_return': 2.0})
  assert len(_lines(tmp_path)) == 1
  assert _events(tmp_path / 'train') == [('fps', 4, 1.0)]
  writer.close()


def _written(root, *sessions):
  """Lets writers write, one after another: pairs of start and steps."""
  for start, steps in sessions:
    writer = metrics.Writer(runs.RunFolder(root), start)
    for step in steps:
      writer.write(step, {'fps': float(start), 'eval_return': 1.0})
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

  _written(tmp_path, (0, (40, 80, 120)))
  for path in tmp_path.glob('*/events*'):   # TensorBoard reads by name
    path.rename(path.with_name('events.out.tfevents.1.first'))
  _written(tmp_path, (80, (100, 120)))
  events = plugin_event_accumulator.EventAccumulator(str(tmp_path / name))
  events.Reload()
  tag, = events.Tags()[plugin_event_accumulator.TENSORS]
  assert [event.step for event in events.Tensors(tag)] == [40, 80, 100, 120]


def test_a_line_that_a_killed_process_left_half_written_is_dropped(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 40, "fps": 1.0}\n{"step"')
  assert len(metrics.read(tmp_path / 'metrics.jsonl')) == 1
  writer = metrics.Writer(runs.RunFolder(tmp_path), 80)
  writer.write(120, {'fps': 1.0})
  writer.close()
  assert [json.loads(line)['step'] for line in _lines(tmp_path)] == [40, 120]


def test_a_whole_last_line_is_kept_without_its_end(tmp_path):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 40, "fps": 1.0}')
  metrics.Writer(runs.RunFolder(tmp_path), 80).close()
  assert (tmp_path / 'metrics.jsonl').read_text() == (
      '{"step": 40, "fps": 1.0}\n')


@pytest.mark.parametrize('line', [
    '{"step": 80, "fps"', 'no JSON', '[1, 2]', '{"fps": 1.0}', '""',
    '{"step": "80"}', '',
])
@pytest.mark.parametrize('read', [
    lambda folder: metrics.read(folder.metrics),
    lambda folder: metrics.Writer(folder, 0)])
def test_a_damaged_line_is_refused_by_its_number_and_stays(
    tmp_path, line, read):
  text = f'{{"step": 40}}\n{line}\n{{"step": 120}}\n'
  path = tmp_path / 'metrics.jsonl'
  path.write_text(text)
  with pytest.raises(ValueError, match=f'Line 2 of {path}.*Repair or remove'):
    read(runs.RunFolder(tmp_path))
  assert path.read_text() == text


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
def test_one_loss_of_many_that_is_not_finite_raises(value):
  good = dict(loss=1.0, model_loss=1.0, kl_loss=2.0)
  updates = _played(good, dict(good, loss=value, model_loss=value), good)
  for _ in range(3):
    updates()
  with pytest.raises(FloatingPointError, match='not finite') as error:
    updates.check()
  assert 'model_loss' in str(error.value) and 'kl_loss' not in str(error.value)


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


def test_a_gradient_norm_that_overflowed_does_not_raise():
  # Dynamic loss scaling skips such a step and goes on.
  updates = _played(dict(loss=1.0, model_loss=1.0, model_grad_norm=math.inf))
  updates()
  updates.check()
  assert updates.report() == {'model_loss': 1.0, 'model_grad_norm': math.inf}


def test_an_update_is_traced_once_and_runs_every_time():
  traced, count = [], tf.Variable(0)

  def update():
    traced.append(True)
    count.assign_add(1)
    return tf_agent.LossInfo(tf.constant(1.0), {'model_loss': count})

  updates = metrics.Updates(update)
  for _ in range(4):
    updates()
  assert len(traced) == 1
  assert updates.report() == {'model_loss': 2.5}


def test_an_update_leaves_next_to_nothing_behind_in_memory():
  # As in collection_test: of twenty numbers, each a tensor, 1,000 bytes.
  updates = metrics.Updates(lambda: tf_agent.LossInfo(
      tf.constant(1.0), {str(i): tf.constant(1.0) for i in range(20)}))

  def update():
    updates()
    updates.report()

  update()
  assert small.bytes_left(update) < 200


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
