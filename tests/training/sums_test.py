"""Tests of the checksums of a run's files."""

import json
import shutil

import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums

_BEST = ('checkpoints/best/ckpt-4.index', 'checkpoints/best/evaluation.json')
_METRICS = ('metrics.jsonl', 'evaluations/metrics.jsonl')
_SETTINGS = ('operative_config.gin', 'protocol.json', 'specs.pbtxt')


def check(root, **which):
  sums.check(runs.RunFolder(root), **which)


@pytest.fixture
def root(tmp_path):
  for folder in ('checkpoints/best', 'replay', 'evaluations'):
    (tmp_path / folder).mkdir(parents=True)
  for name in (*_SETTINGS, *_METRICS, 'checkpoints/ckpt-8.index', *_BEST,
               'replay/000000000000.tfrecord'):
    (tmp_path / name).write_text(f'{name}: 12345\n')
  sums.Sums(runs.RunFolder(tmp_path)).write()
  return tmp_path


def test_of_a_folder_that_is_whole_nothing_is_said(root, capsys):
  check(root, rows=True)
  assert not capsys.readouterr().out


@pytest.mark.parametrize('name', [
    *_SETTINGS, *_METRICS, 'replay/000000000000.tfrecord'])
def test_one_digit_that_changed_is_told_by_its_file(root, capsys, name):
  path = root / name
  path.write_text(path.read_text().replace('3', '4'))
  check(root, rows=True)
  said = capsys.readouterr().out
  assert said.count('Note: ') == 1 and f'{path} is not as the run' in said


@pytest.mark.parametrize('name, is_told', [
    *((name, True) for name in _SETTINGS),
    *((name, False) for name in _METRICS),
    ('replay/000000000000.tfrecord', False)])
def test_files_that_grow_are_compared_up_to_the_last_save(
    root, capsys, name, is_told):
  with (root / name).open('a') as file:
    file.write('more\n')
  check(root, rows=True)
  assert ('Note' in capsys.readouterr().out) == is_told


@pytest.mark.parametrize('name', _METRICS)
def test_a_line_that_another_process_was_writing_may_be_cut(
    root, capsys, name):
  path = root / name
  whole = path.read_text()
  path.write_text(whole + '{"step": 1')
  sums.Sums(runs.RunFolder(root)).write()
  path.write_text(whole)  # as its next session does
  check(root)
  assert not capsys.readouterr().out


def test_a_run_without_an_evaluator_has_one_file_of_metrics(root, capsys):
  (root / 'evaluations' / 'metrics.jsonl').unlink()
  (root / 'evaluations').rmdir()
  sums.Sums(runs.RunFolder(root)).write()
  check(root)
  assert not capsys.readouterr().out


def test_a_file_that_is_missing_is_told(root, capsys):
  (root / 'metrics.jsonl').unlink()
  (root / 'checkpoints' / 'ckpt-8.index').unlink()  # which saves remove
  check(root)
  said = capsys.readouterr().out
  assert said.count('Note') == 1 and 'metrics.jsonl is missing' in said


def test_another_checkpoint_is_refused_until_the_user_wants_it(root):
  path = root / 'checkpoints' / 'ckpt-8.index'
  path.write_text('another')
  with pytest.raises(checks.UserError, match=f'{path} is not that of this run'):
    check(root)
  (root / 'sums.json').unlink()
  check(root)


def test_a_checkpoint_that_the_run_has_not_listed_is_refused(root, capsys):
  path = root / 'checkpoints' / 'ckpt-5000.index'
  path.write_text('of another run')
  with pytest.raises(checks.UserError, match='is not listed in sums.json'):
    check(root)
  sums.Sums(runs.RunFolder(root)).begin(path)  # a save of this run, killed
  check(root)
  assert not capsys.readouterr().out


def test_where_every_listed_checkpoint_is_gone_another_is_refused(root):
  (root / 'checkpoints' / 'ckpt-8.index').rename(
      root / 'checkpoints' / 'ckpt-9.index')
  with pytest.raises(checks.UserError, match=r'ckpt-9.*is not listed'):
    check(root)


@pytest.mark.parametrize('name', [*_BEST, 'checkpoints/best/ckpt-7.index'])
def test_another_best_is_told_and_refused_where_it_is_used(root, capsys, name):
  (root / name).write_text('another')
  check(root)
  assert f'Note: {root / name} is not that of this run' in (
      capsys.readouterr().out)
  with pytest.raises(checks.UserError, match='is not that of this run'):
    check(root, best=True)


def test_a_damaged_last_checkpoint_is_no_reason_to_refuse_the_best(
    root, capsys):
  (root / 'checkpoints' / 'ckpt-8.index').write_text('another')
  check(root, best=True)
  assert not capsys.readouterr().out


@pytest.mark.parametrize('protocol, is_told', [
    ('{"checksums": true}', True), ('{}', False), ('damaged', False)])
def test_sums_that_are_missing_are_told_where_the_run_had_them(
    root, capsys, protocol, is_told):
  (root / 'protocol.json').write_text(protocol)
  (root / 'sums.json').unlink()
  check(root)
  assert ('sums.json is missing' in capsys.readouterr().out) == is_told


def test_a_kill_while_files_are_replaced_is_no_damage(root, capsys):
  writer = sums.Sums(runs.RunFolder(root))
  writer.begin(*(
      root / name for name in ('checkpoints/ckpt-8.index', *_SETTINGS)))
  for name in ('checkpoints/ckpt-8.index', _SETTINGS[0]):
    (root / name).write_text('new')
  check(root)
  assert not capsys.readouterr().out
  (root / 'metrics.jsonl').write_text('')
  check(root)
  assert 'metrics.jsonl is not as' in capsys.readouterr().out


def test_rows_are_summed_once_they_have_a_beginning(root, capsys):
  path = root / 'replay' / '000000000000.tfrecord'
  writer = sums.Sums(runs.RunFolder(root))
  for size in (10, 2**18, 2**18 + 10):
    path.write_bytes(b'x' * size)
    writer.write()
  check(root, rows=True)
  path.write_bytes(b'y' + b'x' * 2**18)
  check(root)  # those who do not read rows
  assert not capsys.readouterr().out
  check(root, rows=True)
  assert '.tfrecord is not as' in capsys.readouterr().out


@pytest.mark.parametrize('text', [
    '', '[]', '{"files": 1}', '{"files": {"protocol.json": 7}}', '{"x": {}}'])
def test_sums_that_are_damaged_are_told_and_nothing_is_refused(
    root, capsys, text):
  (root / 'sums.json').write_text(text)
  check(root)
  assert f'{root}/sums.json cannot be read' in capsys.readouterr().out


def test_only_files_of_a_run_are_looked_at(root, capsys):
  shutil.rmtree(root / 'checkpoints')
  names = ('../secret', '/etc/passwd', 'replay/../../x.tfrecord', 'other')
  (root / 'sums.json').write_text(json.dumps(
      {'files': {name: [1, 'x'] for name in names}, 'begun': list(names)}))
  check(root, rows=True)
  assert not capsys.readouterr().out
