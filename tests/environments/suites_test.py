"""Tests of DeepMind Control, Crafter and MiniGrid, and of objects as tasks."""

import importlib.util
import os
import subprocess
import sys
import warnings

import gin
import gymnasium
import numpy as np
import pytest
from tf_agents.environments import random_py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.environments import utils
from tf_agents.specs import array_spec

from dreamerv2_tfa import rendering
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.environments import crafter
from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import dm_control
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.environments import minigrid
from dreamerv2_tfa.environments import tasks


def _inside(task, seed=0):
  """The Python environment of a task."""
  return task.make(seed).pyenv.envs[0]


# DeepMind Control -------------------------------------------------------------


def test_all_tasks_of_the_suite_manipulation_and_locomotion_are_there():
  games = dm_control.games()
  from dm_control import manipulation
  from dm_control import suite
  assert {f'{domain}_{task}' for domain, task in suite.ALL_TASKS} <= set(games)
  for name in manipulation.ALL:
    assert f'manip_{name.rpartition("_")[0]}' in games
  assert 'cup_catch' in games
  if importlib.util.find_spec('labmaze'):  # mazes; none for Python 3.13
    assert {'locom_rodent_maze_forage',
            'locom_cmu_humanoid_run_walls'} <= set(games)


def test_an_agent_step_is_two_steps_of_physics_with_their_rewards_summed():
  one, two = (
      _inside(dm_control.load(
          'walker_walk', action_repeat=repeat, pixels=False, proprio=True))
      for repeat in (1, 2))
  one.reset(), two.reset()
  action = np.full(6, 0.5, np.float32)
  rewards = [one.step(action).reward for _ in range(20)]
  for i in range(10):
    step = two.step(action)
    np.testing.assert_allclose(step.reward, sum(rewards[2 * i:2 * i + 2]), 1e-6)
  np.testing.assert_array_equal(
      step.observation['velocity'], one.current_time_step()
      .observation['velocity'])


def test_the_time_limit_is_last_with_discount_one():
  env = _inside(dm_control.load(
      'cartpole_swingup', action_repeat=100, pixels=False, proprio=True))
  env.reset()
  steps = [env.step(np.zeros(1, np.float32)) for _ in range(10)]
  assert [step.is_last() for step in steps] == [False] * 9 + [True]
  assert steps[-1].discount == 1
  assert env.step(np.zeros(1, np.float32)).is_first()


def test_proprioception_is_vectors_of_float32():
  env = _inside(dm_control.load('cheetah_run', pixels=False, proprio=True))
  specs = env.observation_spec()
  assert {key: spec.shape for key, spec in specs.items()} == {
      'position': (8,), 'velocity': (9,)}
  utils.validate_py_environment(env, episodes=1)


def test_actions_are_those_of_the_task():
  env = _inside(dm_control.load(
      'manip_reach_site', pixels=False, proprio=True))
  spec = env.action_spec()
  bounds = env.raw.wrapped_env().wrapped_env()._env.action_spec()
  assert spec.shape == (9,) and spec.dtype == np.float32
  # Rounded to float32, but never out of the bounds.
  np.testing.assert_allclose(spec.maximum, bounds.maximum, 1e-6)
  assert (spec.maximum <= bounds.maximum).all()
  assert (spec.minimum >= bounds.minimum).all()
  assert 'target_position' in env.observation_spec() or any(
      'target' in key for key in env.observation_spec())
  assert env.reset().is_first() and env.step(np.zeros(9)).is_mid()


@pytest.mark.skipif(
    os.environ['MUJOCO_GL'] == rendering.OFF, reason=rendering.INSTALL)
def test_pixels_proprioception_or_both():
  both = dm_control.load('cartpole_swingup', pixels=True, proprio=True).make(0)
  observation = both.reset().observation
  assert set(observation) == {'image', 'position', 'velocity'}
  image = observation['image'].numpy()
  assert image.shape == (1, 64, 64, 3) and image.dtype == np.uint8
  assert image.std() > 10   # something is drawn
  other = dm_control.load('cartpole_swingup', camera=1).make(0)
  alone = other.reset().observation
  assert set(alone) == {'image'}
  assert (alone['image'].numpy() != image).any()
  for environment in (both, other):
    batch.close(environment)
  with pytest.raises(ValueError, match='Nothing is observed'):
    dm_control.load('cartpole_swingup', pixels=False).make(0)


@pytest.mark.skipif(
    os.environ['MUJOCO_GL'] == rendering.OFF, reason=rendering.INSTALL)
def test_a_process_that_drew_a_picture_ends_well():
  # TensorFlow 2.21 and Mesa hold an LLVM each (`rendering.choose`).
  program = (
      'import dreamerv2_tfa, tensorflow; from dm_control import suite; '
      'task = suite.load("cartpole", "swingup"); task.reset(); '
      'assert task.physics.render(64, 64, 0).std() > 10')
  ended = subprocess.run(
      [sys.executable, '-c', program], capture_output=True, text=True,
      check=False)
  assert ended.returncode == 0, ended.stderr


