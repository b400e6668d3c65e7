"""Programs that are started inside of someone else's folder.

It has modules named like libraries, and like this package, which tell when they
are imported. What a program of `bin/` adds to Python is in `launcher_test.py`.
"""

import os
import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_NAMES = (
    'dreamerv2_tfa', 'tensorflow', 'numpy', 'absl', 'gin', 'gym', 'gymnasium',
    'cloudpickle', 'tf_agents', 'cv2', 'onnxruntime', 'tf2onnx', 'matplotlib',
    'crafter', 'dm_control', 'ale_py', 'atari_py', 'memory_maze', 'json',
    'socket', 'sitecustomize', 'usercustomize', 'readline', 'waitress', 'rich',
)
_EVIL = '''
import os
with open(os.path.join({folder!r}, 'ran'), 'a') as file:
  file.write(__name__)
'''
_SIZES = (
    'RSSM.deter = 8', 'RSSM.hidden = 7', 'RSSM.stoch = 3', 'RSSM.classes = 4',
    'Encoder.depth = 2', 'Decoder.depth = 2', 'MLP.layers = 1', 'MLP.units = 9',
    'ActorCritic.horizon = 3', 'train.eager = True', 'train.prefill = 20',
    'train.batch_size = 2', 'train.sequence_length = 5',
    'train.replay_capacity = 200', 'train.steps = 20',
    'train.steps_per_update = 5', 'train.eval_episodes = 0',
)


@pytest.fixture
def inside(tmp_path):
  """The folder."""
  folder = tmp_path / 'theirs'
  folder.mkdir()
  for name in _NAMES:
    (folder / f'{name}.py').write_text(_EVIL.format(folder=str(folder)))
  return folder


def _start(inside, *command, **variables):
  """Runs a command there, with what it says."""
  environment = {
      **os.environ, 'PYTHONPATH': str(_ROOT), **variables}
  return subprocess.run(
      list(map(str, command)), cwd=inside, env=environment, check=False,
      capture_output=True, text=True, timeout=300)


def _program(name):
  """As `bin/` starts a program."""
  return sys.executable, '-P', '-m', f'dreamerv2_tfa.commands.{name}'


def _ran(inside):
  found = inside / 'ran'
  return found.read_text() if found.exists() else ''


def test_modules_of_the_folder_are_imported_without_the_flag(inside):
  _start(inside, sys.executable, '-m', 'dreamerv2_tfa.commands.train', '--help')
  assert _ran(inside)


def test_a_program_imports_none_of_them(inside):
  done = _start(inside, *_program('train'), '--version')
  assert done.returncode == 0, done.stderr
  assert not _ran(inside)


@pytest.mark.slow
def test_a_run_with_worker_processes_imports_none_of_them(inside, tmp_path):
  root = tmp_path / 'run'
  done = _start(
      inside, *_program('train'), 'gymnasium_CartPole-v1', f'--root_dir={root}',
      '--environments=2', *(f'--gin_bindings={line}' for line in _SIZES))
  assert done.returncode == 0, done.stderr
  assert (root / 'checkpoints' / 'checkpoint').exists()
  done = _start(inside, *_program('export'), f'--root_dir={root}',
                f'--out={tmp_path / "out"}')
  assert done.returncode == 0, done.stderr
  assert 'policy.json has the SHA-256' in done.stdout
  assert not _ran(inside)


@pytest.mark.slow
def test_a_console_script_imports_none_of_them(inside, tmp_path):
  script = tmp_path / 'scripts' / 'dreamerv2-check-env'
  script.parent.mkdir()
  script.write_text(  # as pip writes it
      'import sys\nfrom dreamerv2_tfa.commands.check_env import main\n'
      "if __name__ == '__main__':\n  sys.exit(main())\n")
  done = _start(inside, sys.executable, script, 'catch', '--steps=20')
  assert done.returncode == 0, done.stderr
  assert not _ran(inside)


@pytest.mark.slow
def test_a_module_that_the_user_names_is_found_there(inside):
  (inside / 'mine.py').write_text(
      'from dreamerv2_tfa.environments import tasks\n'
      "make = lambda seed: tasks.load('catch').make(seed)\n")
  done = _start(inside, *_program('check_env'), 'mine:make', '--steps=20')
  assert 'No fault was found.' in done.stdout, done.stderr
  assert not _ran(inside)  # what is installed comes first
