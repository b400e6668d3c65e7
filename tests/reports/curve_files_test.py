"""Files of learning curves: each form, what is skipped, what is refused."""

import json

import numpy as np
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.reports import curve_files

_ALL = curve_files.Wanted()


def _lines(folder, *rows):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'metrics.jsonl').write_text(
      ''.join(json.dumps(row) + '\n' for row in rows))
  return folder


def _ours(folder, *rows, task='atari_pong', presets=('atari',), seed=3):
  _lines(folder, *rows)
  (folder / 'protocol.json').write_text(json.dumps({
      'task': task, 'presets': presets, 'seed': seed, 'action_repeat': 4,
      'precision': 'float32'}))
  return folder


def _row(step, value=1.0):
  return {'step': step, 'eval_return': value}


def _named(found):
  return [(run.task, run.method, run.seed) for run in found.runs]


# Forms ------------------------------------------------------------------------


def test_a_run_of_ours_is_named_by_its_protocol(tmp_path):
  _ours(tmp_path / 'deep' / 'one', {'step': 5, 'kl_loss': 2.0}, _row(20, 7.0),
        _row(10, 4.0))
  for place in (tmp_path, tmp_path / 'deep' / 'one'):
    run, = curve_files.read([place], _ALL).runs
    assert run[:3] == ('atari_pong', 'dreamerv2_tfa:atari', '3')
    np.testing.assert_array_equal(run.xs, [10, 20])
    np.testing.assert_array_equal(run.ys, [4, 7])


def test_presets_are_in_the_name_and_need_not_be_there(tmp_path):
  _ours(tmp_path / 'a', _row(1), presets=['atari', 'mine'])
  _ours(tmp_path / 'b', _row(1), presets=[])
  assert _named(curve_files.read([tmp_path], _ALL)) == [
      ('atari_pong', 'dreamerv2_tfa:atari+mine', '3'),
      ('atari_pong', 'dreamerv2_tfa', '3')]


def test_folders_of_the_published_layout_name_our_methods_too(tmp_path):
  _ours(tmp_path / 'atari_pong' / 'no_kl' / '7', _row(1))
  assert _named(curve_files.read([tmp_path], _ALL)) == [
      ('atari_pong', 'no_kl', '7')]


def test_what_a_resumed_run_has_superseded_is_not_read(tmp_path):
  _ours(tmp_path / 'a', _row(10, 1.0), _row(20, 2.0),
        {'step': 10, 'resumed': 10}, _row(20, 5.0))
  run, = curve_files.read([tmp_path], _ALL).runs
  np.testing.assert_array_equal(run.ys, [1, 5])


def test_a_folder_of_the_published_package_is_read(tmp_path):
  _lines(tmp_path / 'atari_jamesbond' / 'dreamerv2' / '1', _row(4, 2.0))
  found = curve_files.read([tmp_path], _ALL)
  assert _named(found) == [('atari_james_bond', 'dreamerv2', '1')]


def test_a_line_that_is_cut_short_at_the_end_is_left_out(tmp_path):
  folder = _lines(tmp_path / 'catch' / 'm' / '1', _row(1), _row(2))
  path = folder / 'metrics.jsonl'
  path.write_bytes(path.read_bytes()[:-9])
  run, = curve_files.read([tmp_path], _ALL).runs
  assert list(run.xs) == [1]


def test_files_of_scores_are_read_alone_and_in_a_folder(tmp_path):
  runs = [{'task': 'dmc_walker_walk', 'method': 'm', 'seed': '1',
           'xs': [1e4, 2e4], 'ys': [5, None]}]
  (tmp_path / 'dmc.json').write_text(json.dumps(runs))
  (tmp_path / 'dmc_baselines.json').write_text(
      json.dumps({'dmc_walker_walk': {'d4pg': 968.3}}))
  for places in ([tmp_path], sorted(tmp_path.iterdir())):
    found = curve_files.read(places, _ALL)
    assert _named(found) == [('dmc_walker_walk', 'm', '1')]
    assert list(found.runs[0].ys) == [5]
    assert found.references == {'dmc_walker_walk': {'d4pg': 968.3}}
    assert found.notes == [
        'Skipped 1 of 2 points, whose step or eval_return is null or not '
        'finite.']


def test_files_beside_a_run_are_not_looked_at(tmp_path):
  folder = _ours(tmp_path / 'a', _row(1))
  (folder / 'sums.json').write_text('[')
  _ours(folder / 'checkpoints', _row(1))
  (tmp_path / 'begun').mkdir()
  (tmp_path / 'begun' / 'protocol.json').write_text('{}')
  assert len(curve_files.read([tmp_path], _ALL).runs) == 1


# Choices ----------------------------------------------------------------------


def test_runs_are_chosen_by_patterns_of_task_and_method(tmp_path):
  for name in ('atari_pong/a/1', 'atari_qbert/a/1', 'atari_pong/b/1'):
    _lines(tmp_path / name, _row(1))
  read = lambda **given: _named(
      curve_files.read([tmp_path], curve_files.Wanted(**given)))
  assert [task for task, _, _ in read(tasks=('pong',))] == ['atari_pong'] * 2
  assert read(tasks=('pong', 'qbert'), methods=('^b',)) == [
      ('atari_pong', 'b', '1')]
  with pytest.raises(checks.UserError, match='None of 3 runs.*atari_pong/a'):
    read(tasks=('alien',))


