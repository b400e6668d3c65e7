"""Suite `dmc`: DeepMind Control, its suite, manipulation and locomotion."""

from collections.abc import Callable
import functools
import importlib
import os
from typing import Any

import dm_env
from dm_env import specs
import gin
import numpy as np
from tf_agents.environments import dm_control_wrapper
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa import rendering
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import rewards
from dreamerv2_tfa.environments import task as task_lib

_EXTRA = 'dmc'
_EXAMPLES = 'dm_control.locomotion.examples'
_LOCOMOTION = (  # module, start of its tasks
    (f'{_EXAMPLES}.basic_rodent_2020', 'rodent_'),
    (f'{_EXAMPLES}.basic_cmu_2019', 'cmu_humanoid_'),
)
_CAMERAS = {  # the published package's; 0 elsewhere
    'quadruped_walk': 2, 'quadruped_run': 2, 'quadruped_escape': 2,
    'quadruped_fetch': 2, 'locom_rodent_maze_forage': 1,
    'locom_rodent_two_touch': 1,
}
_PICTURES = (
    'front_close', 'front_far', 'top_down', 'left_close', 'right_close')
_SHORT = {'cup_catch': 'ball_in_cup_catch'}  # as the published package has it


@functools.cache
def games() -> tuple[str, ...]:
  """Sorted names of all tasks, such as 'walker_walk'."""
  try:
    locomotion = _locomotion()
  except ValueError:  # it needs labmaze, which has no wheel for Python 3.13
    locomotion = ()
  return tuple(sorted([*_suite(), *_SHORT, *_manipulation(), *locomotion]))


# gin's annotation of a decorator with a name is wrong.
@gin.configurable('load_dmc')  # pyright: ignore[reportCallIssue]
def load(
    game: str, *, action_repeat: int = 2, pixels: bool = True,
    proprio: bool = False, size: int = 64, camera: int | str | None = None
) -> task_lib.Task:
  """Makes a task of DeepMind Control.

  Args:
    game: One of `games()`.
    action_repeat: Physics steps an agent step.
    pixels: Observe the camera as 'image', in RGB.
    proprio: Observe joint positions, velocities and the like.
    size: Pixels, height and width of the image.
    camera: None: the camera that the published package takes for this task.
  """
  action_repeat = checks.integer('load_dmc.action_repeat', action_repeat)
  size = checks.integer('load_dmc.size', size)
  checks.flag('load_dmc.pixels', pixels)
  checks.flag('load_dmc.proprio', proprio)

  def construct(seed):
    return adapt.Adapted(make(
        game, seed=seed, action_repeat=action_repeat, pixels=pixels,
        proprio=proprio, size=size, camera=camera), size=size)
  return task_lib.from_constructor(f'dmc_{game}', action_repeat, construct)


def make(
    game: str, *, seed: int, action_repeat: int, pixels: bool, proprio: bool,
    size: int, camera: int | str | None) -> py_environment.PyEnvironment:
  """Makes the environment of one task; `load` documents the settings.

  Args:
    game: One of `games()`.
    seed: Of initial states and goals.
    action_repeat: See `load`.
    pixels: Observe 'image', uint8 `[size, size, 3]`.
    proprio: See `load`.
    size: Pixels.
    camera: See `load`.

  Raises:
    ValueError: If nothing is observed, or there is no OpenGL for pixels.
  """
  if not (pixels or proprio):
    raise ValueError(
        'Nothing is observed: load_dmc.pixels and load_dmc.proprio are both '
        'False. Set one to True.')
  if pixels:
    rendering.check()
    _use_chosen_opengl()
  env = DmEnvironment(_load(game, seed, pixels))
  if action_repeat > 1:
    env = wrappers.ActionRepeat(env, action_repeat)
  if camera is None:
    camera = _CAMERAS.get(game, 0)
  return _Observed(env, pixels, proprio, size, camera)


class DmEnvironment(dm_control_wrapper.DmControlWrapper):
  """A `dm_env` environment with specs and values as they are.

  TF-Agents' wrapper reads a discrete spec as a number and a missing reward as
  0, and rounds float64 bounds outwards.
  """

  def __init__(self, env: dm_env.Environment):
    """Reads the specs of `env`."""
    super().__init__(env)
    own = lambda nest: tree.map_structure(_own_spec, nest)
    self._observation_spec = own(env.observation_spec())
    self._action_spec: Any = own(env.action_spec())

  def _reset(self):
    return ts.restart(self._env.reset().observation)

  def _step(self, action):
    step = self._env.step(np.asarray(action, self._action_spec.dtype))
    if step.first():  # the environment has reset itself
      return ts.restart(step.observation)
    discount = 1.0 if step.discount is None else step.discount
    return ts.TimeStep(
        np.asarray(int(step.step_type), np.int32), rewards.check(step.reward),
        np.asarray(discount, np.float32), step.observation)


