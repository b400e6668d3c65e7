"""Gym and Gymnasium environments of any version, by their methods alone.

TF-Agents' GymWrapper takes time limits for deaths and knows neither Gymnasium
nor the newer forms of `reset` and `step`, so this is our own.
"""

import inspect

import numpy as np
from tf_agents.environments import py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts


class GymEnvironment(py_environment.PyEnvironment):
  """A Gym environment: `terminated` is discount 0, `truncated` keeps 1.

    step                                          here
    obs, reward, terminated, truncated, info      as it says
    obs, reward, done, info                       done, unless the info has
                                                  'TimeLimit.truncated'

  Observations keep their shapes; a choice of n becomes a one-hot vector.
  """

  def __init__(self, env, seed=None):
    """Reads the spaces of `env`; resets nothing yet.

    Args:
      env: A Gym or Gymnasium environment.
      seed: Python int of the first reset, or None to leave it as it is.

    Raises:
      ValueError: If a space is not supported.
    """
    super().__init__(handle_auto_reset=True)
    self._gym = env
    self._seed = seed
    self._action_space = env.action_space
    self._action_spec, self._outside = _action(env.action_space)
    self._observation_spec, self._read = _observation(
        env.observation_space, ())

  @property
  def gym(self):
    """The environment inside."""
    return self._gym

  def __getattr__(self, name):
    """Forwards what else is asked for, such as `pop_outcomes`."""
    if name.startswith('_'):
      raise AttributeError(name)
    return getattr(self._gym, name)

  def action_spec(self):
    """Returns the spec of the action, integers from 0."""
    return self._action_spec

  def observation_spec(self):
    """Returns the nest of observation specs."""
    return self._observation_spec

  def close(self):
    """Closes the environment inside."""
    self._gym.close()

  def _reset(self):
    """Starts an episode; the first one takes the seed."""
    seed, self._seed = self._seed, None
    if seed is None:
      result = self._gym.reset()
    elif _takes_seed(self._gym):
      result = self._gym.reset(seed=seed)
    else:
      if hasattr(self._gym, 'seed'):
        self._gym.seed(seed)
      result = self._gym.reset()
    newer = (
        isinstance(result, tuple) and len(result) == 2
        and isinstance(result[1], dict)
        and not isinstance(self._observation_spec, tuple))
    return ts.restart(self._read(result[0] if newer else result))

  def _step(self, action):
    """Plays `action`."""
    result = self._gym.step(self._outside(action))
    if len(result) == 5:
      observation, reward, terminated, truncated, _ = result
    else:
      observation, reward, done, info = result
      truncated = done and bool(info.get('TimeLimit.truncated', False))
      terminated = done and not truncated
    observation = self._read(observation)
    reward = np.asarray(reward, np.float32).reshape(())
    if terminated:
      return ts.termination(observation, reward)
    if truncated:
      return ts.truncation(observation, reward)
    return ts.transition(observation, reward)


def _takes_seed(env):
  """Whether `reset` has a seed; wrappers hand on what they do not know."""
  inside = getattr(env, 'unwrapped', env)
  return 'seed' in inspect.signature(inside.reset).parameters


def _kind(space):
  """Name of the space: Gym and Gymnasium call theirs alike."""
  return next(
      (cls.__name__ for cls in type(space).__mro__
       if cls.__module__.startswith(('gym.', 'gymnasium.'))),
      type(space).__name__)


def _action(space):
  """Returns the spec of an action space, and how an action is played."""
  kind = _kind(space)
  if kind == 'Discrete':
    start = int(getattr(space, 'start', 0))
    spec = array_spec.BoundedArraySpec(
        (), np.int32, 0, int(space.n) - 1, name='action')
    return spec, lambda action: int(action) + start
  if kind in ('MultiDiscrete', 'MultiBinary'):
    counts = np.asarray(getattr(space, 'nvec', 2))
    start = getattr(space, 'start', 0)
    spec = array_spec.BoundedArraySpec(
        space.shape, np.int32, 0, counts - 1, name='action')
    return spec, lambda action: (action + start).astype(space.dtype)
  if kind == 'Box':
    integer = np.issubdtype(space.dtype, np.integer)
    dtype = np.int32 if integer else np.float32
    with np.errstate(over='ignore'):  # float64's largest is infinite here
      spec = array_spec.BoundedArraySpec(
          space.shape, dtype, space.low.astype(dtype),
          space.high.astype(dtype), name='action')
    return spec, lambda action: np.asarray(action, space.dtype)
  raise ValueError(
      f'The action space {space} is not supported; wanted Box, Discrete, '
      'MultiDiscrete or MultiBinary. Convert it in the environment.')


def _observation(space, path):
  """Returns the specs of an observation space, and how one is read."""
  kind, name = _kind(space), '/'.join(map(str, path)) or 'observation'
  if kind == 'Dict':
    parts = {
        key: _observation(part, (*path, key))
        for key, part in space.spaces.items()}
    return ({key: spec for key, (spec, _) in parts.items()},
            lambda x: {key: read(x[key]) for key, (_, read) in parts.items()})
  if kind == 'Tuple':
    parts = [
        _observation(part, (*path, i)) for i, part in enumerate(space.spaces)]
    return (tuple(spec for spec, _ in parts),
            lambda x: tuple(
                read(y) for (_, read), y in zip(parts, x, strict=True)))
  if kind == 'Box':
    dtype = np.float32 if space.dtype == np.float64 else space.dtype
    with np.errstate(over='ignore'):
      spec = array_spec.BoundedArraySpec(
          space.shape, dtype, space.low.astype(dtype),
          space.high.astype(dtype), name=name)
    return spec, lambda x: np.asarray(x, dtype)
  if kind == 'MultiBinary':
    return (array_spec.ArraySpec(space.shape, np.float32, name=name),
            lambda x: np.asarray(x, np.float32))
  if kind in ('Discrete', 'MultiDiscrete'):
    counts = np.ravel(space.n if kind == 'Discrete' else space.nvec)
    start = np.ravel(getattr(space, 'start', 0))
    spec = array_spec.ArraySpec((int(counts.sum()),), np.float32, name=name)
    offsets = np.cumsum(counts) - counts - start
    return spec, lambda x: _one_hot(spec.shape, np.ravel(x) + offsets)
  # `adapt` refuses it by this name, unless its pattern of keys leaves it out.
  return array_spec.ArraySpec((), np.str_, name=str(space)), lambda _: np.str_()


def _one_hot(shape, indices):
  vector = np.zeros(shape, np.float32)
  vector[indices.astype(np.int64)] = 1.0
  return vector


def is_gym(environment):
  """Whether an object has the spaces of a Gym environment."""
  return hasattr(environment, 'action_space') and hasattr(
      environment, 'observation_space')
