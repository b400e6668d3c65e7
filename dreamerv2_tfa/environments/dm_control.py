"""DeepMind Control: the suite, manipulation and locomotion."""

import functools
import importlib
import os

from dm_env import specs
import gin
import numpy as np
from tf_agents.environments import dm_control_wrapper
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa import observations
from dreamerv2_tfa import rendering
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import rewards

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
def games():
  """Returns the sorted names of all tasks, such as 'walker_walk'."""
  try:
    locomotion = _locomotion()
  except ValueError:  # labmaze, which it needs, has no wheel for Python 3.13
    locomotion = ()
  return tuple(sorted([*_suite(), *_SHORT, *_manipulation(), *locomotion]))


def make(game, *, seed, action_repeat, pixels, proprio, size, camera):
  """Makes one task.

  Args:
    game: One of `games()`.
    seed: Python int, of initial states and goals.
    action_repeat: Python int, physics steps an agent step.
    pixels: Python bool, observe 'image', uint8 `[size, size, 3]`.
    proprio: Python bool, observe positions, velocities and the like.
    size: Python int, pixels.
    camera: Python int or string, or None for the task's own.

  Returns:
    `PyEnvironment`.

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

  TF-Agents' wrapper takes a choice for a number, a missing reward for 0, and
  rounds the bounds of float64 outwards.
  """

  def __init__(self, env):
    """Reads the specs of `env`, a `dm_env.Environment`."""
    super().__init__(env)
    own = lambda nest: tree.map_structure(_own_spec, nest)
    self._observation_spec = own(env.observation_spec())
    self._action_spec = own(env.action_spec())

  def _reset(self):
    return ts.restart(self._env.reset().observation)

  def _step(self, action):
    step = self._env.step(np.asarray(action, self._action_spec.dtype))
    if step.first():  # the environment has begun again by itself
      return ts.restart(step.observation)
    discount = 1.0 if step.discount is None else step.discount
    return ts.TimeStep(
        np.asarray(int(step.step_type), np.int32), rewards.check(step.reward),
        np.asarray(discount, np.float32), step.observation)


def _own_spec(spec):
  """The spec of a `dm_env` spec."""
  if isinstance(spec, specs.DiscreteArray):
    return observations.Choices(
        spec.shape, spec.dtype, spec.minimum, spec.maximum, spec.name)
  if isinstance(spec, specs.BoundedArray) and spec.dtype != np.bool_:
    return array_spec.BoundedArraySpec(
        spec.shape, spec.dtype, spec.minimum, spec.maximum, spec.name)
  return array_spec.ArraySpec(spec.shape, spec.dtype, spec.name)


class _Observed(wrappers.PyEnvironmentBaseWrapper):
  """Draws the picture once an agent step, and leaves the task's own out."""

  def __init__(self, env, pixels, proprio, size, camera):
    super().__init__(env)
    self._draw = functools.partial(self._picture, size, camera)
    self._specs = {
        key: spec for key, spec in env.observation_spec().items()
        if proprio and spec.dtype != np.uint8}
    self._pixels = pixels
    self._image_spec = array_spec.BoundedArraySpec(
        (size, size, 3), np.uint8, 0, 255, name='image')

  def observation_spec(self):
    image = {'image': self._image_spec} if self._pixels else {}
    return {**image, **self._specs}

  def close(self):
    """Frees the OpenGL context, in the thread that has drawn."""
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

  def _picture(self, size, camera):
    try:
      return self._env.physics.render(size, size, camera_id=camera)
    except (RuntimeError, extras.load('mujoco', _EXTRA).FatalError) as error:
      raise ValueError(
          f'OpenGL cannot draw MuJoCo ({error}). {rendering.MEND}') from error


def _use_chosen_opengl():
  """Lets dm_control choose again, where it was imported before this package."""
  chosen = extras.load('dm_control._render', _EXTRA)
  if chosen.BACKEND != os.environ['MUJOCO_GL']:
    importlib.reload(chosen)


def _load(game, seed, pixels):
  """Returns the `dm_env` of a task."""
  if game.startswith('manip_'):
    # One kind of each sees the goal in the picture, one in the numbers.
    kinds = ('vision', 'features') if pixels else ('features', 'vision')
    there = _manipulation()[game]
    kind = next(kind for kind in kinds if kind in there)
    manipulation = extras.load('dm_control.manipulation', _EXTRA)
    env = manipulation.load(f'{game.removeprefix("manip_")}_{kind}', seed=seed)
    # Its own picture is not observed, and drawing it takes most of the time.
    for name, observable in env.task.task_observables.items():
      observable.enabled = observable.enabled and name not in _PICTURES
    env.reset()
    return env
  if game.startswith('locom_'):
    return _locomotion()[game](random_state=np.random.RandomState(seed))
  domain, task = _suite()[_SHORT.get(game, game)]
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


def _locomotion():
  """The function that makes each game of locomotion."""
  return {
      f'locom_{name}': getattr(module, name)
      for path, start in _LOCOMOTION
      for module in [extras.load(path, _EXTRA)]
      for name in dir(module) if name.startswith(start)}


@gin.configurable('load_dmc')
def load(
    game, *, action_repeat=2, pixels=True, proprio=False, size=64,
    camera=None):
  """Returns a task of DeepMind Control.

  Args:
    game: One of `games()`.
    action_repeat: Python int, physics steps an agent step.
    pixels: Python bool, observe the camera as 'image', in colour.
    proprio: Python bool, observe joint positions, velocities and the like.
    size: Python int, pixels, height and width of the image.
    camera: Python int or string; None: the task's own, as published.

  Returns:
    A `Task`.
  """
  action_repeat = checks.integer('load_dmc.action_repeat', action_repeat)
  size = checks.integer('load_dmc.size', size)
  checks.flag('load_dmc.pixels', pixels)
  checks.flag('load_dmc.proprio', proprio)

  def construct(seed):
    return adapt.Adapted(make(
        game, seed=seed, action_repeat=action_repeat, pixels=pixels,
        proprio=proprio, size=size, camera=camera), size=size)
  return batch.task(f'dmc_{game}', action_repeat, construct)
