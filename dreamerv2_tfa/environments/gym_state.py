"""The state of Gym and Gymnasium environments that can be saved exactly."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dreamerv2_tfa.environments import seeding

_LIBRARIES = ('gym', 'gymnasium')
_WRAPPERS = {  # what each changes while it plays; nothing else is theirs
    'TimeLimit': ('_elapsed_steps',),
    'OrderEnforcing': ('_has_reset',),
    'PassiveEnvChecker': ('checked_reset', 'checked_step', 'checked_render'),
}
# What the classic control tasks change while they play.
_CLASSIC = ('state', 'last_u', 'steps_beyond_done', 'steps_beyond_terminated')
_METHODS = ('get_state', 'set_state'), ('clone_state', 'restore_state')


def get(env: Any) -> dict[str, Any]:
  """The state of an environment, its random numbers, and its wrappers.

    environment                               its state
    with `get_state` and `set_state`          what `get_state()` returns
    with `clone_state` and `restore_state`    what `clone_state()` returns
    of `classic_control`                      its attributes

  Raises:
    NotImplementedError: If it is another one, or in a wrapper that is not of
      Gym's `make`.
  """
  *outer, inside = seeding.stack(env)
  random = getattr(inside, '_np_random', None)
  return {
      'wrappers': [
          {name: vars(each)[name] for name in _changed(each)}
          for each in outer],
      'random': random.bit_generator.state if isinstance(
          random, np.random.Generator) else None,
      'seed': getattr(inside, '_np_random_seed', None),
      'inside': _get(inside)}


def put(env: Any, state: Mapping[str, Any]) -> None:
  """Restores what `get` has returned; raises if it does not fit."""
  *outer, inside = seeding.stack(env)
  _put(inside, state['inside'])
  if state['random'] is not None:  # else its first reset will seed it
    inside.np_random.bit_generator.state = state['random']
  if hasattr(inside, '_np_random_seed'):
    inside._np_random_seed = state['seed']
  for each, values in zip(outer, state['wrappers'], strict=True):
    vars(each).update({name: values[name] for name in _changed(each)})


def _get(inside):
  if methods := _methods(inside):
    return getattr(inside, methods[0])()
  _check_classic(inside)
  return {name: vars(inside)[name] for name in _CLASSIC if name in vars(inside)}


def _put(inside, state):
  if methods := _methods(inside):
    getattr(inside, methods[1])(state)
  else:
    _check_classic(inside)
    vars(inside).update({name: state[name] for name in state})


def _methods(inside):
  """Names of its methods that read and write a state; None if it has none."""
  return next((
      pair for pair in _METHODS
      if all(callable(getattr(inside, name, None)) for name in pair)), None)


def _check_classic(inside):
  library, *path = type(inside).__module__.split('.')
  if library not in _LIBRARIES or path[:2] != ['envs', 'classic_control']:
    raise NotImplementedError(f'{type(inside).__name__} has no get_state().')


def _changed(wrapper):
  """Names of the attributes that a wrapper changes while it plays."""
  kind = type(wrapper)
  library, *path = kind.__module__.split('.')
  if library not in _LIBRARIES or path[:1] != ['wrappers'] or (
      kind.__name__ not in _WRAPPERS):
    raise NotImplementedError(f'The wrapper {kind.__name__} has no state.')
  return [name for name in _WRAPPERS[kind.__name__] if name in vars(wrapper)]
