"""Tests of `bin/sweep`: what it writes, refuses, runs and shows."""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

from absl.testing import flagsaver
import disturbed
import pytest

from dreamerv2_tfa import children
from dreamerv2_tfa.commands import arguments as arguments_lib
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import sweep
from dreamerv2_tfa.commands import train
from dreamerv2_tfa.sweeps import entries
from dreamerv2_tfa.sweeps import product
from dreamerv2_tfa.sweeps import refusals
from dreamerv2_tfa.training import metrics as metrics_lib

pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
  """A function that runs the program here, and what it asks as well.

  Returns:
    Function of arguments: exit status, output, errors.
  """
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(
      children, 'ask', lambda module, question: json.loads(json.dumps(
          importlib.import_module(module).answer(json.loads(
              json.dumps(question))))))

  def run(*arguments):
    with flagsaver.flagsaver():
      try:
        argv = arguments_lib.parse(['sweep', *arguments], sweep.PAGE)
        configuration.guarded(sweep.run, 9, sweep.PAGE.flags())(argv)
        code = 0
      except SystemExit as error:
        code = error.code or 0
    return code, *capsys.readouterr()

  return run


_SMALL = ('catch', '--sweep_dir=s', '--gin_file=debug', '--seeds=2')


def _list(folder):
  text = (folder / 's' / 'sweep.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_a_list_is_written_with_all_that_the_command_says(play, tmp_path):
  code, out, err = play(
      *_SMALL, '--steps=2e3', '--precision=32', '--environments=2',
      "--gin_bindings=Encoder.image_keys = 'a \"b\"'",
      '--vary=train.batch_size = 2, 3', '--write_only')
  assert (code, err) == (0, '')
  assert out == 'Written: s/sweep.jsonl, 4 runs.\n'
  assert sorted(os.listdir(tmp_path / 's')) == ['lock', 'sweep.jsonl']
  assert _list(tmp_path)[3] == {
      'run': 'catch-batch_size=3-seed1', 'task': 'catch', 'seed': 1,
      'vary': {'train.batch_size': '3'},
      'command': [
          '--task=catch', '--seed=1', '--gin_file=debug',
          "--gin_bindings=Encoder.image_keys = 'a \"b\"'", '--precision=32',
          '--steps=2000', '--environments=2',
          '--gin_bindings=train.batch_size = 3']}


def test_the_arguments_of_a_run_are_read_by_bin_train(play):
  play(*_SMALL, '--steps=2e3', '--vary=train.batch_size = 2', '--write_only',
       "--gin_bindings=Encoder.image_keys = 'a \"b\", c'")
  folder = entries.Folder('s')
  given = folder.arguments(entries.read(folder)[1])
  with flagsaver.flagsaver():
    assert arguments_lib.parse(['train', *given], train.PAGE) == ['train']
    assert configuration.root_dir() == 's/catch-batch_size=2-seed1'
    assert configuration.value('gin_file') == ['debug']
    assert configuration.bindings() == [
        "Encoder.image_keys = 'a \"b\", c'", 'train.batch_size = 2',
        "train.task = 'catch'", 'train.seed = 1', 'train.steps = 2000']


@pytest.mark.parametrize('more, said', [
    (['--vary=train.bach_size = 2, 3'], 'Did you mean train.batch_size'),
    (['--vary=bach_size = 2'], 'no setting bach_size'),
    (['--vary=train.batch_size = 2, 0'], 'train.batch_size must be a whole'),
    (['--vary=train.steps = 5, many'], 'The quotes around many are missing'),
    (['--gin_bindings=RSSM.detr = 5'], 'Did you mean RSSM.deter'),
    (['--precision=8'], 'train.precision must be one of'),
    (['--gin_file=mine.gin'], "no gin file 'mine.gin'"),
    (['--steps=0'], 'train.steps must be'),
    (['--seeds=2,2'], 'Got the seed 2 twice'),
    (['own:make'], "No module named 'own'")])
def test_what_a_run_would_refuse_is_refused_before_and_nothing_is_written(
    play, tmp_path, more, said):
  code, out, err = play(*_SMALL, *more, '--write_only')
  assert (code, out) == (1, '') and said in err
  assert not list(tmp_path.iterdir())


def test_each_variation_is_checked_and_each_seed_is_not(play, monkeypatch):
  asked = []
  monkeypatch.setattr(refusals, 'answer', lambda question: asked.extend(
      question))
  play('catch', 'atari_pong', '--sweep_dir=s', '--seeds=9', '--write_only',
       '--vary=a.b = 1, 2', '--gin_bindings=c.d = 3')
  assert asked == [
      [task, [], ['c.d = 3', f'a.b = {value}']]
      for task in ('catch', 'atari_pong') for value in (1, 2)]


def test_the_same_command_finds_its_list_and_another_is_refused(
    play, tmp_path):
  play(*_SMALL, '--write_only')
  before = (tmp_path / 's' / 'sweep.jsonl').stat().st_mtime_ns
  assert play(*_SMALL, '--write_only') == (0, '', '')
  assert play('--sweep_dir=s', '--write_only') == (0, '', '')
  code, _, err = play(*_SMALL, '--seeds=3', '--write_only')
  assert code == 1
  assert 'line 3 is no run; got --task=catch --seed=2 --gin_file=debug' in err
  assert (tmp_path / 's' / 'sweep.jsonl').stat().st_mtime_ns == before


def test_a_list_that_another_command_has_just_written_is_kept(
    play, tmp_path, monkeypatch):
  made = entries.Folder('s')
  other = product.make(['catch'], [7], {}, [])

  def check(question):  # takes a while, in which the other one ends
    made.root.mkdir()
    entries.write(made, other)

  monkeypatch.setattr(refusals, 'answer', check)
  code, out, err = play(*_SMALL, '--write_only')
  assert (code, out) == (1, '')
  assert 'line 1 is --task=catch --seed=7; got' in err
  assert [line['seed'] for line in _list(tmp_path)] == [7]


@pytest.mark.parametrize('name', [
    'lock', 'sweep.jsonl.part', 'sweep.jsonl', 'catch-seed0.log',
    't.csv.part'])
@pytest.mark.parametrize('more', [
    ['--write_only'], ['--table', '--csv=s/t.csv']])
def test_a_link_in_a_strangers_folder_changes_no_file(
    play, tmp_path, name, more):
  play(*_SMALL, '--write_only')
  mine = tmp_path / 'mine'
  mine.write_text((tmp_path / 's' / 'sweep.jsonl').read_text())
  before = mine.read_text()
  (tmp_path / 's' / name).unlink(missing_ok=True)
  (tmp_path / 's' / name).symlink_to(mine)
  code, _, err = play(*_SMALL, *more)
  assert code == 1 and f's/{name} is a link to {mine}' in err
  assert mine.read_text() == before


def test_the_word_of_the_command_lets_a_list_import_a_module(play, tmp_path):
  (tmp_path / 'own.py').write_text('import gymnasium\nmake = gymnasium.Env\n')
  mine = ('own:make', '--sweep_dir=s')
  assert play(*mine, '--write_only')[0] == 0
  code, _, err = play('--sweep_dir=s', '--write_only')
  assert code == 1 and "has the task 'own:make'" in err
  assert play(*mine, '--write_only') == (0, '', '')


@pytest.mark.parametrize('index, said', [
    ('2', '--index must be a whole number from 0 to 1; got 2'),
    ('-1', '--index must be a whole number from 0 to 1; got -1')])
def test_an_index_beyond_the_list_is_refused(play, index, said):
  play(*_SMALL, '--write_only')
  code, _, err = play('--sweep_dir=s', f'--index={index}')
  assert code == 1 and said in err


def test_a_table_of_runs_that_have_not_begun_is_shown_at_once(play, tmp_path):
  play(*_SMALL, '--write_only')
  code, out, _ = play('--sweep_dir=s', '--table', '--csv=t.csv')
  assert code == 0 and out.split()[-8:] == [
      'catch', '0', 'of', '2', '0', '-', '-', '-', '-'][1:]
  assert (tmp_path / 't.csv').read_text().splitlines()[1] == 'catch,0,2,0,,,,'
  code, _, err = play('--sweep_dir=s', '--table', '--csv=no/t.csv')
  assert code == 1 and '--csv=no/t.csv cannot be written' in err


def _until(path, word, process):
  deadline = time.monotonic() + 200
  while time.monotonic() < deadline and process.poll() is None:
    if path.exists() and word in path.read_text():
      return
    time.sleep(0.1)
  raise AssertionError(path.read_text() if path.exists() else str(path))


@pytest.mark.slow
def test_a_sweep_is_stopped_and_resumed_and_a_finished_run_is_not_run_again(
    tmp_path):
  def start(*more):
    return subprocess.Popen(
        [sys.executable, '-m', 'dreamerv2_tfa.commands.sweep',
         f'--sweep_dir={tmp_path}', *more], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(disturbed.ROOT)})

  process = start('catch', '--steps=70', '--gin_file=debug', *(
      f'--gin_bindings=train.{setting}' for setting in (
          'eval_every = 70', 'videos = False', 'diagnostics = False')))
  log = tmp_path / 'catch-seed0.log'
  _until(log, 'Prefill', process)
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=300)
  assert process.returncode == 143, err
  assert 'Stopped and saved at' in log.read_text()

  process = start()
  out, err = process.communicate(timeout=300)
  assert (process.returncode, err) == (0, '')
  assert 'catch-seed0 begins (1 of 1).\ncatch-seed0 has ended.' in out
  assert 'Resumed at' in log.read_text()

  process = start(f'--csv={tmp_path}/t.csv')
  out, err = process.communicate(timeout=300)
  assert (process.returncode, err) == (0, '')
  assert '1 finished' in out and 'begins' not in out
  found = metrics_lib.last_evaluation(
      tmp_path / 'catch-seed0' / 'metrics.jsonl')['eval_return']
  assert (tmp_path / 't.csv').read_text().splitlines()[1] == (
      f'catch,1,1,70,{found},,{found},{found}')
