"""Typical mistakes of a user, each with the message that it gets.

A row of the tables is a command line, or a line of Python, and a pattern that
the message must match. Every row is held to the same: the exit status, no
traceback, a short message, and nothing left behind in the working folder.
"""

import importlib.abc
import os
import pathlib
import re
import runpy
import socket
import subprocess
import sys
from typing import NamedTuple

from absl import flags
from absl.testing import flagsaver
from dm_control import manipulation  # noqa: F401, its flags: not to be dropped
import exported
import gin
import pytest

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments as arguments_lib
from dreamerv2_tfa.commands import check_env
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import export
from dreamerv2_tfa.commands import import_published
from dreamerv2_tfa.commands import plot
from dreamerv2_tfa.commands import serve
from dreamerv2_tfa.commands import sweep
from dreamerv2_tfa.commands import train
from dreamerv2_tfa.training import bindings
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import train as train_lib

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PROGRAMS = {  # and how many words each takes
    'train': (train, 1), 'check_env': (check_env, 1), 'export': (export, 0),
    'serve': (serve, 0), 'import': (import_published, 0),
    'plot': (plot, 0), 'sweep': (sweep, 9),
}
_LONGEST = 700  # characters of a message, a list of choices included
_SMALL = '--gin_file=debug'

pytestmark = pytest.mark.usefixtures('clean')


class Mistake(NamedTuple):
  """What a user types, and what must be said."""

  typed: list[str]  # a program and its arguments; or one line of Python
  says: str  # pattern within the message
  files: dict = {}  # text by name, in the working folder
  hides: str = ''  # package that is not installed


_ENV = '''
import gymnasium, numpy as np
class Env(gymnasium.Env):
  observation_space = gymnasium.spaces.Box(-1, 1, (2,))
  action_space = gymnasium.spaces.Discrete(3)
  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    return np.zeros(2, np.float32), {}
  def step(self, action):
    return np.zeros(2, np.float32), 0.0, False, False, {}
'''


def _own(text):
  """A file with an environment, and lines that spoil it."""
  return {'own.py': f'{_ENV}\n{text}\n'}


def _line(typed, says, **kwargs):
  """A mistake that is written as one line of a shell, without quotes."""
  return Mistake(typed.split(), says, **kwargs)