def test_the_same_seed_gives_the_same_start():
  start = lambda seed: tuple(_inside(dm_control.load(
      'walker_walk', pixels=False, proprio=True), seed)
      .reset().observation['orientations'])
  assert start(1) == start(1) != start(2)


def test_without_opengl_the_debian_packages_are_named(monkeypatch):
  monkeypatch.setattr(rendering, '_loads', lambda library: False)
  monkeypatch.delenv('MUJOCO_GL', raising=False)
  rendering.choose()
  assert os.environ['MUJOCO_GL'] == 'disable'
  with pytest.raises(ValueError, match='apt install libegl1 .*libosmesa6'):
    tasks.load('dmc_walker_walk').make(0)
  dm_control.load('cartpole_swingup', pixels=False, proprio=True).make(0)


def test_beside_a_tensorflow_that_shows_its_symbols_nothing_draws(monkeypatch):
  monkeypatch.setitem(
      sys.modules, 'tensorflow.python.pywrap_dlopen_global_flags', sys)
  monkeypatch.delenv('MUJOCO_GL', raising=False)
  rendering.choose()
  assert os.environ['MUJOCO_GL'] == 'disable'
  with pytest.raises(ValueError, match='Import dreamerv2_tfa first'):
    tasks.load('dmc_walker_walk').make(0)


@pytest.mark.parametrize('there, wanted', [
    (('libEGL.so.1', 'libOSMesa.so.8'), 'egl'),
    (('libOSMesa.so.6',), 'osmesa')])
def test_egl_draws_else_osmesa(monkeypatch, there, wanted):
  monkeypatch.setattr(rendering, '_loads', lambda library: library in there)
  monkeypatch.setattr(rendering, '_has_driver', lambda: True)
  monkeypatch.delenv('MUJOCO_GL', raising=False)
  rendering.choose()
  assert os.environ['MUJOCO_GL'] == wanted


def test_the_users_choice_of_opengl_stays(monkeypatch):
  monkeypatch.setenv('MUJOCO_GL', 'glfw')
  rendering.choose()
  assert os.environ['MUJOCO_GL'] == 'glfw'


# Crafter ----------------------------------------------------------------------


@pytest.fixture(scope='module')
def survival():
  """Crafter with episodes of four steps; making a world takes seconds."""
  return _inside(crafter.load('reward', length=4))


def test_death_in_crafter_is_a_termination_and_its_length_a_cut(survival):
  env = survival
  env.reset()
  steps = [env.step(0) for _ in range(4)]
  assert steps[-1].is_last() and steps[-1].discount == 1
  env.reset()
  env.gym._env._player.health = 0
  step = env.step(0)
  assert step.is_last() and step.discount == 0


def test_achievements_are_metrics_and_not_observed(survival):
  env = survival
  assert set(env.observation_spec()) == {'image'}
  env.reset()
  env.pop_metrics()   # of the episodes before
  env.gym._env._player.achievements['collect_wood'] = 2
  first = env.step(0)
  assert first.reward == 1   # an achievement pays 1
  assert env.pop_metrics() == []   # the episode goes on
  while not env.step(0).is_last():
    pass
  metrics, = env.pop_metrics()
  assert tuple(metrics) == crafter.ACHIEVEMENTS and len(metrics) == 22
  assert metrics['collect_wood'] == 1 and sum(metrics.values()) == 1
  assert env.pop_metrics() == []


def test_without_reward_every_reward_is_0():
  env = _inside(crafter.load('noreward'))
  env.reset()
  env.gym._env._player.achievements['collect_wood'] = 2
  assert env.step(0).reward == 0


def test_crafter_removes_creatures_by_age_and_not_by_their_places_in_memory():
  game = _inside(crafter.load('reward', length=4)).gym
  game.reset()
  seen = []
  game._balance = lambda chunk, creatures: seen.append(creatures)
  creatures = [
      each for each in game._world.objects if each is not game._env._player]
  assert len(creatures) > 5
  for order in (creatures, creatures[::-1], set(creatures)):
    game._env._balance_chunk((0, 12, 0, 12), order)
  assert seen == [creatures] * 3


@pytest.mark.slow
def test_crafter_plays_alike_with_one_seed():
  task, actions = crafter.load('reward'), np.arange(250) * 7 % 17
  kept, episodes = [], []
  for litter in (0, 31):  # objects between the creatures in memory
    env = _inside(task)
    pictures = [env.reset().observation['image']]
    for step, action in enumerate(actions):
      kept.append([object() for _ in range(litter and step % litter)])
      pictures.append(env.step(action).observation['image'])
    episodes.append(np.stack(pictures))
  np.testing.assert_array_equal(*episodes)


def test_crafters_list_of_achievements_is_the_packages():
  from crafter import constants
  assert crafter.ACHIEVEMENTS == tuple(sorted(constants.achievements))


# MiniGrid ---------------------------------------------------------------------


def test_the_view_is_an_image_alone():
  env = _inside(tasks.load('minigrid_DoorKey-6x6'))
  assert {key: spec.shape for key, spec in env.observation_spec().items()} == {
      'image': (64, 64, 3)}
  assert env.action_spec().maximum == 6
  utils.validate_py_environment(env, episodes=1)


