"""Tests of the commands: flags, and what a user gets wrong."""

import os
import pathlib
import subprocess
import sys

from absl import flags
from absl.testing import flagsaver
from dm_control import manipulation  # noqa: F401, its flags: not to be dropped
import gin
import pytest

from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import train as train_command
from dreamerv2_tfa.reports import report
from dreamerv2_tfa.training import train

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_DEBUG = '--gin_file=gin/debug.gin'  # small, so that it is built at once


pytestmark = pytest.mark.usefixtures('clean')


@pytest.fixture
def parse():
  """Returns a function that reads flags as `bin/train` does: the presets."""
  with flagsaver.flagsaver():
    def run(*arguments):
      flags.FLAGS(['train', *arguments])
      return configuration.parse()
    yield run


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
  """Returns a function that runs `bin/train` in an empty folder.

  It returns the exit code and what was written to the standard error.
  """
  monkeypatch.chdir(tmp_path)

  def run(*arguments):
    with flagsaver.flagsaver():
      flags.FLAGS(['train', *arguments])
      try:
        configuration.guarded(train_command.run)([])
        code = 0
      except SystemExit as error:
        code = error.code
    return code, capsys.readouterr().err

  return run


@pytest.fixture
def trained(monkeypatch):
  """What `train` was called with, which does nothing."""
  calls = []
  monkeypatch.setattr(
      train, 'train', lambda *args, **kwargs: calls.append((args, kwargs))
  )
  return calls


# Flags ------------------------------------------------------------------------


def test_without_a_flag_the_preset_is_the_quickstart(parse):
  assert parse() == ['quickstart']
  assert gin.query_parameter('train.task') == 'catch'
  assert gin.query_parameter('RSSM.deter') == 128


@pytest.mark.parametrize('name', ['atari', 'crafter', 'quickstart'])
def test_a_gin_file_is_found_by_the_name_that_the_readme_uses(parse, name):
  assert parse(f'--gin_file=gin/{name}.gin') == [name]


def test_a_gin_file_is_found_by_its_bare_name(parse):
  assert parse('--gin_file=atari.gin') == ['atari']


def test_a_gin_file_is_found_anywhere(parse, tmp_path):
  (tmp_path / 'mine.gin').write_text(
      "include 'quickstart.gin'\nRSSM.deter = 77\n"
  )
  assert parse(f'--gin_file={tmp_path / "mine.gin"}') == ['mine']
  assert gin.query_parameter('RSSM.deter') == 77
  assert gin.query_parameter('RSSM.stoch') == 8


@pytest.mark.parametrize('names, deter', [
    (('atari', 'debug'), 16), (('debug', 'atari'), 600)
])
def test_a_later_gin_file_wins(parse, names, deter):
  presets = parse(*(f'--gin_file=gin/{name}.gin' for name in names))
  assert presets == list(names)
  assert gin.query_parameter('RSSM.deter') == deter


def test_gin_bindings_repeat_and_win_over_files(parse):
  parse('--gin_bindings=RSSM.deter = 21', '--gin_bindings=MLP.units = 22')
  assert gin.query_parameter('RSSM.deter') == 21
  assert gin.query_parameter('MLP.units') == 22


def test_a_later_binding_wins(parse):
  parse('--gin_bindings=RSSM.deter = 21', '--gin_bindings=RSSM.deter = 23')
  assert gin.query_parameter('RSSM.deter') == 23


@pytest.mark.parametrize('flag, name, value', [
    ('--task=atari_pong', 'task', 'atari_pong'),
    ('--precision=bf16', 'precision', 'bf16'),
    ('--precision=32', 'precision', '32'),
    ('--seed=0', 'seed', 0),
    ('--seed=17', 'seed', 17),
])
def test_a_flag_of_its_own_wins_over_bindings(parse, flag, name, value):
  parse(f"--gin_bindings=train.{name} = 'else'", flag)
  assert gin.query_parameter(f'train.{name}') == value


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(parse):
  parse()
  assert len({configuration.root_dir() for _ in range(100)}) == 100


@pytest.mark.parametrize('flag', ['root_dir', 'logdir'])
def test_the_folder_is_given_as_root_dir_or_logdir(command, trained, flag):
  assert command(f'--{flag}=somewhere') == (0, '')
  (args, kwargs), = trained
  assert args == ('somewhere',)
  assert kwargs == {
      'presets': ['quickstart'], 'callbacks': [report.write_after]}


def test_without_a_folder_a_run_gets_a_fresh_one(command, trained):
  command()
  (args, _), = trained
  assert pathlib.Path(args[0]).parent == pathlib.Path('runs')


