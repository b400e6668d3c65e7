"""Tests of what a program says of itself: help, version, lists, settings."""

import os
import pathlib
import re
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
from dm_control import manipulation  # noqa: F401, its flags: not to be dropped
import gin
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments as arguments_lib
from dreamerv2_tfa.commands import check_env
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import evaluate
from dreamerv2_tfa.commands import export
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.commands import import_published
from dreamerv2_tfa.commands import listing
from dreamerv2_tfa.commands import plot
from dreamerv2_tfa.commands import report
from dreamerv2_tfa.commands import serve
from dreamerv2_tfa.commands import sweep
from dreamerv2_tfa.commands import train
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import train as train_lib

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_MODULES = (
    train, sweep, evaluate, check_env, export, serve, import_published, plot,
    report)

pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
  """Returns a function that runs `bin/train`: its status, output, errors."""
  monkeypatch.chdir(tmp_path)

  def run(*arguments):
    with flagsaver.flagsaver():
      try:
        argv = arguments_lib.parse(['train', *arguments], train.PAGE)
        configuration.guarded(train.run, 1)(argv)
        code = 0
      except SystemExit as error:
        code = error.code
    assert not list(tmp_path.iterdir())
    return code, *capsys.readouterr()

  return run


@pytest.fixture
def trained(monkeypatch):
  """What `train` was called with, and under which task: it does nothing."""
  calls = []
  monkeypatch.setattr(
      train_lib, 'train',
      lambda *unused, **kwargs: calls.append(gin.config_str().splitlines()))
  return calls


# Help -------------------------------------------------------------------------


@pytest.mark.parametrize('module', _MODULES)
def test_a_page_fits_a_terminal_and_has_three_examples(module):
  lines = help_lib.text(module.PAGE).splitlines()
  assert max(map(len, lines)) <= 80
  assert lines[0].startswith(f'Usage: bin/{module.PAGE.name} ')
  examples = lines[lines.index('Examples:'):]
  program = f'  bin/{module.PAGE.name}'
  assert sum(line.startswith(program) for line in examples) == 3


@pytest.mark.parametrize('module', _MODULES)
def test_a_page_shows_no_flag_of_a_library(module):
  page = help_lib.text(module.PAGE)
  for word in ('verbosity', 'pdb', 'alsologtostderr', 'repeat this option'):
    assert word not in page


@pytest.mark.parametrize('module', _MODULES)
def test_an_example_is_a_command_line_that_the_program_reads(module):
  words_taken = 2 if module in (report, sweep) else 1
  for arguments, _ in module.PAGE.examples:
    words = re.findall(r"""(?:[^\s']|'[^']*')+""", arguments)
    with flagsaver.flagsaver():
      argv = [module.PAGE.name, *(word.replace("'", '') for word in words)]
      assert len(arguments_lib.parse(argv, module.PAGE)) <= 1 + words_taken


@pytest.mark.parametrize('flag', ['-h', '--help', '-help', '-?'])
def test_each_way_to_ask_for_help_shows_the_page_and_ends_with_0(play, flag):
  code, out, err = play('--seed=5', flag, '--no_such_flag')
  assert (code, err) == (0, '')
  assert out == help_lib.text(train.PAGE) + '\n'


def test_help_behind_two_dashes_is_a_word(play):
  code, out, _ = play('--', '--help')
  assert code == 1 and not out


def test_the_program_is_named_as_it_was_called(monkeypatch):
  for called, name, shown in (
      ('/x/.venv/bin/dreamerv2-check-env', 'check_env', 'dreamerv2-check-env'),
      ('/x/commands/train.py', 'train', 'bin/train')):
    monkeypatch.setattr(sys, 'argv', [called])
    assert help_lib.program(name) == shown
  monkeypatch.setattr(help_lib, '_ROOT', pathlib.Path('/nowhere'))
  assert help_lib.program('import') == (
      'python -m dreamerv2_tfa.commands.import_published')


