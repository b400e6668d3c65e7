"""Tests of the run's folder: what may be written, what is there."""

import json
import os
import pathlib
import tempfile

import pytest
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import summary


def test_a_folder_that_does_not_exist_may_be_written(tmp_path):
  runs.RunFolder(tmp_path / 'deep' / 'down').check_writable()


def test_a_folder_that_exists_may_be_written(tmp_path):
  runs.RunFolder(str(tmp_path)).check_writable()


def test_checking_leaves_nothing_behind(tmp_path):
  runs.RunFolder(tmp_path / 'deep' / 'down').check_writable()
  assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_refused_by_name(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match='cannot be written') as refusal:
    runs.RunFolder(tmp_path / 'file' / 'run').check_writable()
  assert str(tmp_path / 'file' / 'run') in str(refusal.value)
  assert 'Not a directory' in str(refusal.value)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match='Give another with --root_dir=DIR'):
    runs.RunFolder(tmp_path / 'file').check_writable()


@pytest.mark.parametrize('path', [
    'gs://bucket/run', 's3://bucket/run', 'file:///tmp/run', 'hdfs://a/b', '',
    pathlib.Path('gs://bucket/run'),
])
def test_what_is_no_folder_of_this_machine_is_refused(path):
  with pytest.raises(ValueError, match='--root_dir must be the path of a fold'):
    checks.folder('--root_dir', path)


@pytest.mark.parametrize('character', '[]*?\\')
def test_what_tensorflow_takes_for_a_pattern_is_refused(character):
  with pytest.raises(ValueError, match='takes for a pattern') as refusal:
    checks.folder('--root_dir', f'runs/one{character}two')
  assert f'one{character}two'.replace('\\', '\\\\') in str(refusal.value)


def test_a_tilde_is_the_home_directory(monkeypatch):
  monkeypatch.setenv('HOME', '/home/someone')
  assert str(checks.folder('x', '~/run')) == '/home/someone/run'
  assert str(checks.folder('x', 'run/~')) == 'run/~'


@pytest.mark.parametrize('path', [
    'run', '../a run', '/tmp/größe 日本', "it's", 'a:b', '-run', 'a#b%20{c}$d',
])
def test_other_paths_are_left_as_they_are(path):
  assert str(checks.folder('x', path)) == path


def test_a_folder_that_takes_no_file_is_refused_with_the_reason(
    tmp_path, monkeypatch):
  # The user that runs the tests may write everywhere: pretend.
  def refuse(*args, **kwargs):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
  with pytest.raises(ValueError, match='Permission denied') as refusal:
    runs.RunFolder(tmp_path / 'new').check_writable()
  assert f'{tmp_path}' in str(refusal.value)


def test_a_home_directory_may_be_written_with_a_tilde(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path / 'file'))
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match=f'{tmp_path}/file/run'):
    runs.RunFolder('~/run').check_writable()


def test_a_name_that_is_too_long_is_refused(tmp_path):
  with pytest.raises(ValueError, match='cannot be written'):
    runs.RunFolder(tmp_path / ('a' * 300)).check_writable()


def test_a_folder_inside_one_that_may_not_be_read_is_refused(
    tmp_path, monkeypatch):
  stat = os.stat

  def refuse_inside(path, *args, **kwargs):
    if str(path).startswith(str(tmp_path) + os.sep):
      raise PermissionError(13, 'Permission denied', str(path))
    return stat(path, *args, **kwargs)

  monkeypatch.setattr(os, 'stat', refuse_inside)
  with pytest.raises(ValueError, match='cannot be written'):
    runs.RunFolder(tmp_path / 'locked' / 'run').check_writable()


def test_a_folder_without_a_checkpoint_has_0_steps(tmp_path):
  assert runs.RunFolder(tmp_path / 'new').saved_steps() == 0


def test_the_steps_of_a_folder_are_those_of_its_last_checkpoint(tmp_path):
  saver = checkpoints.Checkpoints(tmp_path / 'checkpoints', x=tf.Variable(1.0))
  for steps in (800, 1200):
    saver.save(steps)
  assert runs.RunFolder(tmp_path).saved_steps() == 1200
  assert runs.RunFolder(tmp_path).resumed_steps() == 1200