def test_a_dry_run_describes_and_does_not_train(
    command, trained, monkeypatch):
  described = []
  monkeypatch.setattr(
      train, 'describe', lambda *args, **kwargs: described.append(kwargs))
  command('--dry_run')
  assert described == [{'presets': ['quickstart']}] and not trained


def test_a_dry_run_of_the_command_writes_nothing(command, tmp_path):
  assert command(_DEBUG, '--dry_run') == (0, '')
  assert not list(tmp_path.iterdir())


_LOOK = {'version', 'help'}
_GIN = {'gin_file', 'gin_bindings'}
_READ = {
    'train': _GIN | {
        'root_dir', 'logdir', 'task', 'precision', 'seed', 'steps',
        'environments', 'dry_run', 'show_config', 'replay_crash', 'list_tasks',
        'list_presets', 'role', 'replay_address', 'num_collectors',
        'max_restarts', 'collector', 'replicas'},
    'sweep': _GIN | {
        'sweep_dir', 'seeds', 'vary', 'steps', 'precision', 'environments',
        'at_once', 'index', 'write_only', 'table', 'csv'},
    'import_published': _GIN | {
        'root_dir', 'logdir', 'task', 'precision', 'seed', 'from', 'keys'},
    'check_env': _GIN | {'task', 'seed', 'steps', 'list_tasks'},
    'export': {'root_dir', 'logdir', 'task', 'out', 'format', 'verify'},
    'evaluate': _GIN | {
        'root_dir', 'logdir', 'policy', 'trust', 'task', 'environments', 'seed',
        'episodes', 'checkpoint', 'sampled', 'repeat_last', 'csv', 'json',
        'video', 'video_episodes'},
    'serve': {
        'policy', 'host', 'port', 'name', 'max_sessions', 'idle_seconds',
        'max_bytes', 'max_connections', 'allowed_host', 'token', 'token_file',
        'trust'},
    'plot': {
        'indir', 'indir_prefix', 'outdir', 'subdir', 'xaxis', 'yaxis', 'xmult',
        'maxval', 'tasks', 'methods', 'prefix', 'baselines', 'published',
        'bins', 'agg', 'add', 'at', 'size', 'dpi', 'cols', 'legendcols', 'xlim',
        'ylim', 'ylimticks', 'xticks', 'yticks', 'xlabel', 'ylabel', 'labels',
        'colors', 'palette'},
    'report': {'out'},
}


@pytest.mark.parametrize('program', _READ)
def test_a_program_has_the_flags_that_it_reads_and_no_others(program):
  script = (
      f'from dreamerv2_tfa.commands import {program} as program\n'
      'from absl import flags\n'
      'modules = flags.FLAGS.flags_by_module_dict()\n'
      'print(*(flag.name for name, found in modules.items()'
      " if name.startswith('dreamerv2_tfa.') for flag in found))\n"
      'print(*program.PAGE.flags())')
  process = subprocess.run(
      [sys.executable, '-c', script], cwd=_ROOT, capture_output=True, text=True,
      check=True)
  defined, listed = map(str.split, process.stdout.splitlines())
  assert set(defined) == _READ[program]
  assert sorted(listed) == sorted(_READ[program] - {'logdir'} | _LOOK)


# Mistakes ---------------------------------------------------------------------

_MISTAKES = {
    'unknown game': (
        ['--gin_file=gin/atari.gin', '--task=atari_pogn'],
        "no task 'atari_pogn'. Did you mean atari_pong",
    ),
    'unknown suite': (['--task=pong'], 'Did you mean atari_pong'),
    'missing gin file': (
        ['--gin_file=gin/atri.gin'], "no gin file 'gin/atri.gin'"
    ),
    'unknown precision': (['--precision=8'], "'16', 'bf16', '32'; got '8'"),
    'image size': (
        [_DEBUG, '--task=atari_pong', '--gin_bindings=load_atari.size = 32'],
        "Images must have shape (64, 64, channels); the observation 'image' "
        'has (32, 32, 1)',
    ),
    'number out of range': (
        [_DEBUG, '--gin_bindings=train.batch_size = 0'],
        'train.batch_size must be a whole number of 1 or more; got 0',
    ),
    'wrong type': (
        [_DEBUG, "--gin_bindings=train.steps = 'many'"],
        "train.steps must be a whole number of 1 or more; got 'many'",
    ),
    'more memory than there is': (
        [_DEBUG, '--gin_bindings=train.replay_capacity = 1e12'],
        'Replay memory of 1,000,000,000,000 steps needs',
    ),
    'negative seed': ([_DEBUG, '--seed=-1'], 'train.seed must be'),
}


