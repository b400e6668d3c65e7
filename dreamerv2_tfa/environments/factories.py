"""Environments as users write them: who makes them, and who closes them."""

import contextlib
import inspect
import os
import weakref

from tf_agents.environments import wrappers

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults

_in_use = {}  # weak references to what factories have returned, by id


def call(factory, seed):
  """Calls a factory or a class, with the seed where it takes one.

    def make(seed)                           make(seed), whatever the name
    def make(size=5, seed=None)              make(seed=seed)
    def make()                               make()
    def __init__(self, render_mode=None)     likewise: an option is no seed

  The seed of the first reset goes to a Gym environment in any case.

  Args:
    factory: Function or class.
    seed: Python int.

  Returns:
    Whatever it returns.

  Raises:
    UserError: If it needs more than a seed.
  """
  try:
    parameters = inspect.signature(factory).parameters.values()
  except (TypeError, ValueError):  # of some that are written in C
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


def claim(environment, whose):
  """Refuses an object that another part of the run steps already.

  Args:
    environment: What a factory has returned.
    whose: Python string, how the error begins.

  Raises:
    UserError: If it was claimed before, and not released.
  """
  known = _in_use.get(id(environment))
  if known is not None and known() is environment:
    raise checks.UserError(
        f'{whose} the same object twice, {environment!r}; environments side by '
        'side, and the one of evaluation, share nothing. Make a new one at '
        'each call.')
  try:
    _in_use[id(environment)] = weakref.ref(environment)
  except TypeError:  # nothing refers weakly to it, so nobody can tell
    pass


def release(environment):
  """Takes back a claim, if there is one."""
  _in_use.pop(id(environment), None)


class Own(wrappers.PyEnvironmentBaseWrapper):
  """What a factory has made, as TF-Agents': closed with the run, once."""

  def __init__(self, env, source):
    """Takes over an environment.

    Args:
      env: `PyEnvironment`.
      source: The object inside, that the factory has returned.
    """
    super().__init__(env)
    self._source = source

  def close(self):
    """Closes the object, the first time."""
    source, self._source = self._source, None
    if source is not None:
      close(source)


class Lent(wrappers.PyEnvironmentBaseWrapper):
  """An object of the user's own: theirs to close, but for its copies.

  A copy is what arrives in the process of a worker.
  """

  def __init__(self, env, source, process):
    """Takes an environment.

    Args:
      env: `PyEnvironment`.
      source: The object inside.
      process: Python int, number of the process where the user has it.
    """
    super().__init__(env)
    self._source, self._copied = source, os.getpid() != process

  def close(self):
    """Closes a copy, the first time."""
    source, self._source = self._source, None
    if source is not None and self._copied:
      close(source)


def close(environment):
  """Closes an environment of any library, where it can be, and releases it."""
  release(environment)
  end = getattr(environment, 'close', None)
  if callable(end):
    end()


@contextlib.contextmanager
def closed_on_error(environment):
  """Closes an environment where what is done with it raises."""
  try:
    yield
  except BaseException:
    with faults.closing('The environment'):
      close(environment)
    raise