_FLAGS = [
    _line('train --gin_flie=atari', r'no flag --gin_flie\. Did you mean '
          r'--gin_file=atari\?'),
    _line('train --gin-file=atari', r'Did you mean --gin_file=atari\?'),
    _line('train --root-dir=run', r'Did you mean --root_dir=run\?'),
    _line('train --logdri=run', r'Did you mean --logdir=run\?'),
    _line('train --Task=catch', r'Did you mean --task=catch\?'),
    _line('train --config=atari', r'Did you mean --gin_file=atari\?'),
    _line('train --configs atari debug',
          r'Did you mean --gin_file=atari --gin_file=debug\?'),
    _line('train --configs dmc', r'Did you mean --gin_file=PRESET\?'),
    _line('train --env=atari_pong', r'Did you mean --task=atari_pong\?'),
    _line('train --num_envs=4', r'Did you mean --environments=4\?'),
    _line('train --total_timesteps=1e6', r'Did you mean --steps=1e6\?'),
    _line('train --lr=1e-4', "--gin_bindings='DreamerV2Agent.model_learning_"
          "rate = 1e-4'"),
    _line('train --batch_size=32', r'no flag --batch_size\. A setting is bound '
          "so: --gin_bindings='train.batch_size = 32'"),
    _line('train --prefil=100', "--gin_bindings='train.prefill = 100'"),
    _line('train --replay.capacity=1e5', "'train.replay_capacity = 1e5'"),
    _line('train --train.steps=1e5', "--gin_bindings='train.steps = 1e5'"),
    _line('train --discount=0.9', "'DreamerV2Agent.discount = 0.9'"),
    _line('train --wibble=3', r'no flag --wibble\. .*train --help lists'),
    _line('train --steps=many', '--steps=many: wanted a whole number, such as '
          '300, 1e6 or 200_000'),
    _line('train --steps=200,000', '--steps=200,000: wanted a whole number'),
    _line('train --steps', r'--steps has no value; wanted --steps=VALUE'),
    _line('train --seed=1.5', '--seed=1.5: wanted a whole number'),
    _line('train --seed=-1 --gin_file=debug', 'train.seed must be a whole '
          'number from 0 to 2147483647; got -1'),
    _line('train --steps=0 --gin_file=debug', 'train.steps must be a whole '
          'number of 1 or more; got 0'),
    _line('train --environments=0 --gin_file=debug', 'train.environments must'),
    _line('train --precision=8 --gin_file=debug', r"train.precision must be "
          "one of 'auto', '16', 'bf16', '32'; got '8'"),
    _line('train --precision=fp16 --gin_file=debug', "Did you mean 'bf16'"),
    _line('train --precision', '--precision has no value'),
    _line('train --dry_run=perhaps', '--dry_run=perhaps'),
    _line('check_env --taks=catch', r'Did you mean --task=catch\?'),
    _line('export --output=x', r'Did you mean --out=x\?'),
    _line('serve --prot=80', r'Did you mean --port=80\?'),
    _line('serve --model=x', r'Did you mean --policy=x\?'),
    _line('serve --port=eighty', '--port=eighty: wanted a whole number'),
]
_SWEEPS = [
    _line('sweep', r'Where\? .*TASK \.\.\. --sweep_dir=DIR'),
    _line('sweep --sweep_dir=x', r'no list in x\. Which tasks\?'),
    _line('sweep --sweepdir=x', r'Did you mean --sweep_dir=x\?'),
    _line('sweep --sweep_dir=x --seeds=2', 'Got --seeds without a task'),
    _line('sweep catch --sweep_dir=x --seeds=0', '--seeds=0: wanted how many'),
    _line('sweep catch catch --sweep_dir=x', 'Got the task catch twice'),
    _line('sweep catch --sweep_dir=x --vary=train.batch_size',
          'is no setting and its values'),
    _line('sweep catch --sweep_dir=x --vary=train.seed=1,2', 'Give --seeds=N'),
    _line('sweep catch --sweep_dir=x --vary=train.steps=1,2 --steps=5',
          'Got --steps and --vary of train.steps'),
    _line('sweep catch --sweep_dir=x --index=0 --table',
          r'Got --index and --table\. Give one'),
    _line('sweep catch --sweep_dir=x --csv=y --write_only', 'shows no table'),
    _line('sweep catch --sweep_dir=x --index=0', 'Write it once: .*write_only'),
    _line('sweep --sweep_dir=x* --table', 'TensorFlow takes for a pattern'),
    _line('sweep runs/x', r'Did you mean --sweep_dir=runs/x\?'),
    _line('sweep debug --sweep_dir=x', r'Did you mean --gin_file=debug\?'),
    _line('sweep --sweep_dir=. --table', r'sweep\.jsonl, line 1, is damaged',
          files={'sweep.jsonl': '{"run": 1}\n'}),
    _line('sweep catch atari_pogn --sweep_dir=x',
          r"no task 'atari_pogn'\. Did you mean atari_pong"),
]
_WORDS = [
    _line('train atari', r"'atari' is no task\. Did you mean --gin_file=atari"),
    _line('train gin/atari.gin', r'Did you mean --gin_file=gin/atari.gin\?'),
    _line('train runs/pong', r'Did you mean --root_dir=runs/pong\?'),
    _line('train .', r'Did you mean --root_dir=\.\?'),
    _line('train task=catch', r'Did you mean --task=catch\?'),
    _line('train train.steps=5', r"--gin_bindings='train.steps = 5'\?"),
    _line('train catch --task=atari_pong', "two tasks, 'catch' and --task=atari"
          "_pong"),
    _line('train catch atari_pong', "Nothing here reads 'atari_pong'"),
    _line('train \u2014steps=5', r'Did you mean --steps=5\?'),
    _line('check_env', r'Which task\? For example: \S+ atari_pong'),
    _line('check_env runs/pong', r'There is no task|no task'),
    _line('export runs/pong', r'Did you mean --root_dir=runs/pong\?'),
    _line('serve ./exported', r'Did you mean --policy=\./exported\?'),
    _line('import ./old', r'Did you mean --from=\./old\?'),
]
_TASKS = [
    _line('train atari_pogn',
          r"no task 'atari_pogn'\. Did you mean atari_pong"),
    _line('train pong', r'Did you mean atari_pong'),
    _line('train --task=atari-pong', r'Did you mean atari_pong'),
    _line('train --task=Atari_Pong', r'Did you mean atari_pong'),
    _line('train --task=PongNoFrameskip-v4', r'Did you mean atari_pong\?'),
    _line('train --task=ALE/Pong-v5', r'Did you mean atari_pong\?'),
    _line('train ALE/Pong-v5', r'Did you mean atari_pong\?'),
    _line('train CartPole-v1', r'Did you mean gym\w*_CartPole-v1'),
    _line('train gym_CartPole-v9', r'Did you mean gym_CartPole-v'),
    _line('train dmc_walker_wlk', r'Did you mean dmc_walker_walk'),
    _line('train dmc_walker', r'Did you mean dmc_walker_'),
    _line('train walker_walk', r'Did you mean dmc_walker_walk'),
    _line('train minigrid_Empty', r'Did you mean minigrid_Empty'),
    _line('train crafter_rewards', r'Did you mean crafter_reward'),
    _line('train --list_tasks=pong', r'No task begins with \'pong\'\. Did you '
          'mean atari_pong'),
    _line('train no_such_module:make', "No module named 'no_such_module'"),
    _line('train own:there', 'is 5; wanted a function or class that makes',
          files=_own('there = 5')),
    _line('train own:made', "'own' has no attribute 'made'", files=_own('')),
    _line('train crafter_reward', r"package crafter .*install.*\[crafter\]",
          hides='crafter'),
    _line('train dmc_walker_walk', r"package dm_control .*install.*\[dmc\]",
          hides='dm_control'),
    _line('train minigrid_Empty-5x5', r"package gym_minigrid.*\[minigrid\]",
          hides='gym_minigrid'),
    _line('train gymnasium_CartPole-v1', r"package gymnasium.*\[gymnasium\]",
          hides='gymnasium'),
]
_LOGGERS = [
    Mistake(['train', _SMALL, f'--gin_bindings=train.loggers = {names}', *more],
            says, hides=hides)
    for names, says, hides, *more in (
        ("('jsonl', 'wandb')", r'package wandb .*install.*\[wandb\]', 'wandb'),
        ("('jsonl', 'mlflow')", r'package mlflow .*install.*\[mlflow\]',
         'mlflow', '--dry_run'),
        ("('jsonl', 'tensorbord')", r'Did you mean tensorboard\?', ''),
        ("('csv',)", "train.loggers must have 'jsonl'", ''),
        ("'csv'", 'train.loggers must be several values in brackets', ''),
        ("('jsonl', 'own:make')", "There is no logger 'own:make'", ''),
    )
]
_GIN = [
    Mistake(['train', "--gin_bindings=train.task=atari_pong"],
            r'(?s)The quotes around atari_pong are missing.*'
            r"--gin_bindings=\"train.task = 'atari_pong'\".*column 12"),
    Mistake(['train', '--gin_bindings=train.stpes = 5'],
            r'no setting train.stpes\. Did you mean train.steps\?'),
    Mistake(['train', '--gin_bindings=RSMM.deter = 5'],
            r'Did you mean RSSM.deter\?'),
    Mistake(['train', '--gin_bindings=RSSM.detr = 5'],
            r'(?s)Did you mean RSSM.deter\?.*binding 1, column 6:'),
    Mistake(['train', '--gin_bindings=steps = 5'],
            r'Did you mean train.steps\?'),
    Mistake(['train', '--gin_bindings=train.eager = true'],
            r'Write train.eager = True'),
    Mistake(['train', '--gin_bindings=train.steps = 1e6.'],
            r'1e6\. is no number\. Write train.steps = 1e6'),
    Mistake(['train', '--gin_bindings=train.steps'], 'NAME = VALUE'),
    Mistake(['train', '--gin_bindings=train.steps ='], 'has no value'),
    Mistake(['train', '--gin_bindings=Encoder.kernels = (4, 4'],
            r'The bracket \( is not closed'),
    Mistake(['train', '--gin_bindings=RSSM.deter = %size'],
            'The macro %size is not bound'),
    Mistake(['train', '--gin_bindings=import not_there'],
            'no module not_there to import'),
    _line('train --gin_file=atary', r"no gin file 'atary'\. Did you mean atari"
          r'\? The presets are: atari, '),
    _line('train --gin_file=mine.gin', "no gin file 'mine.gin'"),
    _line('train --gin_file=.', 'is a folder'),
    _line('train --gin_file=mine.gin', 'mine.gin:1:6:',
          files={'mine.gin': 'RSSM.detr = 5\n'}),
    _line('train --gin_file=mine.gin', r'mine.gin:2:14:',
          files={'mine.gin': "include 'debug'\ntrain.task = catch\n"}),
    _line('train --gin_file=mine.gin', r'no text in UTF-8|cannot be read',
          files={'mine.gin': 'RSSM.deter = \x00\n'}),
]
_VALUES = [
    Mistake(['train', _SMALL, "--gin_bindings=train.steps = 'many'"],
            "train.steps must be a whole number of 1 or more; got 'many'"),
    Mistake(['train', _SMALL, '--gin_bindings=train.batch_size = 2.5'],
            'train.batch_size must be a whole number'),
    Mistake(['train', _SMALL, "--gin_bindings=train.sampling = 'row'"],
            r"train.sampling must be one of .*Did you mean 'rows'\?"),
    Mistake(['train', _SMALL, "--gin_bindings=train.eager = 'yes'"],
            "train.eager must be True or False; got 'yes'"),
    Mistake(['train', _SMALL, "--gin_bindings=RSSM.deter = 'big'"],
            'RSSM.deter must be a whole number'),
    Mistake(['train', _SMALL, '--gin_bindings=RSSM.deter = -1'],
            'RSSM.deter must be a whole number'),
    Mistake(['train', _SMALL, "--gin_bindings=RSSM.norm = 'layr'"],
            r"RSSM.norm must be one of 'none', 'layer'.*Did you mean 'layer'"),
    Mistake(['train', _SMALL, "--gin_bindings=MLP.activation = 'eluu'"],
            r"MLP.activation must be .*Did you mean elu"),
    Mistake(['train', _SMALL, "--gin_bindings=DreamerV2Agent.jit = 'yes'"],
            'DreamerV2Agent.jit must be one of'),
    Mistake(['train', _SMALL, '--gin_bindings=DreamerV2Agent.discount = 2'],
            'DreamerV2Agent.discount must be a number from 0'),
    Mistake(['train', _SMALL, "--gin_bindings=ActorCritic.entropy_scale = 'x'"],
            'ActorCritic.entropy_scale'),
    Mistake(['train', _SMALL, "--gin_bindings=ActorCritic.horizon = 0"],
            'ActorCritic.horizon must be a whole number'),
    Mistake(['train', _SMALL,
             "--gin_bindings=DreamerV2Agent.exploration = 'plan2explor'"],
            r"DreamerV2Agent.exploration.*Did you mean 'plan2explore'\?"),
    Mistake(['train', _SMALL, "--gin_bindings=Encoder.image_keys = '('"],
            'Encoder.image_keys'),
    Mistake(['train', _SMALL, '--task=gym_CartPole-v1',
             "--gin_bindings=load_gym.keys = '('"],
            'load_gym.keys must be a regular expression'),
    Mistake(['train', _SMALL, "--gin_bindings=MLP.activation = 5"],
            'MLP.activation must be the name of a Keras activation'),
    Mistake(['train', _SMALL, "--gin_bindings=Decoder.vector_keys = 5"],
            'Decoder.vector_keys must be a regular expression; got 5'),
    Mistake(['train', _SMALL, '--gin_bindings=train.replay_capacity = 1e13'],
            'train.replay_capacity|[Rr]eplay memory'),
    Mistake(['train', _SMALL, "--gin_bindings=train.replay_from = 'nowhere'"],
            'nowhere'),
    Mistake(['train', _SMALL, "--gin_bindings=train.model_from = 'nowhere'"],
            'nowhere'),
    Mistake(['train', _SMALL, '--task=atari_pong',
             '--gin_bindings=load_atari.size = 32'], r'\(64, 64, channels\)'),
    Mistake(['train', _SMALL, '--task=atari_pong',
             "--gin_bindings=load_atari.emulator = 'ale'"],
            r"load_atari.emulator must be one of .*Did you mean 'ale_py'"),
]
_FOLDERS = [
    _line('train --gin_file=debug --root_dir=gs://bucket/run',
          '--root_dir must be the path of a folder of this machine'),
    _line('train --gin_file=debug --root_dir=notes.txt', 'cannot be written',
          files={'notes.txt': 'x'}),
    _line('train --gin_file=debug --root_dir=run[1]', r"the character '\['"),
    _line('train --gin_file=debug --root_dir=', '--root_dir must be the path'),
    _line('train --gin_file=debug --root_dir=locked', 'cannot be written'),
    _line('export --root_dir=runs/none --out=x', 'runs/none'),
    _line('export --root_dir=notes.txt --out=x', 'notes.txt',
          files={'notes.txt': 'x'}),
    _line('export --root_dir=runs', r'Which run, and where to\?'),
    _line('export --out=x', r'Which run, and where to\?'),
    _line('export --root_dir=run --out=full', 'full exists and is not an empty '
          'folder', files={'full/x': 'x'}),
    _line('export --root_dir=run --out=x --format=onxx',
          r"--format must be one of .*Did you mean 'onnx'\?"),
    _line('export --root_dir=run --out=x --verify', '.'),
    _line('serve', r'Which policy\? \S+ --policy=DIR'),
    _line('serve --policy=none', r'none'),
    _line('serve --policy=full', r'full', files={'full/x': 'x'}),
    _line('serve --policy=full --port=99999', '--port must be a whole number '
          'from 0 to 65535; got 99999', files={'full/x': 'x'}),
    _line('import --root_dir=run', r'Which run\? .*--from=DIR'),
    _line('import --gin_file=debug --from=nowhere --root_dir=run', 'nowhere'),
    _line('import --gin_file=debug --from=full --root_dir=run',
          'variables.pkl', files={'full/x': 'x'}),
    _line('import --gin_file=debug --from=full --root_dir=run', '.',
          files={'full/variables.pkl': 'x'}),
    _line('check_env catch --steps=0', '--steps must be a whole number'),
]
_OWN = [
    _line('train own:make --gin_file=debug', 'returned None; wanted a Gym',
          files=_own('def make(): pass')),
    _line('train own:make --gin_file=debug', 'a vector of 2 environments',
          files=_own('def make(): return gymnasium.vector.SyncVectorEnv('
                     '[Env, Env])')),
    _line('train own:Env --gin_file=debug',
          'factory Env needs size, shape; wanted', files=_own(
              'class Env(Env):\n  def __init__(self, size, shape): pass')),
    _line('train own:Env --gin_file=debug', r'obs|shape',
          files=_own('Env.observation_space = gymnasium.spaces.Box(-1, 1, (3,)'
                     ')')),
    _line('train own:Env --gin_file=debug', r'NaN|finite|nan',
          files=_own('Env.reset = lambda self, **_: (np.full(2, np.nan, '
                     'np.float32), {})')),
    _line('train own:Env --gin_file=debug', r'Text|space',
          files=_own('Env.observation_space = gymnasium.spaces.Text(5)')),
    _line('train own:Env --gin_file=debug', r'Text|action',
          files=_own('Env.action_space = gymnasium.spaces.Text(5)')),
    _line('check_env own:make', 'returned None; wanted a Gym',
          files=_own('def make(): pass')),
]
_PYTHON = [
    ("dreamerv2_tfa.train('catch', root_dir='run', stpes=5)",
     r"no setting 'stpes'.* Did you mean steps\?"),
    ("dreamerv2_tfa.train('catch', root_dir='run', preset='atary')",
     r"no gin file 'atary.*Did you mean atari\?"),
    ("dreamerv2_tfa.train('atari_pogn', root_dir='run', preset='debug')",
     r'Did you mean atari_pong'),
    ("dreamerv2_tfa.train('catch', root_dir='run', preset='debug', "
     "steps='many')", "train.steps must be a whole number of 1 or more; got "
     "'many'"),
    ("dreamerv2_tfa.train('catch', root_dir='run', preset='debug', "
     "steps=object())", r'steps.*<object'),
    ("dreamerv2_tfa.train('catch', root_dir='run', preset='debug', "
     "steps=float('inf'))", r'steps.*inf'),
    ("dreamerv2_tfa.train('catch', root_dir='run', preset='debug', "
     "**{'RSSM.detr': 5})", r'no setting RSSM.detr\. Did you mean RSSM.deter'),
    ("dreamerv2_tfa.train('catch', root_dir='gs://bucket', preset='debug')",
     'path of a folder of this machine'),
    ("dreamerv2_tfa.train(5, root_dir='run', preset='debug')",
     "'int' is 5; wanted a function"),
    ("dreamerv2_tfa.train(None, root_dir='run', preset='debug')",
     'is None; wanted a function'),
    ("dreamerv2_tfa.load_policy('nowhere')", 'nowhere'),
    ("dreamerv2_tfa.load_policy('.')", r'policy.json|export'),
    ("dreamerv2_tfa.load_policy(policy).act([1.0])", r'observation|key'),
    ("dreamerv2_tfa.load_policy(policy).act({'position': [1, 2, 3]})",
     r"level"),
    ("dreamerv2_tfa.load_agent('nowhere')", 'nowhere'),
]
_EXAMPLES = [
    ('custom_env --config=x', r'usage: .*(?s:.*)--config=x'),
    ('minigrid --steps=5', r'usage: (?s:.*)--steps=5'),
    ('tf_agents_pipeline', r'usage: (?s:.*)root_dir'),
    ('tf_agents_pipeline run many', r"usage: (?s:.*)invalid int value: 'many'"),
    ('train_in_dream', r'usage: (?s:.*)root_dir'),
    ('train_in_dream run --seed=3', r'usage: (?s:.*)--seed=3'),
]