def _own_spec(spec):
  """Converts a spec of `dm_env`."""
  if isinstance(spec, specs.DiscreteArray):
    return observations.Choices(
        spec.shape, spec.dtype, spec.minimum, spec.maximum, spec.name)
  if isinstance(spec, specs.BoundedArray) and spec.dtype != np.bool_:
    return array_spec.BoundedArraySpec(
        spec.shape, spec.dtype, spec.minimum, spec.maximum, spec.name)
  return array_spec.ArraySpec(spec.shape, spec.dtype, spec.name)


class _Observed(wrappers.PyEnvironmentBaseWrapper):
  """Renders once an agent step, and drops the task's own pictures."""

  def __init__(self, env, pixels, proprio, size, camera):
    super().__init__(env)
    observations: Any = env.observation_spec()
    self._draw = functools.partial(self._picture, size, size, camera)
    self._camera = camera
    self._specs = {
        key: spec for key, spec in observations.items()
        if proprio and spec.dtype != np.uint8}
    self._pixels = pixels
    self._image_spec = array_spec.BoundedArraySpec(
        (size, size, 3), np.uint8, 0, 255, name='image')

  def observation_spec(self) -> dict[str, Any]:
    image = {'image': self._image_spec} if self._pixels else {}
    return {**image, **self._specs}

  def render(self, mode: str = 'rgb_array') -> np.ndarray:
    """The camera's picture, as DeepMind Control draws it: 240 x 320."""
    del mode
    rendering.check()
    _use_chosen_opengl()
    return self._picture(240, 320, self._camera)

  def close(self) -> None:
    """Frees the OpenGL context, in the thread that rendered."""
    self._env.physics.free()

  def _reset(self):
    return self._observe(self._env.reset())

  def _step(self, action):
    return self._observe(self._env.step(action))

  def _observe(self, time_step):
    observation = {key: time_step.observation[key] for key in self._specs}
    if self._pixels:
      observation['image'] = self._draw()
    return time_step._replace(observation=observation)

  def _picture(self, height, width, camera):
    try:
      return self._env.physics.render(height, width, camera_id=camera)
    except (RuntimeError, extras.load('mujoco', _EXTRA).FatalError) as error:
      raise ValueError(
          f'OpenGL cannot draw MuJoCo ({error}). {rendering.INSTALL}'
      ) from error


def _use_chosen_opengl():
  """Makes dm_control choose OpenGL again if it was imported too early."""
  chosen = extras.load('dm_control._render', _EXTRA)
  if chosen.BACKEND != os.environ['MUJOCO_GL']:
    importlib.reload(chosen)


def _load(game, seed, pixels):
  """Makes the `dm_env` environment of a task."""
  if game.startswith('manip_'):
    # The task shows its goal in the picture (vision) or in numbers (features).
    kinds = ('vision', 'features') if pixels else ('features', 'vision')
    there = _manipulation()[game]
    kind = next(kind for kind in kinds if kind in there)
    manipulation = extras.load('dm_control.manipulation', _EXTRA)
    env = manipulation.load(f'{game.removeprefix("manip_")}_{kind}', seed=seed)
    # Its own pictures are not observed, and take most of the time to render.
    for name, observable in env.task.task_observables.items():
      observable.enabled = observable.enabled and name not in _PICTURES
    env.reset()
    return env
  if game.startswith('locom_'):
    return _locomotion()[game](random_state=np.random.RandomState(seed))
  domain, task = _suite()[_SHORT.get(game) or game]
  suite = extras.load('dm_control.suite', _EXTRA)
  return suite.load(domain, task, task_kwargs={'random': seed})


def _suite():
  """Domain and task of each game of the suite."""
  suite = extras.load('dm_control.suite', _EXTRA)
  return {'_'.join(pair): pair for pair in suite.ALL_TASKS}


def _manipulation():
  """Kinds of each game of manipulation: 'features', 'vision' or both."""
  kinds = {}
  for name in extras.load('dm_control.manipulation', _EXTRA).ALL:
    task, _, kind = name.rpartition('_')
    kinds.setdefault(f'manip_{task}', []).append(kind)
  return kinds


def _locomotion() -> dict[str, Callable]:
  """The function that makes each game of locomotion."""
  return {
      f'locom_{name}': getattr(module, name)
      for path, start in _LOCOMOTION
      for module in [extras.load(path, _EXTRA)]
      for name in dir(module) if name.startswith(start)}
