"""`dreamerv2_tfa.train`: the loop, on an environment of one's own."""

import ast
from collections.abc import Callable
from collections.abc import Sequence
import copy
import functools
import inspect
import os
import signal
import sys
from typing import Any

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa import quiet
from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.training import callbacks as callbacks_lib
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import gin_files
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import train as train_lib

_SETTINGS = inspect.signature(settings_lib.read).parameters


@quiet.libraries()
def train(
    environment: Any, *, root_dir: str | os.PathLike,
    preset: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    evaluation: Any = None, dry_run: bool = False,
    callbacks: Sequence[Callable[[callbacks_lib.Event], object]] = (),
    **bindings: Any,
) -> None:
  """Trains DreamerV2, or resumes the run in the folder.

  Whether actions are discrete or continuous, and which observations are images,
  is read from the environment's spaces. What gin had bound is put back at the
  end, and so is how Keras and TensorFlow compute; see `surroundings`.

  What the run makes (by a factory, as a copy) it closes, once, however it ends.
  An object that it is given stays open: it is its owner's.

  Args:
    environment: A Gym, Gymnasium or `dm_env` environment, a TF-Agents
      `PyEnvironment` or `TFEnvironment`; or a function or class that makes
      one, see `factories.call`; or the name of a task, such as 'atari_pong'.
    root_dir: Path of the run's folder; the same one again resumes, with the
      settings that it had.
    preset: Name of a file in gin/, or of several, a later one wins; or paths.
      None: that of the task's suite; for environments of one's own `gym_small`
      or, where they show pictures, `gym_pixels_small`.
    evaluation: A second environment for evaluation. None: a copy of the first.
    dry_run: Whether to build everything, print what it is, and write nothing.
    callbacks: Functions that are told what the run has done, see `Event`.
    **bindings: Settings. `steps=1e6` is `train.steps`; others are written
      `**{'RSSM.deter': 200}`.

  Returns:
    `dreamerv2_tfa.Run`, also where Ctrl-C has stopped it: its folder, metrics,
    policy and evaluation. None for a dry run.

  Raises:
    UserError: If a setting or the environment cannot be used; a `ValueError`.
    EnvironmentFailed: If the environment's own code raises, see `watched`.
    SystemExit: If SIGTERM or SIGHUP has stopped the run, which has saved.
    Exception: What a callback raises; the run has saved.
  """
  single = isinstance(preset, (str, os.PathLike))
  files = [preset] if single else list(preset or ())
  checks.flag('dry_run', dry_run)
  for callback in callbacks:
    callbacks_lib.check('callbacks', callback)
  run = train_lib.describe if dry_run else functools.partial(
      train_lib.train, callbacks=callbacks)
  lines = [_binding(name, value) for name, value in bindings.items()]
  with config.isolated(), gin_files.without_frames():
    if isinstance(environment, str):
      lines.append(f'train.task = {environment!r}')
      presets = run_settings.parse(root_dir, files, lines)
      ended = run(root_dir, presets=presets)
    else:
      if 'task' in bindings or 'train.task' in bindings:
        raise checks.UserError(
            f'Got {environment!r} and a task. Give one of them: the task '
            'alone, by its name, or the environment.')
      presets = run_settings.parse(
          root_dir, files, lines, make_task=lambda: _task(environment))
      _tell_unread(bindings)
      ended = run(
          root_dir, presets=presets,
          task=_with_evaluation(environment, evaluation))
  if ended not in (None, signal.SIGINT):
    sys.exit(128 + ended)


def _binding(name, value):
  """A line of gin."""
  if '.' not in name:
    if name not in _SETTINGS:
      raise checks.UserError(
          f'train has no setting {name!r}; got {name}={value!r}.'
          f'{checks.did_you_mean(name, _SETTINGS)} It has: '
          f'{", ".join(_SETTINGS)}. Others are written with their class, as '
          "**{'RSSM.deter': 200}.")
    name = f'train.{name}'
  if isinstance(value, os.PathLike):
    value = os.fspath(value)
  elif isinstance(value, np.generic):
    value = value.item()
  try:
    ast.literal_eval(repr(value))
  except (ValueError, SyntaxError) as error:
    raise checks.UserError(
        f'{name} must be a number, text, True, False, None, or a list, tuple '
        f'or dict of these; got {value!r}.') from error
  return f'{name} = {value!r}'


def _tell_unread(names):
  """Says which of the given settings are of a loader that an object needs not.

  A preset's own settings of such a loader are no mistake, so `train` itself
  says nothing of loaders.
  """
  loaders = [
      name for name in names
      if name.startswith('load_') and not name.startswith('load_gym.')
  ]
  if loaders:
    print(f'Note: nothing here reads the bindings {", ".join(loaders)}.')


def _task(environment):
  """A `Task` of an object, or of what makes one."""
  name = _name(environment)
  if _is_factory(environment):
    return custom.from_factory(name, environment)
  return custom.from_object(name, environment)


def _is_factory(environment):
  return inspect.isclass(environment) or not hasattr(environment, 'reset')


def _with_evaluation(environment, evaluation):
  """The same, evaluated on another object: one that is given, or a copy."""
  task = _task(environment)
  if _is_factory(environment):
    return task
  if evaluation is environment:
    raise checks.UserError(
        f'{environment!r} is given for training and for evaluation as well, '
        'which would step it in turn. Give another, or leave evaluation out '
        'for a copy.')
  if evaluation is None:
    copied = _copied(environment)
    second = custom.from_factory(task.name, lambda: copied)
  else:
    second = custom.from_object(task.name, evaluation)
  return task._replace(make_evaluation=second.make)


def copies(environment: Any, evaluation: Any = None) -> task_lib.Task | str:
  """A task like that of `train`, which leaves the objects as they are.

  Args:
    environment: As in `train`.
    evaluation: Likewise.

  Returns:
    A task whose environments are made by the factory, or are copies of
    `evaluation`, where it is given, else of `environment`; or a task's name.

  Raises:
    UserError: If an object cannot be copied; when an environment is made.
  """
  if isinstance(environment, str):
    return environment
  if _is_factory(environment):
    return _task(environment)
  one = environment if evaluation is None else evaluation
  return custom.from_factory(_name(environment), lambda: _copied(one))


def _copied(environment):
  custom.check_single(environment)  # a copy would close a vector's processes
  try:
    return copy.deepcopy(environment)
  except Exception as error:  # whatever the environment's parts raise
    raise checks.UserError(
        f'{environment!r} cannot be copied for evaluation ({error}). Give a '
        'second one, train(..., evaluation=...), or a function of a seed that '
        'makes one.') from error


def _name(environment):
  """What the run calls the task."""
  if inspect.isclass(environment):  # whose `unwrapped` is a property
    return environment.__name__
  inside = getattr(environment, 'unwrapped', environment)
  spec = getattr(inside, 'spec', None)
  return str(
      getattr(spec, 'id', None) or getattr(inside, '__name__', None)
      or type(inside).__name__)
