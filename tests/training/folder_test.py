"""Tests of the run's folder: what may be written, what is there."""

import os
import tempfile

import pytest

from dreamerv2_tfa.training import folder


def test_a_folder_that_does_not_exist_may_be_written(tmp_path):
  folder.check_writable(tmp_path / 'deep' / 'down')


def test_a_folder_that_exists_may_be_written(tmp_path):
  folder.check_writable(str(tmp_path))


def test_checking_leaves_nothing_behind(tmp_path):
  folder.check_writable(tmp_path / 'deep' / 'down')
  assert not list(tmp_path.iterdir())


def test_a_file_in_the_way_is_refused_by_name(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match='cannot be written') as refusal:
    folder.check_writable(tmp_path / 'file' / 'run')
  assert str(tmp_path / 'file' / 'run') in str(refusal.value)
  assert 'Not a directory' in str(refusal.value)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match='Give another with --root_dir=DIR'):
    folder.check_writable(tmp_path / 'file')


def test_a_folder_that_takes_no_file_is_refused_with_the_reason(
    tmp_path, monkeypatch):
  # The user that runs the tests may write everywhere: pretend.
  def refuse(*args, **kwargs):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
  with pytest.raises(ValueError, match='Permission denied') as refusal:
    folder.check_writable(tmp_path / 'new')
  assert f'{tmp_path}' in str(refusal.value)


def test_a_home_directory_may_be_written_with_a_tilde(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path / 'file'))
  (tmp_path / 'file').write_text('x')
  with pytest.raises(ValueError, match=f'{tmp_path}/file/run'):
    folder.check_writable('~/run')


def test_a_name_that_is_too_long_is_refused(tmp_path):
  with pytest.raises(ValueError, match='cannot be written'):
    folder.check_writable(tmp_path / ('a' * 300))


def test_a_folder_inside_one_that_may_not_be_read_is_refused(
    tmp_path, monkeypatch):
  stat = os.stat

  def refuse_inside(path, *args, **kwargs):
    if str(path).startswith(str(tmp_path) + os.sep):
      raise PermissionError(13, 'Permission denied', str(path))
    return stat(path, *args, **kwargs)

  monkeypatch.setattr(os, 'stat', refuse_inside)
  with pytest.raises(ValueError, match='cannot be written'):
    folder.check_writable(tmp_path / 'locked' / 'run')


def test_a_folder_without_a_checkpoint_has_0_steps(tmp_path):
  assert folder.saved_steps(tmp_path / 'new') == 0


def test_the_steps_of_a_folder_are_those_of_its_last_checkpoint(tmp_path):
  directory = tmp_path / 'checkpoints'
  directory.mkdir()
  (directory / 'checkpoint').write_text(
      'model_checkpoint_path: "ckpt-1200"\n'
      'all_model_checkpoint_paths: "ckpt-800"\n'
      'all_model_checkpoint_paths: "ckpt-1200"\n')
  for steps in (800, 1200):
    (directory / f'ckpt-{steps}.index').write_bytes(b'')
  assert folder.saved_steps(tmp_path) == 1200
