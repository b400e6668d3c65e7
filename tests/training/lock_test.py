"""Tests of the lock: one run a folder, as long as it lives."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest

from dreamerv2_tfa.training import lock

# The module alone: the package takes seconds to import.
_HOLD = f'''
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location('lock', {lock.__file__!r})
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
with lock.locked(pathlib.Path(sys.argv[1]) / 'lock'):
  print('locked', flush=True)
  sys.stdin.read()
'''


@contextlib.contextmanager
def _locking(folder):
  """Another process that holds the lock until it is killed."""
  process = subprocess.Popen(
      [sys.executable, '-c', _HOLD, folder], stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, text=True)
  try:
    assert process.stdout.readline() == 'locked\n'
    yield process
  finally:
    process.kill()
    process.communicate()


def test_a_folder_whose_run_lives_is_refused_with_its_process(tmp_path):
  with _locking(tmp_path) as process:
    with pytest.raises(ValueError, match='is in use') as refusal:
      with lock.locked(tmp_path / 'lock'):
        raise AssertionError('two hold it')
  message = str(refusal.value)
  assert f'process {process.pid} on {os.uname().nodename}' in message
  assert str(tmp_path) in message and 'another --root_dir' in message


def test_a_refused_run_changes_nothing(tmp_path):
  with _locking(tmp_path):
    before = (tmp_path / 'lock').read_bytes()
    with pytest.raises(ValueError), lock.locked(tmp_path / 'lock'):
      pass
    assert (tmp_path / 'lock').read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['lock']


def test_a_folder_is_free_after_sigkill(tmp_path):
  with _locking(tmp_path) as process:
    process.kill()
    process.wait()
    with lock.locked(tmp_path / 'lock'):
      pass


def test_a_folder_is_free_after_the_end_and_after_an_error(tmp_path):
  for _ in range(2):
    with pytest.raises(RuntimeError), lock.locked(tmp_path / 'lock'):
      raise RuntimeError
  with lock.locked(tmp_path / 'lock'):
    assert json.loads((tmp_path / 'lock').read_text())['pid'] == os.getpid()
  assert (tmp_path / 'lock').read_text() == ''


def test_two_threads_of_a_process_do_not_share_a_folder(tmp_path):
  refusals = []

  def second():
    try:
      with lock.locked(tmp_path / 'lock'):
        pass
    except ValueError as error:
      refusals.append(error)

  with lock.locked(tmp_path / 'lock'):
    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
  assert len(refusals) == 1


def test_other_paths_to_a_folder_are_the_same_folder(tmp_path):
  (tmp_path / 'link').symlink_to(tmp_path / 'run')
  with lock.locked(tmp_path / 'run' / 'lock'):
    with pytest.raises(ValueError, match='in use'):
      with lock.locked(tmp_path / 'link' / 'lock'):
        pass


def test_a_child_process_does_not_keep_the_lock(tmp_path):
  with lock.locked(tmp_path / 'lock'):
    child = subprocess.Popen(['sleep', '60'], close_fds=False)
  try:
    with lock.locked(tmp_path / 'lock'):
      pass
  finally:
    child.kill()
    child.wait()


def test_a_folder_that_got_nothing_is_removed_again(tmp_path):
  with lock.locked(tmp_path / 'deep' / 'down' / 'lock'):
    assert (tmp_path / 'deep' / 'down' / 'lock').exists()
  assert not list(tmp_path.iterdir())


def test_a_folder_that_was_there_or_got_something_stays(tmp_path):
  with lock.locked(tmp_path / 'new' / 'lock'):
    (tmp_path / 'new' / 'file').touch()
  (tmp_path / 'empty').mkdir()
  with lock.locked(tmp_path / 'empty' / 'lock'):
    pass
  assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*')} == {
      'new', 'new/file', 'new/lock', 'empty', 'empty/lock'}


def test_a_lock_file_that_was_removed_meanwhile_is_not_taken_for_the_lock(
    tmp_path, monkeypatch):
  # Whoever held it removes it between our opening and our locking it.
  flock, removed = lock.fcntl.flock, []

  def late(file, operation):
    if not removed:
      removed.append(True)
      pathlib.Path(file.name).unlink()
    flock(file, operation)

  monkeypatch.setattr(lock.fcntl, 'flock', late)
  with lock.locked(tmp_path / 'lock'):
    with pytest.raises(ValueError, match='in use'), lock.locked(
        tmp_path / 'lock'):
      pass


def test_where_nothing_can_be_locked_that_is_said(
    tmp_path, monkeypatch, capsys):
  def refuse(*unused):
    raise OSError(lock.errno.ENOLCK, 'No locks available')

  monkeypatch.setattr(lock.fcntl, 'flock', refuse)
  with lock.locked(tmp_path / 'lock'):
    pass
  assert 'cannot be locked (No locks available)' in capsys.readouterr().out
