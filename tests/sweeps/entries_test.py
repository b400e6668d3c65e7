"""Tests of the list of a sweep: written whole, read as data."""

import errno
import json
import os

import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa import durable
from dreamerv2_tfa.sweeps import entries
from dreamerv2_tfa.sweeps import product

_LINE = {'run': 'catch-seed3', 'task': 'catch', 'seed': 3, 'vary': {},
         'command': ['--task=catch', '--seed=3']}


@pytest.fixture
def folder(tmp_path):
  return entries.Folder(tmp_path)


def _listed(folder, **changed):
  folder.path.write_text(json.dumps({**_LINE, **changed}) + '\n')
  return entries.read(folder)


def test_a_list_is_read_as_it_was_written(folder):
  made = product.make(
      ['catch', 'own:größe'], [0, 5],
      {'Encoder.image_keys': ["'it\\'s \"#\"\u2028'", '"a, b"']},
      ['--gin_file=my file.gin', "--gin_bindings=a.b = 'x\ty'"])
  entries.write(folder, made)
  assert entries.read(folder) == made
  lines = folder.path.read_text().split('\n')
  assert len(lines) == 9 and json.loads(lines[0])['seed'] == 0
  assert os.listdir(folder.root) == [folder.path.name]


def test_there_is_no_list_where_there_is_no_file(folder):
  assert entries.read(folder) == []


def test_a_full_disk_leaves_the_list_that_was_there(folder, monkeypatch):
  there = _listed(folder)

  def full(path):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(durable, 'sync', full)
  with pytest.raises(checks.UserError, match='No space left.*Make room'):
    entries.write(folder, product.make(['catch'], [0], {}, []))
  assert os.listdir(folder.root) == [folder.path.name]
  assert entries.read(folder) == there


@pytest.mark.parametrize('text', [
    '', '\n', 'x', '[]', '{}', '{"run": "a-seed0"}', '[' * 10**5,
    json.dumps(_LINE)[:-9], json.dumps(_LINE) + '\n' + json.dumps(_LINE)[:9],
    json.dumps({**_LINE, 'more': 1}), '\n'.join([json.dumps(_LINE)] * 2)])
def test_a_damaged_list_is_refused_with_the_way_out(folder, text):
  folder.path.write_text(text)
  with pytest.raises(checks.UserError, match='is damaged.*move it away and'):
    entries.read(folder)


def test_a_damaged_line_is_named(folder):
  folder.path.write_text(json.dumps(_LINE) + '\n{"run"')
  with pytest.raises(checks.UserError, match='jsonl, line 2, is damaged'):
    entries.read(folder)


def test_a_pipe_and_a_text_of_another_kind_are_refused(folder):
  folder.path.write_bytes(b'\xff\xfe')
  with pytest.raises(checks.UserError, match='is damaged'):
    entries.read(folder)
  folder.path.unlink()
  os.mkfifo(folder.path)
  with pytest.raises(checks.UserError, match='no regular file'):
    entries.read(folder)


@pytest.mark.parametrize('run', [
    '../x-seed3', '/x-seed3', '.x-seed3', 'a/b-seed3', '', 'lock', 7, None,
    'sweep.jsonl', '~-seed3', 'x-seed3/', 'x\n-seed3', 'x-seed3\n'])
def test_a_run_cannot_be_outside_of_the_folder(folder, run):
  with pytest.raises(checks.UserError, match='is no name of a run'):
    _listed(folder, run=run)


@pytest.mark.parametrize('command', [
    [], 'x', None, ['--task=catch'], ['--task=catch', '--seed=4'],
    ['--task=x', '--seed=3'], ['--task=catch', '--seed=3', '--seed=3'],
    *([*_LINE['command'], extra] for extra in (
        '--root_dir=/x', '--logdir=/x', '--flagfile=/x', '--dry_run',
        '--role=all', '--', 'word', '-task=x', '--notask', '--pdb', '--steps',
        7, '--gin_file', '--list_tasks=x'))])
def test_a_command_has_the_flags_of_a_sweep_alone(folder, command):
  with pytest.raises(checks.UserError, match='is damaged'):
    _listed(folder, command=command)


@pytest.mark.parametrize('changed', [
    {'seed': '3'}, {'seed': 3.0}, {'seed': True}, {'task': 7}, {'vary': []},
    {'vary': {'a.b': 7}}])
def test_a_value_of_another_type_is_refused(folder, changed):
  with pytest.raises(checks.UserError, match='is damaged'):
    _listed(folder, **changed)


