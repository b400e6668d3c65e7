"""`bin/report`: its words, its flag, and what it says."""

import json
import os
import pathlib
import subprocess
import sys

from absl.testing import flagsaver
import disturbed
import pytest

from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import report

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _play(*words):
  """Runs the program in this process; returns its exit status."""
  with flagsaver.flagsaver():
    try:
      argv = arguments.parse(['report', *words], report.PAGE)
      configuration.guarded(report.run, report._MOST, report.PAGE.flags())(argv)
      return 0
    except SystemExit as error:
      return error.code


def _run(folder, seed=3):
  folder.mkdir(parents=True)
  (folder / 'protocol.json').write_text(json.dumps({
      'task': 'catch', 'action_repeat': 1, 'precision': 'float32',
      'seed': seed, 'presets': ['quickstart']}))
  (folder / 'metrics.jsonl').write_text('{"step": 5, "kl_loss": 1.0}\n')


def test_one_run_gets_the_page_in_its_folder(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  _run(tmp_path / 'runs' / 'catch')
  assert _play('runs/catch') == 0
  assert capsys.readouterr().out == 'Written: runs/catch/report.html.\n'
  text = (tmp_path / 'runs' / 'catch' / 'report.html').read_text()
  assert text.startswith('<!DOCTYPE html>') and '<dd>quickstart</dd>' in text


def test_several_runs_are_written_where_out_says(tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  for name in 'abc':
    _run(tmp_path / name)
  assert _play('a', '--out=all.html', 'b', 'c') == 0
  assert capsys.readouterr().out == 'Written: all.html.\n'
  assert '<title>3 runs</title>' in (tmp_path / 'all.html').read_text()
  assert not (tmp_path / 'a' / 'report.html').exists()


@pytest.mark.parametrize('words, message', [
    ([], 'Which run? '), (['a', 'b'], 'Got 2 runs and no --out'),
    (['none'], "there is no folder none"),
    (['--out=x.html', 'none'], 'There is no folder none'),
    (['.'], 'There is no run in .'), (['--outt=x', 'a'], '--out=x'),
    (['a*'], 'takes for a pattern'), (['s3://a/b'], 'of this machine')])
def test_a_mistake_is_one_line_and_writes_nothing(
    words, message, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert _play(*words) == 1
  said = capsys.readouterr()
  assert not said.out and said.err.count('\n') == 1
  assert said.err.startswith('Error: ') and message in said.err
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_program_runs_by_itself(tmp_path):
  _run(tmp_path / 'one')
  process = subprocess.run(
      [sys.executable, '-m', 'dreamerv2_tfa.commands.report', 'one'],
      cwd=tmp_path, text=True, capture_output=True, check=False, timeout=300,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert (process.returncode, process.stdout) == (
      0, 'Written: one/report.html.\n'), process.stderr


@pytest.mark.slow
def test_training_writes_the_page_of_its_run(tmp_path):
  status, output = disturbed.run(
      tmp_path / 'run', '--gin_bindings=train.videos = True')
  assert status == 0 and 'report.html' not in output, output
  text = (tmp_path / 'run' / 'report.html').read_text()
  assert '250 of 250 agent steps' in text and 'open_loop_image.gif' in text
  assert not list((tmp_path / 'run').glob('*.part'))


@pytest.mark.slow
def test_training_continues_where_its_page_cannot_be_written(tmp_path):
  (tmp_path / 'run' / 'report.html').mkdir(parents=True)
  os.utime(tmp_path / 'run' / 'report.html', (1, 1))
  status, output = disturbed.run(tmp_path / 'run')
  assert status == 0 and 'Done: 250 frames' in output, output
  notes = [line for line in output.splitlines() if 'report.html' in line]
  assert notes and all(line.startswith(
      'Note: report.html was not written: ') for line in notes)