def test_the_step_limit_of_minigrid_is_a_cut():
  env = _inside(tasks.load('minigrid_Empty-5x5'))
  env.reset()
  steps = [env.step(0) for _ in range(100)]
  assert [step.is_last() for step in steps] == [False] * 99 + [True]
  assert steps[-1].discount == 1 and env.step(0).is_first()


def test_reaching_the_goal_is_a_termination_that_pays_what_minigrid_pays():
  env = _inside(tasks.load('minigrid_Empty-5x5'))
  env.reset()
  for action in (2, 2, 1, 2):
    assert env.step(action).is_mid()
  step = env.step(2)
  assert step.is_last() and step.discount == 0
  np.testing.assert_allclose(step.reward, 1 - 0.9 * 5 / 100, 1e-6)


def test_the_seed_makes_the_worlds():
  make = lambda seed: minigrid.make('DoorKey-6x6', seed=seed, tile_size=8)
  world = lambda seed: make(seed).reset().observation['image'].tobytes()
  assert world(1) == world(1)
  assert len({world(seed) for seed in range(5)}) > 1


# What is not installed --------------------------------------------------------


@pytest.mark.parametrize('name, package, extra', [
    ('dmc_walker_walk', 'dm_control', 'dmc'),
    ('crafter_reward', 'crafter', 'crafter'),
    ('minigrid_DoorKey-6x6', 'gym_minigrid', 'minigrid'),
    ('gymnasium_CartPole-v1', 'gymnasium', 'gymnasium')])
def test_a_missing_extra_is_answered_with_one_pip_line(
    monkeypatch, name, package, extra):
  original = importlib.import_module

  def missing(module, *rest):
    if module.partition('.')[0] == package:
      raise ModuleNotFoundError(f'No module named {package!r}', name=package)
    return original(module, *rest)

  monkeypatch.setattr(importlib, 'import_module', missing)
  dm_control.games.cache_clear()
  with pytest.raises(ValueError, match=f'{package} is not inst') as error:
    tasks.load(name).make(0)
  line = str(error.value).splitlines()[0]   # gin adds another
  assert line.endswith(f"bin/python -m pip install -e '.[{extra}]'")
  dm_control.games.cache_clear()


def test_without_a_checkout_the_line_is_that_of_pypi(monkeypatch, tmp_path):
  monkeypatch.setattr(extras, '_ROOT', tmp_path)
  assert extras.install_line('dmc') == "pip install 'dreamerv2_tfa[dmc]'"


# Objects and factories --------------------------------------------------------


def _random_environment(seed=0):
  del seed
  box = lambda n: array_spec.BoundedArraySpec((n,), np.float32, -2, 2)
  return random_py_environment.RandomPyEnvironment({'place': box(3)}, box(2))


def _dm_env(seed):
  from dm_control import suite
  return suite.load('cartpole', 'balance', task_kwargs={'random': seed})


@pytest.mark.parametrize('factory, keys', [
    (lambda seed: gymnasium.make('CartPole-v1'), {'observation'}),
    (_dm_env, {'position', 'velocity'}),
    (_random_environment, {'place'}),
    (lambda seed: tf_py_environment.TFPyEnvironment(_random_environment()),
     {'place'}),
    (lambda seed: catch.Catch(seed=seed), {'image'})])
def test_environments_of_any_library_are_tasks(factory, keys):
  made = custom.from_factory('mine', factory).make(5)
  assert made.batch_size == 1 and set(made.reset().observation) == keys
  if 'place' not in keys or made.action_spec().maximum.max() == 1:
    return
  assert isinstance(made, tf_py_environment.TFPyEnvironment)


def test_what_is_no_environment_is_refused_by_its_name():
  with pytest.raises(ValueError, match="'mine' returned 5; wanted a Gym"):
    custom.from_factory('mine', lambda seed: 5).make(0)


def test_settings_of_suites_are_bound_by_gin():
  try:
    gin.parse_config('load_dmc.pixels = False\nload_dmc.proprio = True\n'
                     'load_dmc.action_repeat = 4')
    task = tasks.load('dmc_cartpole_swingup')
    assert task.action_repeat == 4
    assert set(task.make(0).observation_spec()) == {'position', 'velocity'}
  finally:
    gin.clear_config()


@pytest.mark.slow
def test_processes_draw_each_for_itself():
  made = dm_control.load('cartpole_swingup').make(0, 2, True)
  images = made.reset().observation['image'].numpy()
  batch.close(made)
  assert images.shape == (2, 64, 64, 3) and images.std() > 10
  assert (images[0] != images[1]).any()


def test_an_imported_suite_changes_no_filter_of_warnings(monkeypatch, tmp_path):
  (tmp_path / 'loud_suite.py').write_text(
      'import warnings\nwarnings.simplefilter("always")\n')
  monkeypatch.syspath_prepend(tmp_path)
  before = list(warnings.filters)
  extras.load('loud_suite', 'dmc')
  assert warnings.filters == before
