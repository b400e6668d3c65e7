"""Tests of how far runs are, and of the table that says it."""

import json
import math

import pytest

from dreamerv2_tfa import children
from dreamerv2_tfa.sweeps import entries
from dreamerv2_tfa.sweeps import product
from dreamerv2_tfa.sweeps import states
from dreamerv2_tfa.sweeps import table
from dreamerv2_tfa.sweeps import wanted

pytestmark = pytest.mark.usefixtures('clean')


def _write(root, *, returns=(), saved=None, exported=None, steps=40):
  """A run's folder: returns at 10, 20, ..., steps of checkpoint and export."""
  (root / 'checkpoints').mkdir(parents=True)
  (root / 'operative_config.gin').write_text(
      f'train.steps = {steps}.0\ntrain.eval_episodes = 1\ntrain.seed = 3\n'
      "train.task = 'catch'\nRSSM.deter = 7\nreward/MLP.units = 5\n"
      'DreamerV2Agent.discount = 0.9\n')
  (root / 'metrics.jsonl').write_text(''.join(
      f'{{"step": {10 * number}, "eval_return": {each}}}\n'
      for number, each in enumerate(returns, 1)))
  if saved is not None:
    (root / 'checkpoints' / f'ckpt-{saved}.index').write_text('')
  if exported is not None:
    (root / 'policies').mkdir()
    (root / 'policies' / 'exported.json').write_text(
        json.dumps({'steps': exported}))


def _line(root, steps=40, *bindings, files=(), task='catch', seed=3):
  """What is asked of a run; its settings are those of `_write`."""
  return [str(root), seed, task, ['debug', *files], [
      'train.eval_episodes = 1', 'RSSM.deter = 7', 'MLP.units = 5',
      'DreamerV2Agent.discount = 0.90', f'train.steps = {steps}', *bindings]]


_WHOLE = {'returns': (1, 2, 3, -5), 'saved': 40, 'exported': 40}


def test_a_run_that_was_saved_evaluated_and_exported_is_finished(tmp_path):
  _write(tmp_path, **_WHOLE)
  assert states.answer([_line(tmp_path)]) == [
      {'finished': True, 'frames': 40, 'eval_return': -5.0, 'other': [],
       'fault': None}]


@pytest.mark.parametrize('changed', [
    {'saved': 30}, {'saved': None}, {'exported': 30}, {'exported': None},
    {'returns': (1, 2, 3)}])
def test_a_run_that_lacks_one_of_them_is_not(tmp_path, changed):
  _write(tmp_path, **{**_WHOLE, **changed})
  found, = states.answer([_line(tmp_path)])
  assert not found['finished'] and found['fault'] is None


@pytest.mark.parametrize('steps, wanted', [(39, True), (40, True), (41, False)])
def test_steps_of_the_command_count_before_those_of_the_folder(
    tmp_path, steps, wanted):
  _write(tmp_path, **_WHOLE, steps=40)
  found, = states.answer([_line(tmp_path, steps)])
  assert found['finished'] == wanted


def test_an_empty_folder_has_begun_nothing(tmp_path):
  assert states.answer([_line(tmp_path, 5)]) == [
      {'finished': False, 'frames': 0, 'eval_return': None, 'other': [],
       'fault': None}]


@pytest.mark.parametrize('text', [
    'x\n', '{"step": 1}\nx\n{"step": 2}\n',
    '{"step": 1, "eval_return": "much"}\n', '{"step": 1, "eval_return": {}}\n',
    '{"step": 1, "eval_return": 1%s}\n' % ('0' * 400),
    '{"step": 1}\n{"step": 1, "resumed": {}}\n', '[1]\n'])
def test_what_cannot_be_read_is_said_and_the_others_are_shown(tmp_path, text):
  _write(tmp_path / 'a', **_WHOLE)
  _write(tmp_path / 'b', **_WHOLE)
  (tmp_path / 'b' / 'metrics.jsonl').write_text(text)
  a, b = states.answer([_line(tmp_path / 'a'), _line(tmp_path / 'b')])
  assert a['finished'] and not b['finished'] and b['fault']
  assert table.notes({'x': a, 'y': b}) == [f'Note: y: {b["fault"]}']


