"""Suite `gym`, and the wrapper of Gym and Gymnasium environments.

TF-Agents' GymWrapper takes time limits for terminations. It supports neither
Gymnasium nor the newer forms of `reset` and `step`, so this is our own.
"""

from collections.abc import Callable
import inspect
from typing import Any

import gin
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.environments import tf_environment
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import gym_state
from dreamerv2_tfa.environments import registered
from dreamerv2_tfa.environments import rewards
from dreamerv2_tfa.environments import seeding
from dreamerv2_tfa.environments import task as task_lib


def games() -> tuple[str, ...]:
  """Sorted ids of the environments that Gym knows."""
  return registered.ids('gym')


# gin's annotation of a decorator with a name is wrong.
@gin.configurable('load_gym')  # pyright: ignore[reportCallIssue]
def load(
    game: str, construct: Callable[[int], task_lib.Environment] | None = None,
    *, action_repeat: int = 1, max_steps: int = 0, keys: str = '.*',
    size: int = 64, pictures: str = '$^', numbers: str = '$^') -> task_lib.Task:
  """Makes the task of a Gym id, or of an environment that `construct` makes.

  Args:
    game: Id of a Gym environment; with `construct`, the name of the task.
    construct: From a seed to an environment. A batched one, or one in
      TensorFlow, is used unchanged.
    action_repeat: Environment steps an agent step.
    max_steps: Agent steps after which an episode is truncated, for environments
      that do not do so themselves; 0: never.
    keys: Regular expression of the observations to keep.
    size: Pixels, height and width of pictures.
    pictures: Regular expression of the observations that are pictures. It
      overrides what their bounds say.
    numbers: Regular expression of the observations that are no pictures.
  """
  action_repeat = checks.integer('load_gym.action_repeat', action_repeat)
  max_steps = checks.integer('load_gym.max_steps', max_steps, 0)
  size = checks.integer('load_gym.size', size)
  patterns = dict(keys=keys, pictures=pictures, numbers=numbers)
  for which, each in patterns.items():
    checks.pattern(f'load_gym.{which}', each)

  def adapted(seed):
    env = construct(seed) if construct else make('gym', game, seed)
    if isinstance(env, tf_environment.TFEnvironment) or env.batched:
      return env
    if action_repeat > 1:
      env = wrappers.ActionRepeat(env, action_repeat)
    if max_steps:
      env = wrappers.TimeLimit(env, max_steps)
    with factories.closed_on_error(env):
      return adapt.Adapted(
          env, keys=keys, size=size, pictures=pictures, numbers=numbers)
  name = game if construct else f'gym_{game}'
  return task_lib.from_constructor(name, action_repeat, adapted)


def make(library: str, identifier: str, seed: int) -> 'GymEnvironment':
  """Makes a registered environment; errors are those of `registered.make`."""
  return GymEnvironment(registered.make(library, identifier), seed=seed)


