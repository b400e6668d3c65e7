"""`bin/plot`: its flags, as here and as in the published script."""

import json
import os
import pathlib
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
import pytest

from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import plot
from dreamerv2_tfa.reports import curve_files
from dreamerv2_tfa.reports import figures

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def _play(*words):
  """Runs the program in this process; returns its exit status."""
  with flagsaver.flagsaver():
    try:
      argv = arguments.parse(plot.spread(['plot', *words]), plot.PAGE)
      configuration.guarded(plot.run, 0, plot.PAGE.flags())(argv)
      return 0
    except SystemExit as error:
      return error.code


@pytest.fixture
def drawn(monkeypatch):
  """What `figures.write` is called with; it writes nothing."""
  calls = []
  monkeypatch.setattr(figures, 'write', lambda *given: (
      calls.append(given), (['a.png'], ['left out']))[1])
  return calls


@pytest.mark.parametrize('words, wanted', [
    (['--tasks', 'a', 'b', '--agg', 'none'],
     ['--tasks=a', '--tasks=b', '--agg', 'none']),
    (['--tasks=a', 'b'], ['--tasks=a', '--tasks=b']),
    (['--ylim', '-5', '1e3'], ['--ylim=-5', '--ylim=1e3']),
    (['--ylim', '-.5', '1'], ['--ylim=-.5', '--ylim=1']),
    (['--prefix', 'True', '--subdir', 'False'],
     ['--prefix=True', '--subdir=False']),
    (['--indir-prefix', 'x', '--indir-prefix=y'],
     ['--indir_prefix', 'x', '--indir_prefix=y']),
    (['--tasks', '--dpi=3', 'b'], ['--tasks', '--dpi=3', 'b'])])
def test_arguments_of_the_published_script_are_taken(words, wanted):
  assert plot.spread(['plot', *words]) == ['plot', *wanted]


def test_every_flag_reaches_the_figures(drawn, capsys):
  assert _play(
      '--indir', 'a', 'b/c', '--indir-prefix', 'in', '--outdir', 'out',
      '--subdir', 'True', '--xaxis', 'n', '--yaxis', 'fps', '--xmult', '4',
      '--maxval', '9', '--tasks', 'p', 'q', '--methods', 'm', '--prefix',
      'True', '--baselines', 'none', '--nopublished', '--bins', '1e5', '--agg',
      'per5', '--add', 'mean', 'seeds', '--at', '1e6', '--size', '3', '2',
      '--dpi', '50', '--cols', '4', '--legendcols', '2', '--xlim', '0', '1e6',
      '--ylim', '-1', '1', '--ylimticks', 'False', '--xticks', '2', '--yticks',
      '3', '--xlabel', 'x', '--ylabel', 'y', '--labels', 'm', 'M', '--colors',
      'm', 'red', '--palette', 'red', 'blue') == 0
  (places, outdir, options), = drawn
  assert (places, outdir) == (['in/a', 'in/b/c'], 'out/a')
  assert options.wanted == curve_files.Wanted(
      'n', 'fps', ('p', 'q'), ('m',), True, 4.0, 9.0)
  assert options[1:7] == ((), 1e5, 'per5', ('mean', 'seeds'), 1e6, False)
  assert options.look == (
      (3.0, 2.0), 50, 4, 2, (0.0, 1e6), (-1.0, 1.0), False, 2, 3, 'x', 'y',
      {'m': 'M'}, {'m': 'red'}, ('red', 'blue'))
  assert capsys.readouterr().out == 'Note: left out\nWritten: a.png.\n'


def test_without_flags_the_options_are_the_defaults(drawn):
  assert _play('--outdir=out') == 0
  assert drawn == [([], 'out', figures.Options())]


@pytest.mark.parametrize('words, message', [
    ([], 'Where to? '), (['--outdir=x', '--indir=none'], 'does not exist'),
    (['--outdir=x', '--xlim=5'], '--xlim takes two numbers'),
    (['--outdir=x', '--xlim', '5', '1'], 'the smaller first; got 5 1'),
    (['--outdir=x', '--size', '1', 'wide'], '--size takes two numbers'),
    (['--outdir=x', '--size', '0.1', '2'], 'of 1.0 or more'),
    (['--outdir=x', '--size', '1', 'nan'], '--size takes two numbers'),
    (['--outdir=x', '--labels', 'a'], '--labels takes pairs'),
    (['--outdir=x', '--baseline=d'], 'Did you mean --baselines=d'),
    (['--outdir=x', 'runs/pong'], "Nothing here reads 'runs/pong'"),
    (['--outdir=x', '--agg=mean'], '--agg must be one of')])
def test_a_mistake_is_one_line_and_writes_nothing(
    words, message, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  assert _play(*words) == 1
  said = capsys.readouterr()
  assert not said.out and said.err.count('\n') == 1
  assert said.err.startswith('Error: ') and message in said.err
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('package', ['matplotlib', 'rliable'])
def test_without_an_extra_the_command_that_installs_it_is_said(
    package, tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, package, None)
  assert _play(f'--outdir={tmp_path / "out"}') == 1
  said = capsys.readouterr().err
  assert said.count('\n') == 1
  assert f'{package} is not installed' in said and '[reports]' in said
  assert not list(tmp_path.iterdir())


def test_the_program_draws_without_tensorflow_where_no_run_is(tmp_path):
  code = (
      'import sys; sys.argv = ["plot", "--outdir=out", "--tasks", "pong", '
      '"breakout"]; from dreamerv2_tfa.commands import plot\n'
      'try: plot.main()\n'
      'finally: assert "tensorflow" not in sys.modules')
  done = subprocess.run(
      [sys.executable, '-c', code], cwd=tmp_path, capture_output=True,
      text=True, check=False, env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert (done.returncode, done.stderr) == (0, '')
  assert done.stdout.startswith('Written: out/curves.png, ')
  content = json.loads((tmp_path / 'out' / 'curves.json').read_text())
  assert [each['task'] for each in content['curves']] == [
      'atari_breakout', 'atari_pong']


def test_defaults_of_flags_are_those_of_the_options():
  default = flags.FLAGS['baselines'].default
  assert tuple(default) == figures.BASELINES