def test_axes_are_chosen_scaled_and_limited(tmp_path):
  _lines(tmp_path / 'catch' / 'm' / '1', {'step': 1, 'fps': 50, 'n': 2},
         {'step': 2, 'fps': float('inf'), 'n': 3})
  run, = curve_files.read([tmp_path], curve_files.Wanted(
      xaxis='n', yaxis='fps', xmult=10.0, maxval=20.0)).runs
  assert (list(run.xs), list(run.ys)) == ([20, 30], [20, 20])


@pytest.mark.parametrize('value', [None, float('nan'), float('inf')])
def test_what_is_not_finite_is_skipped_and_counted(tmp_path, value):
  _lines(tmp_path / 'catch' / 'm' / '1', _row(1), _row(2, value), _row(3))
  found = curve_files.read([tmp_path], _ALL)
  assert list(found.runs[0].xs) == [1, 3]
  assert found.notes[0].startswith('Skipped 1 of 3 points')


def test_a_run_without_y_is_named_where_others_have_it(tmp_path):
  _lines(tmp_path / 'catch' / 'm' / '1', _row(1))
  _lines(tmp_path / 'catch' / 'm' / '2', {'step': 1, 'fps': 2.0})
  found = curve_files.read([tmp_path], _ALL)
  assert _named(found) == [('catch', 'm', '1')]
  assert 'catch/m/2/metrics.jsonl has no eval_return' in found.notes[0]


# Refusals ---------------------------------------------------------------------


def test_two_runs_of_one_task_method_and_seed_are_refused(tmp_path):
  for name in ('a', 'b'):
    _ours(tmp_path / name, _row(1))
  with pytest.raises(checks.UserError, match='b/metrics.jsonl and .*a/metrics'):
    curve_files.read([tmp_path], _ALL)
  places = [tmp_path / 'a', tmp_path / 'b']
  found = curve_files.read(places, curve_files.Wanted(prefix=True))
  assert [run.method for run in found.runs] == [
      'indir1_dreamerv2_tfa:atari', 'indir2_dreamerv2_tfa:atari']


def test_a_damaged_line_is_named(tmp_path):
  folder = _lines(tmp_path / 'catch' / 'm' / '1', _row(1))
  with (folder / 'metrics.jsonl').open('a') as file:
    file.write('{"eval_return": 1}\n')
  with pytest.raises(ValueError, match='Line 2 of .*m/1/metrics.jsonl'):
    curve_files.read([tmp_path], _ALL)


def test_a_value_that_is_no_number_is_refused(tmp_path):
  _lines(tmp_path / 'catch' / 'm' / '1', _row(8, 'high'))
  with pytest.raises(checks.UserError, match="eval_return at step 8 is 'high'"):
    curve_files.read([tmp_path], _ALL)


@pytest.mark.parametrize('depth', ['', 'atari_pong', 'a/b/c/d'])
def test_a_run_that_nothing_names_is_refused(tmp_path, depth):
  _lines(tmp_path / depth, _row(1))
  with pytest.raises(checks.UserError, match='Wanted protocol.json.*TASK/'):
    curve_files.read([tmp_path], _ALL)


@pytest.mark.parametrize('text, message', [
    ('[{', 'cannot be read: .*line 1 column'),
    ('3', 'is no file of scores'),
    ('{"a": 1}', 'is no file of scores'),
    ('{"a": {"b": "c"}}', 'is no file of scores'),
    ('[3]', 'entry 1 is no run'),
    ('[{"task": "a", "method": "m", "seed": 1, "xs": [1], "ys": []}]',
     'entry 1 is no run'),
    ('[{"task": "a", "method": "m", "seed": 1, "xs": ["x"], "ys": [1]}]',
     "step is 'x'")])
def test_a_file_of_something_else_is_refused_by_name(tmp_path, text, message):
  path = tmp_path / 'scores.json'
  path.write_text(text)
  with pytest.raises(checks.UserError, match=message) as caught:
    curve_files.read([path], _ALL)
  assert str(path) in str(caught.value)


def test_a_folder_without_a_run_is_refused(tmp_path):
  (tmp_path / 'a').mkdir()
  with pytest.raises(checks.UserError, match='has no run'):
    curve_files.read([tmp_path], _ALL)
  with pytest.raises(checks.UserError, match='does not exist'):
    curve_files.read([tmp_path / 'none'], _ALL)
  (tmp_path / 'a.txt').write_text('')
  with pytest.raises(checks.UserError, match='is a file; wanted a folder'):
    curve_files.read([tmp_path / 'a.txt'], _ALL)


def test_a_misspelt_axis_is_refused_with_those_near_it(tmp_path):
  _lines(tmp_path / 'catch' / 'm' / '1', _row(1))
  with pytest.raises(checks.UserError, match='Did you mean eval_return'):
    curve_files.read([tmp_path], curve_files.Wanted(yaxis='eval_retrun'))
  with pytest.raises(checks.UserError, match='finite stp.*mean step'):
    curve_files.read([tmp_path], curve_files.Wanted(xaxis='stp'))
