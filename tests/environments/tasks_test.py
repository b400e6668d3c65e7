"""Tests of tasks by name."""

import os
import pathlib
import subprocess
import sys

import gin
import gymnasium
import numpy as np
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import atari
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.environments import emulators
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import tasks

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def bind():
  """Returns a function that binds a line of gin for the time of a test."""
  def parse(line):
    with gin.unlock_config():
      gin.parse_config(line)
  yield parse
  gin.clear_config()


def test_catch_is_made_from_a_seed():
  task = tasks.load('catch')
  assert (task.name, task.action_repeat) == ('catch', 1)
  columns = lambda seed: [
      int(env.reset().observation['image'][0, 2, ::6, 0].numpy().argmax())
      for env in [task.make(seed)] for _ in range(12)]
  assert columns(0) == columns(0) != columns(1)


@pytest.mark.parametrize('name', ['catch', 'atari_pong'])
def test_environments_are_of_batch_size_one_and_share_nothing(name):
  task = tasks.load(name)
  one, two = task.make(3), task.make(3)
  assert one.batch_size == 1
  assert one.observation_spec()['image'].shape == (64, 64, 1)
  image = lambda env: env.current_time_step().observation['image'].numpy()
  before = image(two)
  np.testing.assert_array_equal(before, image(one))
  for _ in range(30):
    one.step([1])
  np.testing.assert_array_equal(before, image(two))
  assert (image(one) != before).any()


@pytest.mark.parametrize('game', [
    'pong', 'montezuma_revenge', 'ms_pacman', 'up_n_down', 'james_bond',
    'jamesbond', 'klax'])
def test_games_are_named_in_snake_case(game):
  task = tasks.load(f'atari_{game}')
  assert (task.name, task.action_repeat) == (f'atari_{game}', 4)
  assert task.make(0).reset().is_first()


def test_loading_makes_no_environment(monkeypatch):
  def fail(*_, **__):
    raise AssertionError('An environment was made.')
  monkeypatch.setattr(atari, 'AtariEnvironment', fail)
  monkeypatch.setattr(catch, 'Catch', fail)
  for name in tasks.names('atari') + ['catch', 'crafter_reward']:
    assert tasks.load(name).name == name


def test_the_task_and_its_emulator_have_the_bound_action_repeat(bind):
  bind('load_atari.action_repeat = 3')
  task = tasks.load('atari_boxing')
  assert task.action_repeat == 3
  env = task.make(0)
  env.reset()
  steps = 1
  while not env.step([0]).is_last():
    steps += 1
  # A match of boxing takes two minutes of 60 frames a second.
  assert abs(steps * task.action_repeat / 60 - 120) < 5


def test_settings_of_atari_are_bound_by_gin(bind):
  bind('load_atari.ram = True')
  bind('load_atari.full_action_space = True')
  env = tasks.load('atari_pong').make(0)
  assert sorted(env.observation_spec()) == ['image', 'ram']
  assert env.action_spec().maximum == 17


def test_a_wrong_binding_is_named_when_the_environment_is_made(bind):
  bind('load_atari.action_repeat = 0')
  with pytest.raises(ValueError, match='load_atari.action_repeat .*got 0'):
    tasks.load('atari_pong').make(0)


@pytest.mark.parametrize('name, meant', [
    ('atari_pongg', 'atari_pong'), ('atari_Pong', 'atari_pong'),
    ('pong', 'atari_pong'), ('atari_mspacman', 'atari_ms_pacman'),
    ('Catch', 'catch'), ('ctach', 'catch')])
def test_a_misspelt_name_is_answered_with_the_nearest(name, meant):
  with pytest.raises(ValueError, match=f"'{name}'.*Did you mean {meant}[ ?]"):
    tasks.load(name)


def test_an_unknown_game_is_answered_with_all_games():
  with pytest.raises(ValueError, match='zzz') as error:
    tasks.load('atari_zzz')
  assert all(game in str(error.value) for game in emulators.games())


@pytest.mark.parametrize('name', [
    'doom_e1m1', '', 'atari', 'dmc', None])
def test_an_unknown_suite_is_answered_with_those_there_are(name):
  with pytest.raises(ValueError, match=f'no task {str(name)!r}'):
    tasks.load(name)


# A suite is one file and one line ---------------------------------------------


_SUITE = """
import gin
from dreamerv2_tfa.environments import catch
from dreamerv2_tfa.environments import task

def games():
  return 'easy', 'hard'

@gin.configurable('load_balls')
def load(game, *, balls=2):
  make = lambda seed, num_environments=1, processes=False: catch.Catch(
      num_environments, seed, balls=balls,
      paddle_width=2 + 6 * (game == 'easy'))
  return task.Task(f'balls_{game}', 1, make)
"""


@pytest.fixture
def balls(tmp_path, monkeypatch):
  """A suite `balls`: its file, and its line in the table."""
  (tmp_path / 'balls_suite.py').write_text(_SUITE)
  monkeypatch.syspath_prepend(str(tmp_path))
  monkeypatch.setitem(tasks.SUITES, 'balls', 'balls_suite')
  yield
  sys.modules.pop('balls_suite', None)


