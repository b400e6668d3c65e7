"""Tests of standard output that goes away: a run does not end by it."""

import io
import os
import subprocess
import sys

import pytest

from dreamerv2_tfa.training import output

_PROGRAM = '''
import sys, time
from dreamerv2_tfa.training import output
with output.unbroken():
  for number in range(200):
    print('x' * 1000, flush=True)
    print('y' * 1000, file=sys.stderr)
print('more')
sys.exit(7)
'''


@pytest.mark.parametrize('target', ['pipe', '/dev/full'])
def test_a_program_reaches_its_end_when_nobody_reads(target):
  if target == 'pipe':
    reads, writes = os.pipe()
    os.close(reads)
  else:
    writes = os.open(target, os.O_WRONLY)
  done = subprocess.run(
      [sys.executable, '-c', _PROGRAM], stdout=writes, stderr=writes,
      timeout=120, check=False)
  os.close(writes)
  assert done.returncode == 7


def test_a_line_is_there_before_the_next_is_written(monkeypatch, tmp_path):
  path = tmp_path / 'log'
  with path.open('w') as log:
    monkeypatch.setattr(sys, 'stdout', log)
    with output.unbroken():
      print('Waiting for the replay server.')
      assert path.read_text() == 'Waiting for the replay server.\n'
      print('so ', end='')
      print('far')
      assert path.read_text().endswith('\nso far\n')


def test_what_is_read_is_written_and_the_streams_are_put_back(capsys):
  before = sys.stdout, sys.stderr
  with output.unbroken():
    print('one')
    print('two', file=sys.stderr)
    assert sys.stdout.encoding and not sys.stdout.isatty()
  assert (sys.stdout, sys.stderr) == before
  assert capsys.readouterr() == ('one\n', 'two\n')


def test_a_stream_that_was_put_there_meanwhile_stays(monkeypatch):
  other = io.StringIO()
  monkeypatch.setattr(sys, 'stdout', sys.stdout)
  with output.unbroken():
    sys.stdout = other
  assert sys.stdout is other


def test_other_errors_are_raised():
  stream = io.StringIO()
  stream.close()
  with pytest.raises(ValueError, match='closed'):
    output._Unbroken(stream).write('x')
