"""The state of a Python environment and of the layers around it, as data.

Each layer has TF-Agents' `get_state` and `set_state`. Every layer also keeps
the last time step, which decides whether the next step starts an episode:

    {'time_step': [...] or None, 'state': what get_state() returned}
"""

from collections.abc import Mapping
from typing import Any

from tf_agents.environments import batched_py_environment
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers
from tf_agents.trajectories import time_step as ts


def get(environment: py_environment.PyEnvironment) -> dict[str, Any]:
  """The state of an environment and of all that it wraps.

  Returns:
    A nest of dicts, lists, tuples, numbers, text, bytes, None and arrays, if
    the environment's own state is one.

  Raises:
    NotImplementedError: If a layer has no state to save.
  """
  return {'time_step': plain(environment._current_time_step),
          'state': _get(environment)}


def put(
    environment: py_environment.PyEnvironment, state: Mapping[str, Any]
) -> None:
  """Restores what `get` has returned; the next step continues from there.

  Args:
    environment: Of the same layers.
    state: What `get` has returned.

  Raises:
    NotImplementedError: If a layer has no state to restore.
    Exception: Of any kind, if the state does not fit; the environment must not
      be stepped then.
  """
  _put(environment, state['state'])
  environment._current_time_step = time_step(state['time_step'])


def plain(step: ts.TimeStep | None) -> list[Any] | None:
  """A time step as a list, or None."""
  return None if step is None else list(step)


def time_step(values: list[Any] | None) -> ts.TimeStep | None:
  """The time step that `plain` has made a list of."""
  return None if values is None else ts.TimeStep(*values)


def _get(environment):
  kind = type(environment)
  if kind is batched_py_environment.BatchedPyEnvironment:
    return [get(each) for each in environment.envs]
  if kind is wrappers.TimeLimit:
    return {'steps': environment._num_steps,
            'inside': get(environment.wrapped_env())}
  if kind is wrappers.ActionRepeat:
    return {'inside': get(environment.wrapped_env())}
  _check_own(kind, 'get_state')
  return environment.get_state()


def _put(environment, state):
  kind = type(environment)
  if kind is batched_py_environment.BatchedPyEnvironment:
    for each, its_state in zip(environment.envs, state, strict=True):
      put(each, its_state)
  elif kind is wrappers.TimeLimit:
    put(environment.wrapped_env(), state['inside'])
    environment._num_steps = state['steps']
  elif kind is wrappers.ActionRepeat:
    put(environment.wrapped_env(), state['inside'])
  else:
    _check_own(kind, 'set_state')
    environment.set_state(state)


def _check_own(kind, method):
  """Refuses a wrapper that passes `method` on without its own attributes."""
  if getattr(kind, method) is getattr(
      wrappers.PyEnvironmentBaseWrapper, method):
    raise NotImplementedError(f'{kind.__name__} has no {method}().')
