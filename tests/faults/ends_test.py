"""Tests of how a run ends: by signals, closed terminals, full disks."""

import os
import pty
import signal
import subprocess
import sys

import disturbed
import pytest

pytestmark = pytest.mark.slow

_COLLECT = 'training.trainer.Trainer.collect'
_MOMENTS = {
    'prefill': ('training.trainer.Trainer.prefill', 1),
    'collect': (_COLLECT, 9),
    'update': ('training.trainer.Trainer.update', 9),
    'evaluation': ('training.evaluation.Evaluation._begin', 1),
    'save': ('training.commit.Commit.save', 2),
    'export': ('training.policies.Policies.save', 1),
}


def send(*numbers):
  return '; '.join(f'signal.raise_signal({int(x)})' for x in numbers)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The metrics of a run that nothing disturbs."""
  root = tmp_path_factory.mktemp('whole') / 'run'
  assert disturbed.run(root)[0] == 0
  return disturbed.metrics(root)


@pytest.mark.parametrize('moment, number', [
    ('prefill', signal.SIGTERM), ('collect', signal.SIGHUP),
    ('update', signal.SIGINT), ('evaluation', signal.SIGTERM),
    ('save', signal.SIGINT), ('export', signal.SIGHUP)])
def test_a_signal_saves_and_the_same_command_continues_exactly(
    moment, number, whole, tmp_path):
  function, call = _MOMENTS[moment]
  code, output = disturbed.run(
      tmp_path / 'run', code=disturbed.at(function, send(number), call))
  assert code == 128 + number, output
  assert f'{number.name}: the run stops and saves' in output
  assert 'Stopped and saved at' in output and 'Traceback' not in output
  code, output = disturbed.run(tmp_path / 'run')
  assert code == 0 and 'Resumed at' in output, output
  assert disturbed.metrics(tmp_path / 'run') == whole


def test_a_second_signal_while_it_saves_waits_for_the_save(tmp_path):
  code = disturbed.at(_COLLECT, send(signal.SIGTERM), 3) + disturbed.at(
      'training.commit.Commit.save', send(signal.SIGTERM))
  status, output = disturbed.run(tmp_path / 'run', code=code)
  assert status == 143 and 'Stopped and saved at' in output, output


@pytest.mark.parametrize('code', [
    disturbed.at(_COLLECT, send(signal.SIGINT, signal.SIGINT), 12),
    disturbed.at(_COLLECT, send(signal.SIGINT), 12) + disturbed.at(
        'training.commit.Commit.save', send(signal.SIGINT, signal.SIGINT), 2),
], ids=['the second while it trains', 'the third while it saves'])
def test_one_signal_more_ends_at_once_with_one_line(code, tmp_path):
  status, output = disturbed.run(tmp_path / 'run', code=code)
  # Python ends a program by the signal itself; a shell says 130.
  assert status == -signal.SIGINT and 'Traceback' not in output, output
  assert 'Stopped at once by a' in output
  status, output = disturbed.run(tmp_path / 'run')
  assert status == 0 and 'Done: 250 frames' in output


@pytest.mark.parametrize('number, wanted, line', [
    (signal.SIGINT, -signal.SIGINT, 'Stopped.'),
    (signal.SIGTERM, 143, 'Stopped by SIGTERM.')])
def test_a_signal_before_training_leaves_nothing_but_a_line(
    number, wanted, line, tmp_path):
  status, output = disturbed.run(tmp_path / 'run', code=(
      'from dreamerv2_tfa.training import parts\n'
      f'parts.build = lambda *_: {send(number)}\n'))
  assert status == wanted and 'Traceback' not in output, output
  assert line in output
  assert not (tmp_path / 'run').exists()


def test_two_signals_end_a_run_whose_environment_hangs(tmp_path):
  disturbed.write_environment(
      tmp_path,
      'if Mine.taken == 30: print("hangs", flush=True); time.sleep(1000)')
  hung = disturbed.start(tmp_path / 'run', task='mine:Mine', cwd=tmp_path)
  disturbed.until(hung, 'hangs')
  hung.send_signal(signal.SIGTERM)
  disturbed.until(hung, 'SIGTERM: the run stops and saves')
  hung.send_signal(signal.SIGTERM)
  output, _ = hung.communicate(timeout=60)
  assert hung.returncode == 143
  assert 'an environment or an update does not return' in output


def test_a_reader_that_ends_does_not_end_the_run(tmp_path):
  piped = disturbed.start(tmp_path / 'run')
  disturbed.until(piped, 'Prefill')
  piped.stdout.close()
  assert piped.wait(timeout=300) == 0
  assert disturbed.metrics(tmp_path / 'run')[-1]['step'] == 250


@pytest.mark.parametrize('closed', [[1], [2], [0, 1, 2]])
def test_a_run_with_closed_streams_is_the_same_run(closed, whole, tmp_path):
  run = disturbed.start(
      tmp_path / 'run', stdin=None, stdout=None, stderr=None,
      preexec_fn=lambda: [os.close(number) for number in closed])
  assert run.wait(timeout=300) == 0
  assert disturbed.metrics(tmp_path / 'run') == whole


def test_a_signal_after_the_last_step_ends_a_finished_run(tmp_path):
  code, output = disturbed.run(tmp_path / 'run', code=disturbed.at(
      'training.reporter.Reporter.done', send(signal.SIGTERM)))
  assert code == 0 and 'Done: ' in output, output
  assert 'Stopped' not in output


@pytest.mark.parametrize('kind, word', [
    ('dumb', b'fps'), ('xterm', b'Train: ')])  # lines, a bar
def test_a_closed_terminal_saves(kind, word, tmp_path, monkeypatch):
  monkeypatch.setenv('TERM', kind)
  ours, theirs = pty.openpty()
  run = disturbed.start(
      tmp_path / 'run', steps=1000000, stdin=theirs, stdout=theirs,
      stderr=theirs, start_new_session=True,
      preexec_fn=_take_terminal(theirs))
  os.close(theirs)
  seen = b''
  while word not in seen:
    seen += os.read(ours, 4096)
  os.close(ours)  # the kernel sends SIGHUP
  try:
    assert run.wait(timeout=120) == 129
  finally:
    run.kill()
  assert list((tmp_path / 'run' / 'checkpoints').glob('*.index'))


def _take_terminal(terminal):
  import fcntl
  import termios

  def prepare():
    disturbed.heed_hangup()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

  return prepare


def test_nohup_keeps_a_hangup_away(tmp_path):
  run = disturbed.start(
      tmp_path / 'run',
      preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
  disturbed.until(run, 'Prefill')
  run.send_signal(signal.SIGHUP)
  assert run.wait(timeout=300) == 0


def test_a_program_that_trains_ends_by_sigterm_and_returns_after_ctrl_c(
    tmp_path):
  code = (
      'import signal, sys\n'
      'import dreamerv2_tfa\n'
      f'{disturbed.at(_COLLECT, "signal.raise_signal(int(sys.argv[1]))", 2)}\n'
      'run = dreamerv2_tfa.train("catch", root_dir=sys.argv[2], '
      'preset=["quickstart", "debug"], steps=200, prefill=60)\n'
      'print("returned", run.folder.name)\n')
  for number, status in ((signal.SIGINT, 0), (signal.SIGTERM, 143)):
    root = tmp_path / number.name
    done = subprocess.run(
        [sys.executable, '-c', code, str(int(number)), root], text=True,
        env={**os.environ, 'PYTHONPATH': str(disturbed.ROOT)},
        capture_output=True, timeout=300, check=False)
    assert done.returncode == status, done.stderr
    assert (f'returned {root.name}' in done.stdout) == (status == 0)
    assert list((root / 'checkpoints').glob('*.index'))


def test_a_disk_that_is_full_is_named_and_the_run_continues_afterwards(
    tmp_path, whole):
  """No file may grow over a limit, as on a disk that is full."""
  limit = 'import resource\n' + disturbed.at(
      'training.commit.Commit.save',
      'resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000))', 2)
  status, output = disturbed.run(tmp_path / 'run', code=limit)
  assert status == 1 and 'Traceback' not in output, output
  assert 'cannot be written: File too large' in output
  assert 'give the same command' in output
  status, output = disturbed.run(tmp_path / 'run')
  assert status == 0, output
  assert disturbed.metrics(tmp_path / 'run') == whole


def test_too_little_memory_is_said_before_anything_begins(tmp_path):
  status, output = disturbed.run(tmp_path / 'run', code=(
      'import resource\n'
      'resource.setrlimit(resource.RLIMIT_AS, (3 * 10**9, 3 * 10**9))'))
  assert status == 1 and 'Traceback' not in output, output
  assert 'Replay memory of 1,000 steps needs' in output
  assert 'raise the limit of this process (ulimit -v)' in output
  assert not (tmp_path / 'run' / 'checkpoints').exists()