# Where a run begins -----------------------------------------------------------


def test_a_new_or_an_empty_folder_is_begun_in_silence(tmp_path, capsys):
  assert runs.RunFolder(tmp_path / 'new').resumed_steps() is None
  (tmp_path / 'metrics.jsonl').touch()
  assert runs.RunFolder(tmp_path).resumed_steps() is None
  assert not capsys.readouterr().out


def test_a_run_killed_before_its_first_save_begins_again_and_says_so(
    tmp_path, capsys):
  (tmp_path / 'metrics.jsonl').write_text('{"step": 40}\n')
  assert runs.RunFolder(tmp_path).resumed_steps() is None
  line, = capsys.readouterr().out.splitlines()
  assert str(tmp_path) in line and 'saved no checkpoint' in line


@pytest.mark.parametrize('left', [
    'replay/000000000000.npz', 'checkpoints/ckpt-40.data-00000-of-00001',
])
def test_rows_or_parts_of_a_checkpoint_are_not_written_over(tmp_path, left):
  (tmp_path / left).parent.mkdir()
  (tmp_path / left).touch()
  with pytest.raises(ValueError, match='has no checkpoint, but') as refusal:
    runs.RunFolder(tmp_path).resumed_steps()
  message = str(refusal.value)
  assert left.split('/')[0] in message and 'move these files away' in message


def test_what_a_killed_save_left_behind_is_no_checkpoint(tmp_path):
  (tmp_path / 'checkpoints' / 'ckpt-40_temp').mkdir(parents=True)
  (tmp_path / 'checkpoints' / 'ckpt-40_temp' / 'part').touch()
  assert runs.RunFolder(tmp_path).resumed_steps() is None


@pytest.mark.parametrize('resumed, steps, rows, exported, episodes, wanted', [
    (80, 80, [320], True, 1, True),
    (80, 60, [320], True, 1, True),
    (80, 81, [320], True, 1, False),
    (None, 80, [], False, 1, False),
    (80, 80, [160], True, 1, False),  # the last evaluation was stopped
    (80, 80, [320], False, 1, False),  # the export was
    (80, 80, [], True, 0, True),  # there are none to play
])
def test_a_run_is_finished_once_it_is_evaluated_and_exported(
    tmp_path, resumed, steps, rows, exported, episodes, wanted):
  protocol = {'task': 'x', 'action_repeat': 4, 'precision': 'float32',
              'seed': 0, 'presets': []}
  (tmp_path / 'protocol.json').write_text(json.dumps(protocol))
  (tmp_path / 'metrics.jsonl').write_text(''.join(
      f'{{"step": {step}, "eval_return": 1.0}}\n' for step in rows))
  if exported:
    (tmp_path / 'policies' / 'greedy').mkdir(parents=True)
  folder = runs.RunFolder(tmp_path)
  assert summary.is_finished(folder, resumed, steps, episodes) == wanted
  assert summary.finished(folder, 80, steps) == (
      f'The run in {tmp_path} is finished: 80 of {steps} steps. To train '
      'longer: --steps=160')


@pytest.mark.parametrize('on_path', [False, True])
def test_the_line_to_copy_names_a_program_that_is_there(
    tmp_path, monkeypatch, on_path):
  program = tmp_path / 'a b' / 'tensorboard'
  program.parent.mkdir()
  program.write_text('')
  monkeypatch.setattr(
      summary.shutil, 'which',
      lambda name: f'/usr/bin/{name}' * on_path or None)
  monkeypatch.setattr(
      summary.sys, 'executable', str(program.with_name('python')))
  first, second = summary.where(tmp_path / 'my run').splitlines()
  assert first == f'Run folder: {tmp_path}/my run'
  command = 'tensorboard' if on_path else f"'{program}'"
  assert second == f"Watch it:   {command} --logdir '{tmp_path}/my run'"
