"""Tests of the edge: Ctrl-C at any moment, full disks, ports in use."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import gin
import pytest
import tensorflow as tf

from dreamerv2_tfa.deployment import server
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import disk
from dreamerv2_tfa.training import policies
from dreamerv2_tfa.training import train

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DEBUG = ('--gin_file=quickstart', '--gin_file=debug')


def _start(folder, program, *arguments, path=_ROOT):
  return subprocess.Popen(
      [sys.executable, '-m', f'dreamerv2_tfa.commands.{program}', *arguments],
      cwd=folder, env={**os.environ, 'PYTHONPATH': str(path)}, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# Ctrl-C -----------------------------------------------------------------------

_PROGRAMS = {
    'train': [], 'check_env': ['catch'], 'import_published': ['--from=x'],
    'export': ['--root_dir=x', '--out=y'], 'serve': ['--policy=x'],
}


@pytest.mark.parametrize('program', _PROGRAMS)
def test_ctrl_c_while_the_libraries_are_imported_is_one_line(
    program, tmp_path):
  # In the place of TensorFlow, which every program imports after its flags.
  fake = tmp_path / 'fake' / 'tensorflow'
  fake.mkdir(parents=True)
  (fake / '__init__.py').write_text(
      'import signal\nsignal.raise_signal(signal.SIGINT)\n')
  process = _start(
      tmp_path, program, *_PROGRAMS[program],
      path=f'{tmp_path / "fake"}:{_ROOT}')
  _, error = process.communicate(timeout=60)
  assert (process.returncode, error) == (-signal.SIGINT, 'Stopped.\n')
  assert [path.name for path in tmp_path.iterdir()] == ['fake']


@pytest.mark.slow
def test_a_third_ctrl_c_while_it_saves_is_one_line(tmp_path):
  script = (
      'import os, signal, sys\n'
      'from dreamerv2_tfa.commands import train\n'
      'from dreamerv2_tfa.training import checkpoints\n'
      'def save(*args, **kwargs):\n'
      '  signal.raise_signal(signal.SIGINT)\n'
      '  signal.raise_signal(signal.SIGINT)\n'
      '  signal.raise_signal(signal.SIGINT)\n'
      'checkpoints.Checkpoints.save = save\n'
      'train.main()\n')
  process = subprocess.run(
      [sys.executable, '-c', script, *_DEBUG, '--root_dir=run'], cwd=tmp_path,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)}, text=True, check=False,
      capture_output=True, timeout=300)
  assert process.returncode == -signal.SIGINT
  line, = process.stderr.splitlines()
  assert line.startswith('Stopped at once by a further signal.')


@pytest.mark.slow
@pytest.mark.parametrize('seconds', [1.0, 3.0, 6.0, 9.0])
def test_ctrl_c_at_any_moment_shows_no_traceback(seconds, tmp_path):
  process = _start(tmp_path, 'train', *_DEBUG, '--root_dir=run')
  time.sleep(seconds)
  process.send_signal(signal.SIGINT)
  output, error = process.communicate(timeout=300)
  assert 'Traceback' not in error and len(error.splitlines()) <= 1
  saved = (tmp_path / 'run' / 'checkpoints').exists()
  if process.returncode == -signal.SIGINT:
    assert 'Stopped' in error
  else:  # saved, or done
    assert process.returncode in (0, 130)
    assert saved and ('same command' in output or 'Done' in output)


# Disks ------------------------------------------------------------------------


@pytest.mark.parametrize('error', [
    OSError(28, 'No space left on device'), OSError(122, 'Disk quota exceeded'),
    OSError(30, 'Read-only file system'),
    tf.errors.ResourceExhaustedError(
        None, None, '/a/run/x: No space left on device'),
    tf.errors.InternalError(None, None, 'x; Input/output error [Op:Write]'),
])
def test_a_disk_that_cannot_be_written_is_named_with_the_way_out(error):
  with pytest.raises(disk.DiskError, match='/a/run cannot be.*same command'):
    with disk.named('/a/run'):
      raise error


@pytest.mark.parametrize('error', [
    OSError(2, 'No such file or directory'), ValueError('No space left'),
    tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating'),
    disk.DiskError('said before'),
])
def test_another_error_stays_what_it_is(error):
  with pytest.raises(type(error)) as raised:
    with disk.named('/a/run'):
      raise error
  assert raised.value is error


_WRITES = {
    'replay': (store.Store, 'save'),
    'checkpoint': (tf.train.Checkpoint, 'write'),
    'policies': (policies.Policies, 'save'),
}


@pytest.mark.slow
@pytest.mark.parametrize('where', _WRITES)
def test_a_run_that_meets_a_full_disk_resumes_once_there_is_room(
    where, tmp_path, clean, capsys):
  def run():
    gin.clear_config()
    config.parse(['quickstart', 'debug'], ['train.eager = False'])
    train.train(tmp_path / 'run')

  def full(*args, **kwargs):
    raise tf.errors.ResourceExhaustedError(
        None, None, 'x: No space left on device')

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(*_WRITES[where], full)
    with pytest.raises(disk.DiskError, match='No space left on device'):
      run()
  if where == 'policies':
    run()
    assert 'Done: 120 frames, 5 updates.' in capsys.readouterr().out


def test_a_full_disk_under_the_metrics_is_named(tmp_path):
  (tmp_path / 'metrics.jsonl').symlink_to('/dev/full')
  with pytest.raises(disk.DiskError, match='No space left'):
    with disk.named(tmp_path), open(tmp_path / 'metrics.jsonl', 'w') as file:
      file.write('x')


# Ports ------------------------------------------------------------------------


@pytest.mark.parametrize('host', ['127.0.0.1', 'localhost', '0.0.0.0'])
def test_a_port_in_use_is_refused_before_the_policy_is_loaded(host, tmp_path):
  with socket.create_server(('127.0.0.1', 0)) as taken:
    port = taken.getsockname()[1]
    with pytest.raises(ValueError, match=f'--port={port}: Address already in'):
      server.make(tmp_path, host=host, port=port)


@pytest.mark.parametrize('host', ['203.0.113.7', 'no.such.host.invalid'])
def test_an_address_of_another_machine_is_refused(host, tmp_path):
  with pytest.raises(ValueError, match=f'Cannot listen at --host={host}'):
    server.make(tmp_path, host=host, port=0)


def test_a_policy_that_cannot_be_loaded_leaves_the_port_free(tmp_path):
  with socket.create_server(('127.0.0.1', 0)) as free:
    port = free.getsockname()[1]
  with pytest.raises(ValueError, match='no export|policy.json'):
    server.make(tmp_path, port=port)
  socket.create_server(('127.0.0.1', port)).close()
