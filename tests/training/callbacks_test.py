"""Callbacks: what they are told, how they end a run, and what is refused."""

import json
import pathlib
import re
import subprocess
import sys

import optuna
import pytest

import dreamerv2_tfa
from dreamerv2_tfa import checks

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_TINY = {
    'prefill': 60, 'steps_per_update': 10, 'batch_size': 2,
    'sequence_length': 6, 'log_every': 20, 'eval_every': 40, 'save_every': 30,
    'eval_episodes': 1, 'precision': '32', 'preset': ['quickstart', 'debug'],
    'eager': False,
}


def _train(root_dir, steps, *callbacks, **settings):
  return dreamerv2_tfa.train(
      'catch', root_dir=root_dir, callbacks=callbacks, steps=steps,
      **{**_TINY, **settings})


@pytest.fixture(scope='module')
def told(tmp_path_factory):
  """A run's folder, and the events that it told, with what was saved then."""
  root_dir = tmp_path_factory.mktemp('callbacks') / 'run'
  events = []

  def note(event):
    saved = max(int(path.stem.partition('-')[2]) for path in (
        root_dir / 'checkpoints').glob('ckpt-*.index'))
    events.append((event, saved))

  _train(root_dir, 100, note)
  return root_dir, events


def test_evaluations_saves_and_the_end_are_told_in_order(told):
  _, events = told
  kinds = [(event.kind, event.step) for event, _ in events]
  assert kinds == [
      ('evaluation', 80), ('save', 80), ('save', 90), ('evaluation', 100),
      ('save', 100), ('end', 100)]


def test_an_event_comes_when_all_of_it_is_saved(told):
  _, events = told
  assert all(event.step == saved for event, saved in events)


def test_an_evaluation_has_the_numbers_of_the_metrics(told):
  root_dir, events = told
  lines = map(json.loads, (root_dir / 'metrics.jsonl').read_text().splitlines())
  written = [line for line in lines if 'eval_return' in line]
  assert [{'step': event.step, **event.metrics} for event, _ in events
          if event.kind == 'evaluation'] == written
  assert not any(event.metrics for event, _ in events
                 if event.kind != 'evaluation')
  assert {event.root_dir for event, _ in events} == {root_dir}
  assert events[-1][0].updates == 6


def test_a_callback_stops_a_run_that_the_same_command_resumes(
    tmp_path, capsys):
  kinds = []

  def stop(event):
    kinds.append(event.kind)
    if event.kind == 'evaluation':
      event.stop('it is good enough')

  _train(tmp_path / 'run', 200, stop)
  assert kinds == ['evaluation', 'save', 'save', 'end']
  said = capsys.readouterr().out
  assert 'The run stops and saves: it is good enough.' in said
  assert 'Stopped and saved at 80 frames.' in said
  _train(tmp_path / 'run', 100)
  assert 'Resumed at 80 frames' in capsys.readouterr().out


def test_an_error_of_a_callback_ends_the_run_and_loses_nothing(
    tmp_path, told):

  class Pruned(Exception):
    pass

  def prune(event):
    if event.kind == 'evaluation':
      raise Pruned

  with pytest.raises(Pruned):
    _train(tmp_path / 'run', 100, prune)
  _train(tmp_path / 'run', 100)
  lines = [
      [line for line in map(json.loads, path.read_text().splitlines())
       if line.pop('fps', True) and 'resumed' not in line]
      for path in (told[0] / 'metrics.jsonl',
                   tmp_path / 'run' / 'metrics.jsonl')]
  assert lines[0] == lines[1]


@pytest.mark.parametrize('name, said', [
    (1, 'must be names'), ('nowhere', 'names no module'),
    ('no_such_module:f', 'no_such_module'),
    ('json:nothing', 'nothing'), ('json:__name__', 'must be a function'),
    (':f', 'module:function')])
def test_a_callback_that_is_none_is_refused_before_the_run(
    tmp_path, name, said):
  with pytest.raises(checks.UserError, match=re.escape(said)):
    _train(tmp_path / 'run', 100, **{'train.callbacks': (name,)})
  assert not list(tmp_path.iterdir())


def test_something_that_cannot_be_called_is_refused(tmp_path):
  with pytest.raises(checks.UserError, match='must be a function'):
    _train(tmp_path / 'run', 100, 'json:dumps')
  assert not list(tmp_path.iterdir())


def test_a_callback_in_a_run_folder_is_not_imported(tmp_path):
  """As another's folder would have it; the user says whether to."""
  here = tmp_path / 'here'
  here.mkdir()
  (here / 'mine.py').write_text(
      "open('ran', 'w').close()\ndef tell(event):\n  print(event.kind)\n")
  command = [
      sys.executable, '-P', '-m', 'dreamerv2_tfa.commands.train',
      f'--root_dir={tmp_path / "run"}', '--steps=60',
      '--gin_bindings=train.prefill = 60', '--gin_bindings=train.eager = False',
      '--gin_bindings=train.batch_size = 2',
      '--gin_bindings=train.sequence_length = 6']
  bound = "--gin_bindings=train.callbacks = ('mine:tell',)"
  run = lambda *more: subprocess.run(
      [*command, *more], cwd=here, capture_output=True, text=True, timeout=300)
  first = run('--gin_file=quickstart', '--gin_file=debug', bound)
  assert first.returncode == 0, first.stderr
  assert first.stdout.splitlines()[-3:] == ['evaluation', 'save', 'end']
  assert (here / 'ran').exists()
  (here / 'ran').unlink()
  refused = run('--steps=70')
  assert refused.returncode == 1
  assert bound in refused.stderr.replace("'\\''", "'").replace("'\"'\"'", "'")
  assert not (here / 'ran').exists()
  without = run('--steps=70', '--gin_bindings=train.callbacks = ()')
  assert without.returncode == 0, without.stderr
  assert not (here / 'ran').exists()
  assert 'save\nend' in run('--steps=80', bound).stdout


@pytest.mark.slow
def test_optuna_tunes_two_settings_and_adds_trials(tmp_path, capsys):
  sys.path.insert(0, str(_ROOT / 'examples'))
  try:
    import tune
  finally:
    sys.path.pop(0)
  for trials in (2, 1):
    tune.main(tmp_path, trials, 100, **_TINY)
  study = optuna.load_study(
      study_name='catch', storage=f'sqlite:///{tmp_path / "study.db"}')
  assert [trial.state.name for trial in study.trials] == ['COMPLETE'] * 3
  for trial in study.trials:
    lines = (tmp_path / f'trial_{trial.number}' / 'metrics.jsonl').read_text()
    returns = [line['eval_return'] for line in map(
        json.loads, lines.splitlines()) if 'eval_return' in line]
    assert trial.value == max(returns)
    assert sorted(trial.params) == ['entropy_scale', 'kl_scale']
  assert 'Best of 3' in capsys.readouterr().out