class _Hidden(importlib.abc.MetaPathFinder):
  """Finds nothing of one package, as if it were not installed."""

  def __init__(self, package):
    self._package = package

  def find_spec(self, name, path=None, target=None):
    if name.partition('.')[0] == self._package:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """An empty working folder."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'dont_write_bytecode', True)
  return tmp_path


def _prepare(mistake, folder, monkeypatch):
  """Writes the files and hides the package; what the folder then holds."""
  for name, text in mistake.files.items():
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
  for name in [*sys.modules] if mistake.hides else ():
    if name.partition('.')[0] == mistake.hides:
      monkeypatch.delitem(sys.modules, name)
  if mistake.hides:
    monkeypatch.setattr(
        sys, 'meta_path', [_Hidden(mistake.hides), *sys.meta_path])
  return _held(folder)


def _held(folder):
  return {path: path.is_file() and path.read_bytes()
          for path in folder.rglob('*')}


def _check(mistake, text, code, wanted=1):
  """Holds a message to what every message has to be."""
  assert code == wanted, text
  assert re.search(mistake.says, text), text
  assert 'Traceback' not in text and 'In call to configurable' not in text
  assert len(text) <= _LONGEST, text
  assert not re.search(r'<(function|class) |0x[0-9a-f]{6}', text) or (
      'object' in mistake.typed[-1]), text


def _name(mistake):
  return ' '.join(mistake.typed)


_ALL = [*_FLAGS, *_SWEEPS, *_WORDS, *_TASKS, *_LOGGERS, *_GIN, *_VALUES,
        *_FOLDERS, *_OWN]


def play(program, *arguments):
  """Runs a program in this process; returns its exit status."""
  module, words = _PROGRAMS[program]
  with flagsaver.flagsaver():
    try:
      argv = arguments_lib.parse(
          [f'dreamerv2-{program}', *arguments], module.PAGE)
      configuration.guarded(
          module.run, words, module.PAGE.flags())(argv)
      return 0
    except SystemExit as error:
      return error.code


@pytest.mark.parametrize('mistake', _ALL, ids=_name)
def test_a_mistake_is_said_in_short_and_leaves_nothing(
    folder, monkeypatch, capfd, mistake):
  if 'locked' in _name(mistake):
    if os.getuid() == 0:
      pytest.skip('root may write everywhere')
    (folder / 'locked').mkdir(mode=0o500)
  before = _prepare(mistake, folder, monkeypatch)
  code = play(*mistake.typed)
  written = capfd.readouterr()
  _check(mistake, written.err, code)
  assert written.err.startswith(('Error: ', 'Fault: '))
  assert _held(folder) == before


@pytest.fixture(scope='module')
def policy(tmp_path_factory):
  """Folder of an export."""
  path = tmp_path_factory.mktemp('exported')
  exported.write(path)
  return path


@pytest.mark.parametrize('line, says', _PYTHON)
def test_a_mistake_in_python_is_a_refusal(folder, line, says, policy):
  with pytest.raises((ValueError, TypeError)) as caught:
    eval(line, {'dreamerv2_tfa': dreamerv2_tfa, 'policy': policy})
  assert checks.is_refusal(caught.value), repr(caught.value)
  _check(Mistake([line], says), str(caught.value), 1)
  assert not list(folder.iterdir())


@pytest.mark.parametrize('line, says', _EXAMPLES)
def test_a_mistake_with_an_example_shows_its_usage(
    folder, monkeypatch, capsys, line, says):
  name, *arguments = line.split()
  monkeypatch.setattr(sys, 'argv', [f'{name}.py', *arguments])
  with pytest.raises(SystemExit) as caught:
    runpy.run_path(str(_ROOT / 'examples' / f'{name}.py'), run_name='__main__')
  _check(Mistake([line], says), capsys.readouterr().err, caught.value.code, 2)
  assert not list(folder.iterdir())


@pytest.mark.parametrize('name', [
    'custom_env', 'minigrid', 'tf_agents_pipeline', 'train_in_dream', 'tune'])
def test_help_of_an_example_prints_and_does_nothing(
    folder, monkeypatch, capsys, name):
  monkeypatch.setattr(sys, 'argv', [f'{name}.py', '--help'])
  with pytest.raises(SystemExit) as caught:
    runpy.run_path(str(_ROOT / 'examples' / f'{name}.py'), run_name='__main__')
  assert caught.value.code == 0
  assert capsys.readouterr().out.startswith(f'usage: {name}.py')
  assert not list(folder.iterdir())


def test_a_port_in_use_is_said(folder, capsys, policy):
  with socket.socket() as taken:
    taken.bind(('127.0.0.1', 0))
    taken.listen()
    port = taken.getsockname()[1]
    code = play('serve', f'--policy={policy}', f'--port={port}')
  mistake = Mistake(['serve'], 'in use')
  _check(mistake, capsys.readouterr().err, code)


def test_the_tables_hold_eighty_mistakes_and_more():
  assert len({_name(each) + str(each.files) for each in _ALL}) >= 80


_READ_BY = {  # what must be chosen for the settings of a class to be read
    'load_atari': "train.task = 'atari_pong'",
    'load_dmc': "train.task = 'dmc_walker_walk'",
    'load_crafter': "train.task = 'crafter_reward'",
    'load_minigrid': "train.task = 'minigrid_Empty-5x5'",
    'load_gym': "train.task = 'gym_CartPole-v1'",
    'Plan2Explore': "DreamerV2Agent.exploration = 'plan2explore'",
    'ModelLoss': "DreamerV2Agent.exploration = 'model_loss'",
}
# A camera of MuJoCo has a name, which the simulator checks; a task, a message
# of its own.
_NAMED = {'load_dmc.camera', 'train.task'}


@pytest.mark.slow
@pytest.mark.parametrize('value', ["'?*'", '[1, 2, {}]'])
def test_every_setting_refuses_nonsense_and_says_its_name(folder, value):
  wrong = []
  for name in sorted({*bindings.names()} - _NAMED):
    gin.clear_config()
    choice = _READ_BY.get(name.partition('.')[0])
    config.parse(
        ['quickstart', 'debug'], [*filter(None, [choice]), f'{name} = {value}'])
    try:
      train_lib.describe('run')
      wrong.append(f'{name} is taken')
    except Exception as error:  # to be judged, whatever it is
      if not checks.is_refusal(error) or name not in gin_files.plain(error):
        wrong.append(f'{name}: {error!r}')
  assert not wrong, '\n'.join(wrong)
  assert not list(folder.iterdir())


_PROCESSES = [
    'train --gin_flie=atari', 'train runs/pong', 'train --task=catch pong',
    'check_env', 'export --policy=x', 'serve --gin_file=atari', 'import',
    'plot --outdri=x', 'sweep --sweep_dir=x',
]


@pytest.mark.parametrize('line', _PROCESSES)
def test_a_process_ends_with_status_1_and_one_line(folder, line):
  program, *arguments = line.split()
  name = _PROGRAMS[program][0].__name__
  process = subprocess.run(
      [sys.executable, '-m', name, *arguments], cwd=folder,
      capture_output=True, text=True, check=False,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})
  assert process.returncode == 1 and not process.stdout
  message, = process.stderr.splitlines()
  assert message.startswith('Error: ')
  assert not list(folder.iterdir())


def test_flags_are_left_as_they_were(folder):
  play('train', '--steps=5', '--gin_flie=x')
  assert flags.FLAGS['steps'].value is None