@pytest.mark.parametrize('flag', ['--help', '--version', '--list_presets'])
def test_a_look_at_a_program_imports_no_tensorflow(flag):
  script = (
      'import sys\n'
      'from dreamerv2_tfa.commands import train\n'
      f'sys.argv = ["dreamerv2-train", "{flag}"]\n'
      'try:\n  train.main()\n'
      'except SystemExit as error:\n  assert not error.code\n'
      'assert "tensorflow" not in sys.modules\n')
  process = subprocess.run(
      [sys.executable, '-c', script], capture_output=True, text=True,
      check=False, env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert (process.returncode, process.stderr) == (0, '')
  assert process.stdout


# Version, tasks, presets ------------------------------------------------------


def test_the_version_is_that_of_the_package_and_its_hosts(play):
  code, out, _ = play('--version')
  assert code == 0
  assert re.fullmatch(
      r'dreamerv2_tfa \S+, tensorflow \S+, tf_agents \S+, Python 3\S+\n', out)


def test_every_preset_is_listed_once_with_what_it_is(play):
  code, out, _ = play('--list_presets')
  presets, overlays = out.split('Overlays, after a preset')
  names = lambda text: re.findall(r'^  (\w+)  +[A-Z]', text, re.M)
  files = sorted(path.stem for path in (_ROOT / 'gin').glob('*.gin'))
  assert code == 0
  assert sorted(names(presets) + names(overlays)) == files
  assert {'atari', 'defaults', 'quickstart'} <= set(names(presets))
  assert {'debug', 'plan2explore', 'random'} <= set(names(overlays))


@pytest.mark.parametrize('given', [
    ['--list_tasks=crafter'], ['--list_tasks', 'crafter']])
def test_tasks_are_listed_by_what_they_begin_with(play, given):
  assert play(*given) == (0, 'crafter_reward\ncrafter_noreward\n', '')


def test_all_tasks_are_listed(play):
  code, out, _ = play('--list_tasks')
  assert code == 0
  assert {'catch', 'atari_pong', 'dmc_walker_walk', 'gym_CartPole-v1'} <= set(
      out.splitlines())


def test_a_suite_that_is_not_installed_is_said(play, monkeypatch):
  from dreamerv2_tfa.environments import tasks

  names = tasks.names
  monkeypatch.setattr(
      tasks, 'names', lambda suite: [] if suite == 'crafter' else names(suite))
  code, out, err = play('--list_tasks=crafter')
  assert (code, out.strip()) == (0, '')
  assert 'the packages of crafter are not installed' in err


# Settings ---------------------------------------------------------------------


def test_the_settings_are_shown_as_gin_reads_them_with_marks(play, tmp_path):
  code, out, err = play(
      '--gin_file=debug', '--steps=2e3', '--gin_bindings=RSSM.deter = 17',
      '--show_config')
  assert (code, err) == (0, '')
  lines = out.splitlines()
  assert lines[0] == '# Presets: quickstart, debug.'
  assert 'train.steps = 2000  # command line, default: 100000000.0' in lines
  assert 'RSSM.deter = 17  # command line, default: 1024' in lines
  assert 'train.pretrain = 1' in lines  # as gin/defaults.gin has it
  assert 'train.prefill = 60  # default: 10000.0' in lines
  gin.clear_config()
  (tmp_path / 'shown.gin').write_text(out)
  config.parse([tmp_path / 'shown.gin'], [])
  assert gin.query_parameter('RSSM.deter') == 17


def test_a_setting_of_one_value_over_many_lines_is_shown(play):
  keys = '|'.join(f'key_{i}' for i in range(40))
  _, out, _ = play(
      '--gin_file=debug', f"--gin_bindings=Encoder.vector_keys = '{keys}'",
      '--show_config')
  assert f"Encoder.vector_keys = '{keys}'  # command line, default: '.*'" in out


# The command line -------------------------------------------------------------


@pytest.mark.parametrize('given', [
    ['atari_pong'], ['--task=atari_pong'], ['atari_pong', '--task=atari_pong'],
    ['--seed=3', 'atari_pong']])
def test_the_task_is_a_word_or_a_flag(play, trained, given):
  assert play(*given) == (0, '', '')
  assert "train.task = 'atari_pong'" in trained[0]
  assert 'RSSM.deter = 600' in trained[0]  # of its suite's preset


@pytest.mark.parametrize('written, number', [
    ('2e5', 200_000), ('200_000', 200_000), ('300', 300), ('1.5e3', 1500)])
def test_steps_are_written_in_each_usual_way(play, trained, written, number):
  play(f'--steps={written}')
  assert f'train.steps = {number}' in trained[0]


def test_a_number_may_stand_behind_a_space(play, trained):
  play('--steps', '1e6', '--environments', '4', 'catch')
  assert {'train.steps = 1000000', 'train.environments = 4'} <= set(trained[0])


def test_a_flag_wins_over_the_binding_of_the_same_setting(play, trained):
  play('--steps=5', '--gin_bindings=train.steps = 7')
  assert 'train.steps = 5' in trained[0]


def test_no_task_begins_so_is_a_refusal_with_the_nearest():
  with pytest.raises(checks.UserError, match='Did you mean crafter_reward'):
    listing.tasks('crafter_rewrd')


def test_flags_are_back_after_a_test():
  assert flags.FLAGS['steps'].value is None
