"""Tests of the checksums of a run's files."""

import json

import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums

_SETTINGS = ('operative_config.gin', 'protocol.json', 'specs.pbtxt')


def check(root, **which):
  sums.check(runs.RunFolder(root), **which)


@pytest.fixture
def root(tmp_path):
  for folder in ('checkpoints', 'replay'):
    (tmp_path / folder).mkdir()
  for name in (*_SETTINGS, 'metrics.jsonl', 'checkpoints/ckpt-8.index',
               'replay/000000000000.tfrecord'):
    (tmp_path / name).write_text(f'{name}: 12345\n')
  sums.Sums(runs.RunFolder(tmp_path)).write()
  return tmp_path


def test_of_a_folder_that_is_whole_nothing_is_said(root, capsys):
  check(root, rows=True)
  assert not capsys.readouterr().out


@pytest.mark.parametrize('name', [
    *_SETTINGS, 'metrics.jsonl', 'replay/000000000000.tfrecord'])
def test_one_digit_that_changed_is_told_by_its_file(root, capsys, name):
  path = root / name
  path.write_text(path.read_text().replace('3', '4'))
  check(root, rows=True)
  said = capsys.readouterr().out
  assert said.count('Note: ') == 1 and f'{path} is not as the run' in said


@pytest.mark.parametrize('name, is_told', [
    *((name, True) for name in _SETTINGS), ('metrics.jsonl', False),
    ('replay/000000000000.tfrecord', False)])
def test_files_that_grow_are_compared_up_to_the_last_save(
    root, capsys, name, is_told):
  with (root / name).open('a') as file:
    file.write('more\n')
  check(root, rows=True)
  assert ('Note' in capsys.readouterr().out) == is_told


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
  names = ('../secret', '/etc/passwd', 'replay/../../x.tfrecord', 'other')
  (root / 'sums.json').write_text(json.dumps(
      {'files': {name: [1, 'x'] for name in names}}))
  check(root, rows=True)
  assert not capsys.readouterr().out