class GymEnvironment(py_environment.PyEnvironment):
  """A Gym environment: `terminated` is discount 0, `truncated` keeps 1.

    step returns                                  terminated
    obs, reward, terminated, truncated, info      `terminated`
    obs, reward, done, info                       `done`, unless `info` has
                                                  'TimeLimit.truncated'

  Observations and actions are those of the environment's spaces.
  """

  def __init__(self, env: Any, seed: int | None = None):
    """Reads the spaces of `env`; does not reset it yet.

    Args:
      env: A Gym or Gymnasium environment.
      seed: Of the first reset; None: not seeded.

    Raises:
      ValueError: If a space is not supported.
    """
    super().__init__(handle_auto_reset=True)
    self._gym = env
    self._seed = seed
    self._action_spec = _action_spec(env.action_space)
    self._one_choice = _kind(env.action_space) == 'Discrete'
    self._observation_spec = _observation_spec(env.observation_space, ())

  @property
  def gym(self) -> Any:
    """The environment inside."""
    return self._gym

  def __getattr__(self, name: str) -> Any:
    """Forwards other attributes, such as `pop_metrics`."""
    if name.startswith('_'):
      raise AttributeError(name)
    return getattr(self._gym, name)

  def action_spec(self) -> array_spec.ArraySpec:
    """Spec of the action."""
    return self._action_spec

  def observation_spec(self) -> Any:
    """Nest of observation specs."""
    return self._observation_spec

  def render(self, mode: str = 'rgb_array') -> Any:
    """What the environment inside draws, or None; of both forms of `render`.

      render(self, mode)     older Gym
      render(self)           Gymnasium: draws as `render_mode` says, which is
                             set here where the environment was made without
    """
    inside = getattr(self._gym, 'unwrapped', self._gym)
    if 'mode' in inspect.signature(inside.render).parameters:
      return inside.render(mode=mode)
    if getattr(inside, 'render_mode', None) is None:
      inside.render_mode = mode
    return inside.render()

  def get_state(self) -> dict[str, Any]:
    """The state of the environment inside, see `gym_state.get`."""
    return {'first_seed': self._seed, 'gym': gym_state.get(self._gym)}

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`."""
    gym_state.put(self._gym, state['gym'])
    self._seed = state['first_seed']

  def close(self) -> None:
    """Closes the environment inside, if it has `close`."""
    getattr(self._gym, 'close', tuple)()

  def _reset(self):
    """Starts an episode; the first one with the seed."""
    seed, self._seed = self._seed, None
    result = self._gym.reset() if seed is None else seeding.reset(
        self._gym, seed)
    return ts.restart(_shown(
        result[0] if _has_info(result, self._observation_spec) else result,
        'reset'))

  def _step(self, action: Any):
    """Plays `action`."""
    result = self._gym.step(
        int(action) if self._one_choice else np.asarray(
            action, self._action_spec.dtype))
    observation, reward, terminated, truncated = _read_step(result)
    observation = _shown(
        observation, 'last step' if terminated or truncated else 'step')
    reward = rewards.check(reward)
    if terminated:
      return ts.termination(observation, reward)
    if truncated:
      return ts.truncation(observation, reward)
    return ts.transition(observation, reward)


def _read_step(result):
  """Observation, reward, terminated and truncated, of both forms of a step."""
  form = len(result) if isinstance(result, tuple | list) else 0
  if form == 5:
    observation, reward, terminated, truncated, _ = result
    return (observation, reward, _flag('terminated', terminated),
            _flag('truncated', truncated))
  if form != 4:
    raise faults.Unusable(
        f'step() returned {result!r}; wanted observation, reward, terminated, '
        'truncated, info, or the older observation, reward, done, info.')
  observation, reward, done, info = result
  done = _flag('done', done)
  truncated = done and bool((info or {}).get('TimeLimit.truncated', False))
  return observation, reward, done and not truncated, truncated


def _flag(name, value):
  """Converts a bool, 0 or 1; refuses others: 'False' and NaN would be true."""
  array = np.asarray(value)
  if array.dtype.kind not in 'bui' or array.size != 1 or (
      array.item() not in (0, 1)):
    raise faults.Unusable(
        f'step() returned {name} = {value!r} ({type(value).__name__}); wanted '
        'one bool. Return True or False.')
  return bool(array.item())


def _shown(observation, when):
  """Refuses None as an observation; the last one is learned from too."""
  if observation is None:
    raise faults.Unusable(
        f'The environment returned None as the observation of a {when}; wanted '
        'one in its observation space at every step, the last of an episode '
        'too, where the agent learns what the end looks like. Return the state '
        'that the action led to, or the observation before it.')
  return observation


def _kind(space):
  """Name of the space's class, which is the same in Gym and Gymnasium."""
  return next(
      (cls.__name__ for cls in type(space).__mro__
       if cls.__module__.startswith(('gym.', 'gymnasium.'))),
      type(space).__name__)


def _has_info(result, spec):
  """Whether a reset returned observation and info, or only the former."""
  pair = (
      isinstance(result, tuple) and len(result) == 2
      and (result[1] is None or isinstance(result[1], dict)))
  # An older environment may have an observation of two parts, array and dict.
  looks_alike = (
      isinstance(spec, tuple) and len(spec) == 2 and isinstance(spec[1], dict))
  return pair and not (
      looks_alike and result[1] and set(result[1]) == set(spec[1]))


def _action_spec(space):
  """The spec of an action space."""
  if _kind(space) not in ('Discrete', 'MultiDiscrete', 'MultiBinary', 'Box'):
    raise ValueError(
        f'The action space {space} is not supported; wanted Box, Discrete, '
        'MultiDiscrete or MultiBinary. Convert it in the environment.')
  return _leaf(space, 'action')


def _observation_spec(space, path):
  """The nest of specs of an observation space."""
  kind = _kind(space)
  if kind == 'Dict':
    return {key: _observation_spec(part, (*path, key))
            for key, part in space.spaces.items()}
  if kind == 'Tuple':
    return tuple(
        _observation_spec(part, (*path, i))
        for i, part in enumerate(space.spaces))
  if kind in ('Discrete', 'MultiDiscrete', 'MultiBinary', 'Box'):
    return _leaf(space, '/'.join(map(str, path)) or 'observation')
  # `parts` refuses it with this name, unless the pattern of keys excludes it.
  return array_spec.ArraySpec((), np.str_, name=str(space))


def _leaf(space, name):
  """The spec of a space of numbers."""
  kind, start = _kind(space), getattr(space, 'start', 0)
  if kind == 'Discrete':
    return observations.Choices(
        (), np.int64, int(start), int(start) + int(space.n) - 1, name=name)
  if kind == 'MultiDiscrete':
    nvec, start = np.asarray(space.nvec, np.int64), np.asarray(start, np.int64)
    return observations.Choices(
        space.shape, space.dtype, start, start + nvec - 1, name=name)
  if kind == 'MultiBinary':
    return array_spec.BoundedArraySpec(
        space.shape, space.dtype, 0, 1, name=name)
  if space.dtype == np.bool_:
    return array_spec.ArraySpec(space.shape, space.dtype, name=name)
  return array_spec.BoundedArraySpec(
      space.shape, space.dtype, space.low, space.high, name=name)


def is_gym(environment: Any) -> bool:
  """Whether an object has the spaces of a Gym environment."""
  return hasattr(environment, 'action_space') and hasattr(
      environment, 'observation_space')