@pytest.mark.parametrize('name', _MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(command, tmp_path, name):
  arguments, message = _MISTAKES[name]
  code, error = command('--root_dir=deep/run', *arguments)
  line, = error.splitlines()
  assert code == 1 and line.startswith('Error: ')
  assert message in line
  assert not list(tmp_path.iterdir())


def test_a_root_dir_that_cannot_be_written_is_one_line(command, tmp_path):
  (tmp_path / 'file').write_text('x')
  code, error = command(_DEBUG, '--root_dir=file/run')
  line, = error.splitlines()
  assert code == 1
  assert line.startswith('Error: The root directory') and 'file/run' in line
  assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_a_mistake_in_a_gin_file_is_shown_with_its_place(command, tmp_path):
  mine = tmp_path / 'mine.gin'
  mine.write_text("include 'quickstart.gin'\nRSSM.detr = 3\n")
  code, error = command(f'--gin_file={mine}', '--root_dir=run')
  assert code == 1
  assert error == (
      'Error: There is no setting RSSM.detr. Did you mean RSSM.deter?\n'
      f'  {mine}:2:6:\n    RSSM.detr = 3\n         ^\n')
  assert [path.name for path in tmp_path.iterdir()] == ['mine.gin']


@pytest.mark.parametrize('kind', [FloatingPointError, OSError])
def test_an_error_of_the_run_is_one_line(command, monkeypatch, kind):
  def fail(*_, **__):
    raise kind('The disk is full.\n  In call to configurable \'train\' (x)')

  monkeypatch.setattr(train, 'train', fail)
  assert command('--root_dir=run') == (1, 'Error: The disk is full.\n')


def test_a_fault_of_ours_keeps_its_traceback(command, monkeypatch):
  def fail(*_, **__):
    raise KeyError('deter')

  monkeypatch.setattr(train, 'train', fail)
  with pytest.raises(KeyError):
    command('--root_dir=run')


@pytest.mark.parametrize('kind', [ValueError, TypeError])
def test_an_error_out_of_other_code_keeps_its_traceback(
    command, monkeypatch, kind):
  def fail(*_, **__):
    raise kind('in a module of theirs')

  monkeypatch.setattr(train, 'train', fail)
  with pytest.raises(kind):
    command('--root_dir=run')


def test_a_module_of_theirs_with_a_fault_keeps_its_traceback(
    command, tmp_path, monkeypatch):
  (tmp_path / 'their_module.py').write_text('import os\nint("many")\n')
  monkeypatch.syspath_prepend(str(tmp_path))
  code, error = command(
      '--task=their_module:make', '--root_dir=run', f'--gin_file={_DEBUG[11:]}')
  *trace, last = error.splitlines()
  assert code == 1
  assert last.startswith("Error: The module 'their_module' of the task cannot")
  assert any('their_module.py", line 2' in line for line in trace)


@pytest.mark.parametrize('task, message', [
    ('no_such_module:make', "no task 'no_such_module:make': No module named"),
    ('json:make', "no task 'json:make': module 'json' has no attribute 'make'"),
    (':make', "no task ':make'"), ('os.here:make', "no task 'os.here:make'"),
])
def test_a_module_that_is_not_there_is_one_line(command, task, message):
  code, error = command(f'--task={task}', '--root_dir=run')
  line, = error.splitlines()
  assert code == 1 and message in line


def test_verbosity_shows_the_traceback_of_a_mistake(command):
  with pytest.raises(ValueError):
    command('--precision=8', '--root_dir=run', '--verbosity=1')


# As a user runs it ------------------------------------------------------------


def _shell(folder, *arguments):
  """Runs the command as a process of its own."""
  return subprocess.run(
      [sys.executable, '-m', 'dreamerv2_tfa.commands.train', *arguments],
      cwd=folder, capture_output=True, text=True, timeout=120, check=False,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)},
  )


@pytest.mark.slow
def test_a_process_ends_with_one_line_and_exit_code_1(tmp_path):
  process = _shell(tmp_path, '--precision=8', '--root_dir=run')
  line, = process.stderr.splitlines()
  assert process.returncode == 1 and line.startswith('Error: train.precision')
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_says_what_it_would_do_and_nothing_else(tmp_path):
  process = _shell(
      tmp_path, '--gin_file=gin/atari.gin', _DEBUG, '--dry_run',
  )
  assert (process.returncode, process.stderr) == (0, '')
  memory, preset, task, *_ = process.stdout.splitlines()
  assert memory.startswith('Replay memory: 1,000 steps')
  assert preset == 'Preset atari + debug.'
  assert task == 'Task atari_pong: 4 environment frames an agent step.'
  assert not list(tmp_path.iterdir())
