"""A small run in a process of its own, which a test disturbs."""

import os
import pathlib
import signal
import subprocess
import sys

from dreamerv2_tfa.training import metrics as metrics_lib

ROOT = pathlib.Path(__file__).resolve().parents[1]
# 60 random steps, then 3 updates, then one every 7 steps.
SETTINGS = (
    '--gin_file=debug', '--precision=32', *(
        f'--gin_bindings=train.{setting}' for setting in (
            'eager = False', 'prefill = 60', 'pretrain = 2',
            'steps_per_update = 7', 'batch_size = 2', 'sequence_length = 5',
            'replay_capacity = 1000', 'log_every = 40', 'eval_every = 100',
            'eval_episodes = 2', 'save_every = 50', 'videos = False',
            'diagnostics = False')))

# Runs `bin/train` after the code of a test, which may change what it does.
_PROGRAM = """
import os, signal, sys, time
{code}
from dreamerv2_tfa.commands import train
train.main()
"""


def start(root, *flags, task='catch', steps=250, code='', **options):
  """Starts a run, or resumes it, with both outputs in one pipe.

  Args:
    root: Its folder.
    *flags: Others than those of `SETTINGS`.
    task: None: the run is resumed with what it had.
    steps: Agent steps, with `task`.
    code: What runs before the program.
    **options: Of `subprocess.Popen`.
  """
  given = [task, *SETTINGS, f'--steps={steps}'] if task else []
  return subprocess.Popen(
      [sys.executable, '-c', _PROGRAM.format(code=code), *given, *flags,
       f'--root_dir={root}'],
      **{'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT,
         'preexec_fn': heed_hangup, **options},
      text=True, env={**os.environ, 'TF_CPP_MIN_LOG_LEVEL': '3',
                      'PYTHONPATH': str(ROOT)})


_MINE = """
import os
import time

import gymnasium
import numpy as np


class Mine(gymnasium.Env):
  observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
  action_space = gymnasium.spaces.Discrete(2)
  taken = 0  # steps of all instances

  def reset(self, *, seed=None, options=None):
    return np.zeros(2, np.float32), {{}}

  def step(self, action):
    Mine.taken += 1
    {action}
    return np.zeros(2, np.float32), 0.0, {ends}, False, {{}}
"""


def write_environment(folder, action, ends='False'):
  """Writes `mine.py` with an environment, the task `mine:Mine`.

  Args:
    folder: Where it is written.
    action: A statement, run at each step; `Mine.taken` counts them.
    ends: Whether an episode ends at it.
  """
  text = _MINE.format(action=action, ends=ends)
  (folder / 'mine.py').write_text(text)


def heed_hangup():
  """Takes SIGHUP's default, whatever the tests run under (`nohup`)."""
  signal.signal(signal.SIGHUP, signal.SIG_DFL)


def run(root, *flags, **options):
  """As `start`, to its end; returns the exit status and what it printed."""
  process = start(root, *flags, **options)
  output, _ = process.communicate(timeout=300)
  return process.returncode, output


def until(process, word):
  """Reads what a run prints up to a line with this word."""
  lines = []
  for line in process.stdout:
    lines.append(line)
    if word in line:
      return ''.join(lines)
  raise AssertionError(''.join(lines))


def at(function, action, call=1):
  """Code that does something at a call of a function of the package.

  Args:
    function: Of a class or a module, such as 'training.trainer.Trainer.save'.
    action: A statement, run before the call.
    call: Which call, from 1.
  """
  module, owner, name = f'dreamerv2_tfa.{function}'.rsplit('.', 2)
  return f"""
import importlib
def _disturb():
  try:
    owner = importlib.import_module({f'{module}.{owner}'!r})
  except ModuleNotFoundError:
    owner = getattr(importlib.import_module({module!r}), {owner!r})
  before, calls = getattr(owner, {name!r}), []
  def disturbed(*args, **kwargs):
    calls.append(1)
    if len(calls) == {call}:
      {action}
    return before(*args, **kwargs)
  setattr(owner, {name!r}, disturbed)
_disturb()
"""


def metrics(root):
  """The lines of a run that count, without what the clock says."""
  return [
      {k: v for k, v in row.items() if k != 'fps'}
      for row in metrics_lib.read(root / 'metrics.jsonl')]