@pytest.mark.parametrize('changed, said', [
    ([40, 'DreamerV2Agent.discount = 0.99'],
     'DreamerV2Agent.discount = 0.9, and 0.99 in the list'),
    ([40, 'reward/MLP.units = 6'], 'reward/MLP.units = 5, and 6 in the list'),
    ([40, 'MLP.units = 6'], 'reward/MLP.units = 5, and 6 in the list')])
def test_a_run_of_other_settings_is_not_counted_and_that_is_said(
    tmp_path, changed, said):
  _write(tmp_path, **_WHOLE)
  found, = states.answer([_line(tmp_path, *changed)])
  assert found == {**_state(0, None), 'other': [said]}
  note, = table.notes({'x': found})
  assert note.startswith(
      f'Note: x: not counted, it has other settings than its line: {said}.')


def test_another_seed_or_task_is_another_run(tmp_path):
  _write(tmp_path, **_WHOLE)
  seed, task = states.answer([
      _line(tmp_path, seed=4), _line(tmp_path, task='atari_pong')])
  assert seed['other'] == ['train.seed = 3, and 4 in the list']
  assert task['other'] == ["train.task = 'catch', and 'atari_pong' in the list"]


def test_the_settings_in_a_gin_file_count_as_they_are_now(tmp_path):
  _write(tmp_path / 'run', **_WHOLE)
  mine = tmp_path / 'mine.gin'
  question = _line(tmp_path / 'run', files=[str(mine)])
  question[-1].remove('train.steps = 40')
  question[-1].remove('RSSM.deter = 7')
  for text, finished, other in (
      ('train.steps = 40\nRSSM.deter = 7', True, 0),
      ('train.steps = 50\nRSSM.deter = 7', False, 0),
      ('train.steps = 40\nRSSM.deter = 8', False, 1)):
    mine.write_text(text)
    found, = states.answer([question])
    assert (found['finished'], len(found['other'])) == (finished, other)


def test_a_preset_that_follows_from_what_is_shown_is_that_of_the_run(tmp_path):
  _write(tmp_path, **_WHOLE)
  question = _line(tmp_path, task='gymnasium_CartPole-v1')
  question[3].clear()
  bound = wanted.read(*question[2:], preset='gym_small').bound
  (tmp_path / 'operative_config.gin').write_text(
      ''.join(f'{name} = {value}\n' for name, value in bound.items()
              if name != 'train.seed'))
  (tmp_path / 'protocol.json').write_text(json.dumps({
      'task': 'gymnasium_CartPole-v1', 'seed': 3, 'action_repeat': 1,
      'presets': ['gym_small'], 'precision': 'float32'}))
  found, = states.answer([question])
  assert found['finished'] and found['fault'] is None
  assert wanted.read(*question[2:]).bound != bound


def test_a_run_without_recorded_settings_is_not_finished(tmp_path):
  _write(tmp_path, **_WHOLE)
  (tmp_path / 'operative_config.gin').unlink()
  found, = states.answer([_line(tmp_path)])
  assert not found['finished'] and 'operative_config.gin is' in found['fault']


def test_a_gin_file_that_is_gone_is_said(tmp_path):
  _write(tmp_path, **_WHOLE)
  found, = states.answer([_line(tmp_path, files=['gone.gin'])])
  assert not found['finished'] and "no gin file 'gone.gin'" in found['fault']


@pytest.mark.parametrize('last', ['null', 'NaN', '-Infinity'])
def test_a_run_whose_last_return_is_not_finite_is_finished_with_nan(
    tmp_path, last):
  _write(tmp_path, **{**_WHOLE, 'returns': (1, 2, 3, last)})
  found, = json.loads(json.dumps(states.answer([_line(tmp_path)])))
  assert found['finished'] and found['fault'] is None
  assert math.isnan(found['eval_return'])


