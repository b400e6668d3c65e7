"""Tasks of the user's own environments: from a factory or from an object."""

from collections.abc import Callable
import functools
import inspect
import os
from typing import Any

from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment

from dreamerv2_tfa import checks
from dreamerv2_tfa import late
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import dm_control
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import task as task_lib


def load_factory(name: str) -> task_lib.Task:
  """Makes a task from a function or class that is named.

  Args:
    name: `module:factory`. The module is in the working directory or installed.
      `factories.call` says how the factory is called; it returns what
      `as_environment` takes.

  Returns:
    Its `make` raises `UserError` if the factory returns something else.

  Raises:
    UserError: If there is no such module, or no such function in it.
    EnvironmentFailed: If the module raises.
  """
  module_name, _, attribute = name.partition(':')
  try:
    module = late.imported(module_name)
  except faults.Terminated:
    raise
  except (Exception, SystemExit) as error:  # the module may raise anything
    if not _is_missing(module_name, error):
      raise faults.failed(
          f'The module {module_name!r} of the task cannot be imported', error
      ) from error
    raise checks.UserError(_no_factory(name, error)) from error
  try:
    factory = getattr(module, attribute)
  except AttributeError as error:
    raise checks.UserError(_no_factory(name, error)) from error
  return from_factory(name, factory)


def _is_missing(module_name: str, error: BaseException) -> bool:
  """Whether there is no such module, rather than one with a fault in it."""
  if isinstance(error, ModuleNotFoundError):
    return f'{module_name}.'.startswith(f'{error.name}.')
  # '' and '.here' are no names of modules.
  return not module_name.strip('.') or module_name.startswith('.')


def _no_factory(name: str, error: BaseException) -> str:
  return (
      f'There is no task {name!r}: {error}. Wanted module:factory, with the '
      'module importable from here.')


def from_factory(name: str, factory: Callable[..., Any]) -> task_lib.Task:
  """Makes a task whose environments a factory makes.

  Args:
    name: The task's name, for messages and records.
    factory: Function or class, called as `factories.call` says. Each call
      returns a new object that `as_environment` takes.

  Returns:
    A task with the settings of `load_gym`. Closing its batch closes the
    environments.

  Raises:
    UserError: If the factory is no function or class.
  """
  if not callable(factory):
    raise checks.UserError(
        f'The task {name!r} is {factory!r}; wanted a function or class that '
        'makes an environment.')
  return gym.load(name, functools.partial(_made, name, factory))


def _made(name, factory, seed):
  source = factories.call(factory, seed)
  whose = f'The task {name!r} returned'
  if inspect.isclass(source):
    raise checks.UserError(
        f'{whose} the class {source.__name__}; wanted an environment. Return '
        f'{source.__name__}(...).')
  factories.claim(source, whose)
  with factories.closed_on_error(source):
    made = as_py_environment(source, whose, seed)
  if isinstance(made, tf_environment.TFEnvironment):
    return made
  return factories.Own(made, source)


def from_object(name: str, environment: Any) -> task_lib.Task:
  """Makes a task that steps one object, which its owner closes.

  With several worker processes, each has a copy of it, and closes the copy.

  Args:
    name: The task's name, for messages and records.
    environment: What `as_environment` takes.

  Returns:
    A task with the settings of `load_gym`.
  """
  process = os.getpid()

  def construct(seed):
    made = as_py_environment(environment, seed=seed)
    if isinstance(made, tf_environment.TFEnvironment):
      batch.leave_open(made)
      return made
    return factories.Lent(made, environment, process)

  task = gym.load(name, construct)

  def make(seed, num_environments=1, processes=False):
    batched = getattr(environment, 'batched', False)
    if num_environments > 1 and not processes and not batched:
      raise checks.UserError(
          f'One environment, {environment!r}, cannot be stepped as '
          f'{num_environments}: train.environments = {num_environments} in one '
          'process. Give a function that makes one, or set train.processes = '
          'True, where each process has a copy.')
    return task.make(seed, num_environments, processes)

  return task._replace(make=make)


def as_environment(
    environment: Any, whose: str = 'Got', seed: int | None = None
) -> task_lib.Environment:
  """Gives an environment of any library the agent's observations and actions.

  Args and errors are those of `as_py_environment`.

  Returns:
    A `TFEnvironment` or batched `PyEnvironment` unchanged; else an `Adapted`.
  """
  made = as_py_environment(environment, whose, seed)
  if isinstance(made, tf_environment.TFEnvironment) or made.batched:
    return made
  return adapt.Adapted(made)


def as_py_environment(
    environment: Any, whose: str = 'Got', seed: int | None = None
) -> task_lib.Environment:
  """Wraps an environment of any library as one of TF-Agents.

  Args:
    environment: A Gym, Gymnasium or `dm_env` environment, or a TF-Agents
      `PyEnvironment` or `TFEnvironment`, which is returned unchanged.
    whose: How an error message begins.
    seed: Of the first reset of a Gym environment; None: not seeded.

  Raises:
    UserError: If it is none of these, or its spaces are not supported.
  """
  if isinstance(environment, (
      tf_environment.TFEnvironment, py_environment.PyEnvironment)):
    return environment
  check_single(environment, whose)
  if _is_dm_env(environment):
    return dm_control.DmEnvironment(environment)
  if gym.is_gym(environment):
    return gym.GymEnvironment(environment, seed=seed)
  raise checks.UserError(
      f'{whose} {environment!r}; wanted a Gym, Gymnasium or dm_env '
      'environment, or a TF-Agents PyEnvironment or TFEnvironment.')


def check_single(environment: Any, whose: str = 'Got') -> None:
  """Refuses vectors of environments, and environments of several agents.

  Args:
    environment: What the user gave.
    whose: How the error message begins.

  Raises:
    UserError: If it is one of these.
  """
  count = getattr(environment, 'num_envs', None)
  if count is not None:
    raise checks.UserError(
        f'{whose} {environment!r}, a vector of {count} environments; wanted '
        'one. Give a function that makes one, and set train.environments = '
        f'{count}.')
  if hasattr(environment, 'possible_agents'):
    raise checks.UserError(
        f'{whose} {environment!r}, which has several agents, as PettingZoo has '
        'them; wanted an environment of one. Give one agent its own view, with '
        'the others as part of the world.')


def _is_dm_env(environment: Any) -> bool:
  methods = ('reset', 'step', 'observation_spec', 'action_spec')
  return all(hasattr(environment, method) for method in methods)