@pytest.mark.parametrize('name', ['catch-seed3', 'catch-seed3.log'])
def test_a_link_out_of_the_folder_is_refused(folder, name, tmp_path_factory):
  entry, = _listed(folder)
  (folder.root / name).symlink_to(tmp_path_factory.mktemp('other'))
  with pytest.raises(checks.UserError, match='is a link to'):
    folder.run(entry)
    folder.log(entry)


def test_a_link_to_the_whole_folder_is_followed(folder, tmp_path_factory):
  link = tmp_path_factory.mktemp('link') / 'here'
  link.symlink_to(folder.root)
  entry, = _listed(folder)
  assert entries.Folder(link).run(entry) == link / 'catch-seed3'


def test_the_folder_of_a_run_is_said_last(folder):
  entry, = _listed(folder)
  assert folder.arguments(entry) == [
      '--task=catch', '--seed=3', f'--root_dir={folder.root}/catch-seed3']


def test_another_list_is_refused_by_its_first_difference(folder):
  there = product.make(['catch'], [0, 1], {}, [])
  entries.check_same(folder, there, list(there))
  with pytest.raises(checks.UserError, match='line 2 is --task=catch --seed=1;'
                     ' got --task=catch --seed=7.*another --sweep_dir'):
    entries.check_same(folder, there, product.make(['catch'], [0, 7], {}, []))
  with pytest.raises(checks.UserError, match='line 3 is no run; got --task'):
    entries.check_same(folder, there, product.make(['catch'], [*range(3)], {},
                                                   []))
  with pytest.raises(checks.UserError, match='line 2 .*; got no run'):
    entries.check_same(folder, there, product.make(['catch'], [0], {}, []))


@pytest.mark.parametrize('task, more', [
    ('own:make', []), ('gym_own:Env-v0', []),
    *(('catch', [f'--gin_bindings={line}']) for line in (
        'import os', 'from os import path', "include 'x.gin'",
        'a.b = 1\nimport os', 'a.b = 1\rimport os', 'a.b:\n  c = 1',
        "train.callbacks = ('own:tell',)", "x/train . callbacks = %x",
        "train.loggers = ('jsonl', 'own:make')", 'train.loggers = %mine',
        'train.loggers = @mine()', "train.loggers = ('own\\x3amake',)",
        "train.loggers = ('own\\N{COLON}make',)",
        "train.loggers = ('own' '\\72' 'make',)",
        "a/train . loggers = ['own\\x3amake']", "mine = ('own:make',)",
        "x = {'own:make': 1}", 'train.batch_size = @suite_gym.load()',
        'train.steps = 1 mine.x = 2', "train.steps = f'{own}'",
        'train.steps = ' + '(' * 500, 'train.steps = ' + '-' * 10**5 + '1',
        'train.steps ='))])
def test_a_list_imports_no_module_without_the_word_of_the_command(
    folder, task, more):
  listed = _listed(
      folder, task=task, command=[f'--task={task}', '--seed=3', *more])
  with pytest.raises(checks.UserError, match='line 1, has the .*yours, or you'):
    entries.check_imports(folder, listed, 'bin/sweep')


@pytest.mark.parametrize('file', [
    'mine.gin', 'debug.gin', '/elsewhere/mine.gin', '../debug', 'debug ', ''])
def test_a_gin_file_that_is_no_preset_needs_the_word_as_well(folder, file):
  command = [*_LINE['command'], '--gin_file=debug', f'--gin_file={file}']
  with pytest.raises(checks.UserError, match='the gin file'):
    entries.check_imports(folder, _listed(folder, command=command), 'x')
  command = [*_LINE['command'], '--gin_file=atari', '--gin_file=debug']
  entries.check_imports(folder, _listed(folder, command=command), 'x')


@pytest.mark.parametrize('line', [
    'train.batch_size = 16', "train.loggers = ('jsonl', 'csv')",
    "reward/MLP.units = 7", "Encoder.image_keys = 'import os'",
    'train.steps = 1e6', 'a.b = (1, [-2.5, None, True])', 'a.b = 1  # one'])
def test_plain_settings_need_no_word(folder, line):
  listed = _listed(
      folder, command=[*_LINE['command'], f'--gin_bindings={line}'])
  entries.check_imports(folder, listed, 'bin/sweep')


def test_the_settings_of_a_run_are_its_files_bindings_and_flags(folder):
  listed = _listed(folder, command=[
      *_LINE['command'], '--gin_file=debug', '--gin_file=mine.gin',
      "--gin_bindings=a.b = 'x=y'", '--steps=2e3', '--precision=16',
      '--environments=1\nimport os'])
  assert entries.settings(listed[0]) == (
      ['debug', 'mine.gin'],
      ["a.b = 'x=y'", 'train.steps = 2000', "train.precision = '16'",
       "train.environments = '1\\nimport os'"])
