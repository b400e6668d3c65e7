"""Seeds Gym environments of every version of the interface."""

from collections.abc import Callable
import inspect
from typing import Any


def reset(env: Any, seed: int) -> Any:
  """Starts an episode with a seed.

    method of the environment           what is called
    reset(self, *, seed=None, ...)      reset(seed=seed)
    reset(self, **kwargs)               reset(seed=seed), if kwargs reach a
                                        method that takes a seed
    reset(self), of a wrapper           reset(seed=seed) of the environment
                                        inside, then reset() of the wrapper
    reset(self), of the environment     reset(seed=seed) of its base class, then
                                        its own reset()
    seed(self, seed), not Gym's         seed(seed), before reset

  Args:
    env: A Gym or Gymnasium environment.
    seed: Of its random numbers.

  Returns:
    What `reset` returned.
  """
  inside = getattr(env, 'unwrapped', env)
  seeded = _has_own_seed(inside)
  if seeded:
    inside.seed(seed)
  if all(map(_takes_seed, stack(env))):
    return env.reset(seed=seed)
  if not seeded:
    _seed_inside(inside, seed)
  return env.reset()


def _has_own_seed(env: Any) -> bool:
  """Whether it has a method `seed` that is not Gym's, which does nothing."""
  method: Any = getattr(env, 'seed', None)
  return inspect.ismethod(method) and (
      method.__func__.__module__.partition('.')[0] not in ('gym', 'gymnasium'))


def _seed_inside(env: Any, seed: int) -> None:
  """Seeds with `reset` of a base class; the next `reset` continues from it."""
  for method in _resets(env):
    if 'seed' in inspect.signature(method).parameters:
      method(env, seed=seed)
      return
  if inspect.ismethod(getattr(env, 'seed', None)):
    env.seed(seed)


def stack(env: Any) -> list[Any]:
  """The environment and those that it wraps, outermost first."""
  layers = [env]
  while True:
    inner = getattr(env, 'env', None)
    wraps = getattr(env, 'unwrapped', env) is not env
    if not wraps or not hasattr(inner, 'reset') or len(layers) > 99:
      return layers
    layers.append(inner)
    env = inner


def _resets(env: Any) -> list[Callable]:
  """The functions `reset` of an object's class and of its base classes."""
  return [
      vars(cls)['reset'] for cls in type(env).__mro__ if 'reset' in vars(cls)]


def _takes_seed(env: Any) -> bool:
  """Whether `reset` of this layer takes a seed, or passes it on.

  `**kwargs` reach `reset` of a base class or of the wrapped environment.
  """
  methods = _resets(env)
  if 'reset' in getattr(env, '__dict__', {}):
    methods.insert(0, env.reset)
  for method in methods:
    parameters = inspect.signature(method).parameters.values()
    if any(p.name == 'seed' for p in parameters):
      return True
    if not any(p.kind == p.VAR_KEYWORD for p in parameters):
      return False
  return getattr(env, 'unwrapped', env) is not env
