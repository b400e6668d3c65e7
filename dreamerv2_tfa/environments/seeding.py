"""The seed of a Gym environment, whatever its methods take."""

import inspect


def reset(env, seed):
  """Starts an episode with a seed.

    reset(self, *, seed=None, ...)      reset(seed=seed)
    reset(self, **kwargs)               likewise, where a seed may arrive
    reset(self), of a wrapper           the environment inside alone with the
                                        seed, then all of it without
    reset(self), of the environment     its base class alone with the seed
    seed(self, seed), of its own        is called before

  Args:
    env: A Gym or Gymnasium environment.
    seed: Python int.

  Returns:
    What `reset` returned.
  """
  inside = getattr(env, 'unwrapped', env)
  seeded = _has_own_seed(inside)
  if seeded:
    inside.seed(seed)
  if all(map(_takes_seed, _layers(env))):
    return env.reset(seed=seed)
  if not seeded:
    _seed_inside(inside, seed)
  return env.reset()


def _has_own_seed(env):
  """Whether it has a method `seed` that is not Gym's, which does nothing."""
  method = getattr(env, 'seed', None)
  return inspect.ismethod(method) and (
      method.__func__.__module__.partition('.')[0] not in ('gym', 'gymnasium'))


def _seed_inside(env, seed):
  """Seeds by a `reset` of its bases; its random numbers go on from there."""
  for method in _resets(env):
    if 'seed' in inspect.signature(method).parameters:
      method(env, seed=seed)
      return
  if inspect.ismethod(getattr(env, 'seed', None)):
    env.seed(seed)


def _layers(env):
  """The environment and what it wraps, from outside in."""
  layers = [env]
  while True:
    inner = getattr(env, 'env', None)
    wraps = getattr(env, 'unwrapped', env) is not env
    if not wraps or not hasattr(inner, 'reset') or len(layers) > 99:
      return layers
    layers.append(inner)
    env = inner


def _resets(env):
  """The functions `reset` of an object's class and of its bases."""
  return [
      vars(cls)['reset'] for cls in type(env).__mro__ if 'reset' in vars(cls)]


def _takes_seed(env):
  """Whether `reset` of this layer takes a seed, or hands on what it is given.

  `**kwargs` end up in the `reset` of a base class, or in what a wrapper wraps.
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