@pytest.mark.usefixtures('balls')
def test_a_suite_is_one_file_and_one_line(bind):
  assert tasks.names('balls') == ['balls_easy', 'balls_hard']
  assert set(tasks.names('balls')) < set(tasks.names())
  length = lambda: next(
      step for step in range(1, 99) if made.step([0]).is_last())
  task = tasks.load('balls_hard')
  made = task.make(3)
  made.reset()
  assert (task.name, task.action_repeat, length()) == ('balls_hard', 1, 18)
  with gin.unlock_config():
    tasks.import_suites()
  bind('load_balls.balls = 3')
  made = tasks.load('balls_easy').make(3)
  made.reset()
  assert length() == 27
  with pytest.raises(checks.UserError, match='Did you mean balls_hard'):
    tasks.load('balls_hrad')
  with pytest.raises(checks.UserError, match='balls_ comes one of: easy, hard'):
    tasks.load('balls_zzz')
  with pytest.raises(checks.UserError, match='balls_<game>'):
    tasks.load('doom_e1m1')


def test_the_table_of_suites_is_quick_to_import():
  code = (
      'import sys\nfrom dreamerv2_tfa.environments import tasks\n'
      'slow = {"tensorflow", "numpy", "gin", "gym", "ale_py", "cv2"}\n'
      'assert not slow & set(sys.modules), slow & set(sys.modules)')
  subprocess.run([sys.executable, '-c', code], check=True)


_LOCKED = """
import gin
gin.finalize()
from dreamerv2_tfa.environments import tasks
tasks.find_modules_here()
assert tasks.load('catch').name == 'catch'
assert tasks.load('adds:make').name == 'adds:make'
"""
_ADDS = """
import gin
import gymnasium


@gin.configurable
def make(speed=1.0):
  return gymnasium.make('CartPole-v1')
"""


def test_a_configuration_that_is_locked_takes_the_settings_of_a_task(tmp_path):
  (tmp_path / 'adds.py').write_text(_ADDS)
  subprocess.run(
      [sys.executable, '-c', _LOCKED], check=True, cwd=tmp_path,
      env={**os.environ, 'PYTHONPATH': str(_ROOT)})


# Names of Gym's ---------------------------------------------------------------


@pytest.mark.parametrize('name, task', [
    ('pong', 'atari_pong'), ('Pong', 'atari_pong'),
    ('PongNoFrameskip-v4', 'atari_pong'), ('ALE/Pong-v5', 'atari_pong'),
    ('Pong-ram-v0', 'atari_pong'),
    ('MsPacmanDeterministic-v4', 'atari_ms_pacman'),
    ('ALE/SpaceInvaders-v5', 'atari_space_invaders'),
    ('gym_PongNoFrameskip-v4', 'atari_pong'),
    ('atari_PongNoFrameskip-v4', 'atari_pong'),
    ('CartPole-v1', 'gymnasium_CartPole-v1')])
def test_a_name_of_gyms_says_what_the_task_is_called_here(name, task):
  with pytest.raises(checks.UserError, match=f'Did you mean {task}'):
    tasks.load(name)


_PACKAGE = """
import gymnasium
gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:CartPoleEnv')
gymnasium.register('Other', 'gymnasium.envs.classic_control:CartPoleEnv')
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A package that registers Mine-v0, importable from the working directory."""
  (tmp_path / 'theirs.py').write_text(_PACKAGE)
  (tmp_path / 'broken.py').write_text('1 / 0\n')
  (tmp_path / 'gymnasium_own.py').write_text('make = lambda: 5\n')
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  yield
  for name in ('Mine-v0', 'Other'):
    gymnasium.registry.pop(name, None)
  for name in ('theirs', 'broken', 'gymnasium_own'):
    sys.modules.pop(name, None)


@pytest.mark.usefixtures('package')
@pytest.mark.parametrize('name', [
    'gymnasium_theirs:Mine-v0', 'gymnasium_theirs:Other'])
def test_an_id_may_name_its_package(name):
  task = tasks.load(name)
  assert task.name == name
  made = task.make(0)
  assert made.reset().observation['observation'].shape == (1, 4)
  batch.close(made)


@pytest.mark.usefixtures('package')
@pytest.mark.parametrize('name, error, message', [
    ('gymnasium_nothere:Mine-v0', checks.UserError,
     "No module named 'nothere'"),
    ('gymnasium_theirs:Mien-v0', checks.UserError,
     "registers no environment 'Mien-v0'. Did you mean Mine-v0"),
    ('gymnasium_broken:Mine-v0', faults.EnvironmentFailed,
     "package 'broken' .*: ZeroDivisionError"),
    ('broken:make', faults.EnvironmentFailed,
     "module 'broken' .*: ZeroDivisionError(.*\n)*.*broken.py")])
def test_a_package_that_cannot_be_used_is_named(name, error, message):
  with pytest.raises(error, match=message):
    tasks.load(name)


@pytest.mark.usefixtures('package')
def test_a_module_of_ones_own_may_begin_like_a_library():
  assert tasks.load('gymnasium_own:make').name == 'gymnasium_own:make'
