"""Factories of environments that users write: their calls, and who closes."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import inspect
import os
from typing import Any
import weakref

from tf_agents.environments import py_environment
from tf_agents.environments import wrappers

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import layers

_in_use = {}  # weak references to results of factories, by `id`


def call(factory: Callable[..., Any], seed: int) -> Any:
  """Calls a factory or a class, with the seed if it takes one.

    def make(seed), or any one name          make(seed)
    def make(size=5, seed=None)              make(seed=seed)
    def make()                               make()
    def __init__(self, render_mode=None)     make(): an option is no seed

  A Gym environment gets the seed at its first reset in any case.

  Args:
    factory: Function or class.
    seed: Of the environment.

  Returns:
    The result of the factory.

  Raises:
    UserError: If it needs more than a seed.
  """
  try:
    parameters = inspect.signature(factory).parameters.values()
  except (TypeError, ValueError):  # some functions written in C
    return factory(seed)
  several = [p for p in parameters if p.kind == p.VAR_POSITIONAL]
  plain = [p for p in parameters
           if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
  named = [p for p in plain if 'seed' in p.name.lower()][:1]
  needed = [p for p in plain if p.default is p.empty and p not in named]
  if needed and (named or len(needed) > 1 or (
      needed[0].kind == needed[0].KEYWORD_ONLY
      or needed[0].name == 'render_mode')):  # an option of every Gym class
    names = ', '.join(p.name for p in needed)
    raise checks.UserError(
        f'The factory {getattr(factory, "__qualname__", factory)} needs '
        f'{names}; wanted a function of a seed, '
        'or of nothing. Give it the rest: lambda seed: make(..., seed).')
  if named and named[0].kind != named[0].POSITIONAL_ONLY:
    return factory(**{named[0].name: seed})
  if named or needed or several:
    return factory(seed)
  return factory()


def claim(environment: Any, whose: str) -> None:
  """Refuses an object that another part of the run already steps.

  Args:
    environment: What a factory has returned.
    whose: How the error message begins.

  Raises:
    UserError: If it was claimed before and not released.
  """
  known = _in_use.get(id(environment))
  if known is not None and known() is environment:
    raise checks.UserError(
        f'{whose} the same object twice, {environment!r}; environments side by '
        'side, and the one of evaluation, share nothing. Make a new one at '
        'each call.')
  try:
    _in_use[id(environment)] = weakref.ref(environment)
  except TypeError:  # it admits no weak references: no check
    pass


def release(environment: Any) -> None:
  """Removes the claim on an object, if there is one."""
  _in_use.pop(id(environment), None)


class Own(wrappers.PyEnvironmentBaseWrapper):
  """An environment that a factory made: the run closes it, once."""

  def __init__(self, env: py_environment.PyEnvironment, source: Any):
    """Wraps an environment.

    Args:
      env: The environment for TF-Agents.
      source: The object inside, which the factory returned.
    """
    super().__init__(env)
    self._source = source

  def get_state(self) -> dict[str, Any]:
    """The state of the environment inside, as `layers` has it."""
    return layers.get(self._env)

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`."""
    layers.put(self._env, state)

  def close(self) -> None:
    """Closes the object, the first time."""
    source, self._source = self._source, None
    if source is not None:
      close(source)


class Lent(wrappers.PyEnvironmentBaseWrapper):
  """An object of the user, who closes it; the run closes only its copies.

  Each worker process has a copy.
  """

  def __init__(
      self, env: py_environment.PyEnvironment, source: Any, process: int):
    """Wraps an environment.

    Args:
      env: The environment for TF-Agents.
      source: The object inside.
      process: Id of the user's process.
    """
    super().__init__(env)
    self._source, self._copied = source, os.getpid() != process

  def get_state(self) -> dict[str, Any]:
    """The state of the environment inside, as `layers` has it."""
    return layers.get(self._env)

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`."""
    layers.put(self._env, state)

  def close(self) -> None:
    """Closes a copy, the first time."""
    source, self._source = self._source, None
    if source is not None and self._copied:
      close(source)


def close(environment: Any) -> None:
  """Closes an environment of any library, if it has `close`; releases it."""
  release(environment)
  end = getattr(environment, 'close', None)
  if callable(end):
    end()


@contextlib.contextmanager
def closed_on_error(environment: Any) -> Iterator[None]:
  """Closes an environment if the body of the `with` raises."""
  try:
    yield
  except BaseException:
    with faults.closing('The environment'):
      close(environment)
    raise