def test_a_return_that_cannot_be_read_leaves_the_run_finished(tmp_path):
  _write(tmp_path, **{**_WHOLE, 'returns': (1, 2, 3, '1' + '0' * 400)})
  found, = states.answer([_line(tmp_path)])
  assert found['finished'] and 'OverflowError' in found['fault']


def test_returns_that_are_too_large_to_sum_are_shown_as_nan(tmp_path):
  line = table.Line('catch', {}, 2, 2, 7, [1.7e308, 1.7e308])
  assert table.text([line]).split()[-4:] == ['nan'] * 4


def test_a_line_that_is_being_written_is_left_out(tmp_path):
  _write(tmp_path, **_WHOLE)
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 50, "eval')
  found, = states.answer([_line(tmp_path)])
  assert found['frames'] == 40 and found['fault'] is None


def _state(frames, eval_return, finished=False):
  return {'finished': finished, 'frames': frames, 'eval_return': eval_return,
          'other': [], 'fault': None}


_LISTED = product.make(
    ['catch', 'own'], [0, 1, 2], {'train.batch_size': ['16', '32']}, [])
_FOUND = {
    'catch-batch_size=16-seed0': _state(1200, 1.0, True),
    'catch-batch_size=16-seed1': _state(1100, 4.0),
    'catch-batch_size=16-seed2': _state(1300, 4.0, True),
    'catch-batch_size=32-seed0': _state(500, 2.5),
    'catch-batch_size=32-seed1': _state(500, None),
    'catch-batch_size=32-seed2': _state(500, None),
    'own-batch_size=16-seed2': _state(9, float('nan')),
}


def test_the_table_has_a_line_for_each_task_and_variation():
  text = table.text(table.lines(_LISTED, _FOUND))
  assert [line.split() for line in text.splitlines()] == [
      ['task', 'train.batch_size', 'finished', 'frames', 'return', 'std', 'min',
       'max'],
      ['catch', '16', '2', 'of', '3', '1,100', '3.00', '1.41', '1.00', '4.00'],
      ['catch', '32', '0', 'of', '3', '500', '2.50', '-', '2.50', '2.50'],
      ['own', '16', '0', 'of', '3', '0', *['nan'] * 4],
      ['own', '32', '0', 'of', '3', '0', '-', '-', '-', '-']]


def test_the_csv_has_the_same_numbers(tmp_path):
  path = tmp_path / 'table.csv'
  table.write_csv(str(path), table.lines(_LISTED, _FOUND)[:2])
  first, *lines = path.read_text().splitlines()
  assert first == (
      'task,train.batch_size,finished,seeds,frames,return,std,min,max')
  assert lines == [f'catch,16,2,3,1100,3.0,{2**0.5},1.0,4.0',
                   'catch,32,0,3,500,2.5,,2.5,2.5']


def test_runs_that_have_not_begun_are_not_looked_at(tmp_path, monkeypatch):
  asked = []
  monkeypatch.setattr(
      children, 'ask', lambda module, question: asked.append(question) or [
          _state(7, 1.0)])
  folder = entries.Folder(tmp_path)
  assert table.states(folder, _LISTED) == {} and not asked
  folder.run(_LISTED[4]).mkdir()
  assert table.states(folder, _LISTED) == {_LISTED[4].run: _state(7, 1.0)}
  assert asked == [[[str(folder.run(_LISTED[4])), 1, 'catch', [], [
      'train.batch_size = 32']]]]


def test_an_answer_comes_from_another_process(tmp_path):
  _write(tmp_path, **_WHOLE)
  found, = children.ask('dreamerv2_tfa.sweeps.states', [_line(tmp_path, 41)])
  assert found == _state(40, -5.0)


def test_a_child_that_fails_is_no_answer(capfd):
  with pytest.raises(RuntimeError, match='columns ended with status 1'):
    children.ask('dreamerv2_tfa.columns', [7])
  assert 'AttributeError' in capfd.readouterr().err
