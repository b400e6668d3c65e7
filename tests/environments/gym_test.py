"""Tests of Gym and Gymnasium environments, by scripted ones and real ones."""

import gym as old_gym
import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.environments import utils
from tf_agents.specs import tensor_spec

from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import adapt
from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import tasks


class Scripted:
  """A Gym environment of either form that plays what it is told.

  Attributes:
    seeds: What `reset` was given.
    played: The actions.
  """

  def __init__(
      self, steps=(), observation=None, action=None, first=0.5,
      library=gymnasium, newer=True):
    self.observation_space = observation or library.spaces.Box(-1, 1, ())
    self.action_space = action or library.spaces.Discrete(3)
    self._steps, self._first, self._newer = list(steps), first, newer
    self.seeds, self.played = [], []

  def reset(self, *, seed=None):
    self.seeds.append(seed)
    return (self._first, {}) if self._newer else self._first

  def step(self, action):
    self.played.append(action)
    return self._steps[(len(self.played) - 1) % len(self._steps)]


class Unseeded(Scripted):
  """The oldest form, which is seeded by a method of its own."""

  def reset(self):
    return self._first

  def seed(self, seed):
    self.seeds.append(seed)


def _read(space, value, library=gymnasium, **kwargs):
  """The adapted observation of a value in a space, and its specs."""
  env = adapt.Adapted(
      gym.GymEnvironment(Scripted(observation=space, first=value)), **kwargs)
  observation = env.reset().observation
  assert observation.keys() == env.observation_spec().keys()
  for key, spec in env.observation_spec().items():
    assert observation[key].dtype == spec.dtype
    assert observation[key].shape == spec.shape
  return observation


def _played(space, *actions):
  """What the environment is told when the agent plays `actions`."""
  script = Scripted([(0.0, 0.0, False, False, {})], action=space)
  env = adapt.Adapted(gym.GymEnvironment(script))
  env.reset()
  for action in actions:
    env.step(action)
  return env.action_spec(), script.played


# Ends of episodes -------------------------------------------------------------


@pytest.mark.parametrize('step, last, discount', [
    ((0.0, 1.5, False, False, {}), False, 1),
    ((0.0, 1.5, True, False, {}), True, 0),
    ((0.0, 1.5, False, True, {}), True, 1),
    ((0.0, 1.5, True, True, {}), True, 0),
    ((0.0, 1.5, False, {}), False, 1),
    ((0.0, 1.5, True, {}), True, 0),
    ((0.0, 1.5, True, {'TimeLimit.truncated': True}), True, 1),
    ((0.0, 1.5, True, {'TimeLimit.truncated': False}), True, 0),
])
@pytest.mark.parametrize('newer', [True, False])
def test_a_death_is_discount_0_and_a_time_limit_keeps_1(
    step, last, discount, newer):
  env = gym.GymEnvironment(Scripted([step], newer=newer))
  assert env.reset().is_first()
  result = env.step(0)
  assert (result.is_last(), result.discount, result.reward) == (
      last, discount, 1.5)
  assert env.step(0).is_first() == last


@pytest.mark.parametrize('name', [
    'gym_CartPole-v1', 'gymnasium_CartPole-v1', 'gym_Pendulum-v1',
    'gymnasium_Pendulum-v1', 'gymnasium_FrozenLake-v1', 'gym_Taxi-v3'])
def test_episodes_of_real_environments_fit_their_specs(name):
  env = tasks.load(name).make(3).pyenv.envs[0]
  utils.validate_py_environment(env, episodes=2)


@pytest.mark.parametrize('library', ['gym', 'gymnasium'])
def test_the_limit_of_pendulum_is_a_cut(library):
  env = tasks.load(f'{library}_Pendulum-v1').make(0).pyenv.envs[0]
  env.reset()
  steps = [env.step(np.zeros(1, np.float32)) for _ in range(200)]
  assert [step.is_last() for step in steps] == [False] * 199 + [True]
  assert steps[-1].discount == 1


@pytest.mark.parametrize('library', ['gym', 'gymnasium'])
def test_the_fall_of_the_pole_is_a_death(library):
  env = tasks.load(f'{library}_CartPole-v1').make(0).pyenv.envs[0]
  env.reset()
  while not (step := env.step(0)).is_last():
    pass
  assert step.discount == 0


# Seeds ------------------------------------------------------------------------


def test_only_the_first_reset_takes_the_seed():
  script = Scripted([(0.0, 0.0, True, False, {})])
  env = gym.GymEnvironment(script, seed=9)
  env.reset()
  env.step(0)
  env.step(0)
  assert script.seeds == [9, None]


def test_an_old_environment_is_seeded_by_its_method():
  script = Unseeded(newer=False)
  assert gym.GymEnvironment(script, seed=9).reset().is_first()
  assert script.seeds == [9]


@pytest.mark.parametrize('library', ['gym', 'gymnasium'])
def test_the_same_seed_gives_the_same_episode(library):
  first = lambda seed: tuple(
      tasks.load(f'{library}_CartPole-v1').make(seed).reset()
      .observation['observation'].numpy()[0])
  assert first(1) == first(1) != first(2)


# Observations -----------------------------------------------------------------

spaces = gymnasium.spaces


@pytest.mark.parametrize('shape, dtype, low, high, wanted', [
    ((84, 84, 3), np.uint8, 0, 255, (64, 64, 3)),
    ((84, 96, 1), np.uint8, 0, 255, (64, 64, 1)),
    ((4, 84, 96), np.uint8, 0, 255, (64, 64, 4)),
    ((30, 20), np.uint8, 0, 255, (64, 64, 1)),
    ((20, 18, 3), np.int64, 0, 255, (64, 64, 3)),
    ((84, 84, 12), np.uint8, 0, 255, (64, 64, 12)),
    ((4, 84, 96, 3), np.uint8, 0, 255, (64, 64, 12)),
    ((40, 70), np.uint16, 0, 65535, (64, 64, 1)),
    ((70, 40, 1), np.float32, 0, 10, (64, 64, 1)),
    ((64, 64, 3), np.float32, 0, 1, (64, 64, 3)),
    ((3, 32, 40), np.float32, -1, 1, (64, 64, 3)),
])
def test_images_are_picked_by_shape_and_resized(
    shape, dtype, low, high, wanted):
  value = np.full(shape, high, dtype)
  space = spaces.Box(low, high, shape, dtype)
  image = _read(space, value)['image']
  assert image.dtype == np.uint8 and image.shape == wanted
  assert (image == 255).all()
  assert not (_read(space, np.full(shape, low, dtype))['image']).any()


def test_a_smaller_image_grows_by_whole_pixels_and_a_larger_one_by_area():
  grid = np.arange(32 * 32, dtype=np.uint8).reshape(32, 32, 1)
  space = lambda n: spaces.Box(0, 255, (n, n, 1), np.uint8)
  grown = _read(space(32), grid)['image']
  np.testing.assert_array_equal(grown, grid.repeat(2, 0).repeat(2, 1))
  chequered = np.kron(grid, np.ones((4, 4, 1), np.uint8))
  small = _read(space(128), chequered)['image']
  np.testing.assert_array_equal(small, grown)


def test_channels_that_come_first_go_last():
  image = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
  read = _read(spaces.Box(0, 255, (3, 64, 64), np.uint8), image)['image']
  np.testing.assert_array_equal(read, np.moveaxis(image, 0, -1))


@pytest.mark.parametrize('space, value, wanted', [
    (spaces.Box(-9, 9, (2, 3)), np.arange(6.0).reshape(2, 3), np.arange(6.0)),
    (spaces.Box(-9, 9, (1, 6, 2)), np.arange(12.0).reshape(1, 6, 2) - 5,
     np.arange(12.0) - 5),
    (spaces.Box(-np.inf, np.inf, (2,), np.float64), [1.5, -2.5], [1.5, -2.5]),
    (spaces.Box(-9, 9, (), np.float64), 1.5, 1.5),
    (spaces.Discrete(4), 2, [0, 0, 1, 0]),
    (spaces.Discrete(3, start=-1), -1, [1, 0, 0]),
    (spaces.MultiDiscrete([2, 3]), [1, 2], [0, 1, 0, 0, 1]),
    (spaces.MultiBinary(3), [1, 0, 1], [1, 0, 1]),
])
def test_all_else_is_a_vector_of_float32(space, value, wanted):
  vector = _read(space, value)['observation']
  assert vector.dtype == np.float32
  np.testing.assert_array_equal(vector, wanted)


@pytest.mark.parametrize('space, value, wanted', [
    (spaces.Box(0, 1, (4,), np.uint8), [1, 0, 0, 1], [1, 0, 0, 1]),
    (spaces.Box(0, 4, (20, 20), np.uint8), np.full((20, 20), 3), [0.75] * 400),
    (spaces.Box(-5, 5, (2,), np.int64), [-5, 0], [0, 0.5]),
    (spaces.Box(0, 255, (7, 5, 3), np.uint8), np.full((7, 5, 3), 10),
     [10] * 105),
    (spaces.Box(0, 1, (3,), np.bool_), [True, False, True], [1, 0, 1]),
])
def test_integers_that_are_no_picture_are_scaled_by_their_own_bounds(
    space, value, wanted):
  read = _read(space, np.asarray(value, space.dtype))['observation']
  assert read.dtype == np.float32
  np.testing.assert_array_equal(read, wanted)


@pytest.mark.parametrize('setting, kind', [
    ({}, 'scaled'), ({'pictures': 'observation|image'}, 'picture')])
def test_a_key_can_be_said_to_be_a_picture(setting, kind):
  env = adapt.Adapted(gym.GymEnvironment(Scripted(
      observation=spaces.Box(0, 3, (8, 9), np.uint8),
      first=np.full((8, 9), 3, np.uint8))), **setting)
  assert [part.kind for part in env.parts] == [kind]
  assert env.reset().observation[env.parts[0].key].max() == (
      255 if setting else 1)


def test_a_key_can_be_said_to_be_no_picture():
  space = spaces.Box(0, 255, (64, 64, 3), np.uint8)
  make = lambda **settings: adapt.Adapted(
      gym.GymEnvironment(Scripted(observation=space)), **settings)
  assert make().warnings == []
  assert make(numbers='image').parts[0].kind == 'numbers'
  assert make(numbers='image').warnings == []  # it was said


@pytest.mark.parametrize('space', [
    spaces.Box(-np.inf, np.inf, (64, 64, 3)),
    spaces.Box(0, 1, (5, 2, 64, 64, 3), np.float32),
    spaces.Discrete(3000)])
def test_thousands_of_numbers_for_the_mlp_are_said_loudly(space):
  env = adapt.Adapted(gym.GymEnvironment(Scripted(observation=space)))
  line, = env.warnings
  assert 'numbers for the MLP' in line and 'load_gym.pictures' in line


def test_a_picture_shrinks_by_area_where_only_one_side_is_too_long():
  tall = np.zeros((128, 32, 1), np.uint8)
  tall[::2] = 200
  read = _read(spaces.Box(0, 255, (128, 32, 1), np.uint8), tall)['image']
  assert (read == 100).all()


def test_parts_of_one_name_are_refused():
  space = spaces.Dict({
      'a': spaces.Dict({'b': spaces.Discrete(2)}), 'a/b': spaces.Discrete(2)})
  with pytest.raises(ValueError, match="called 'a/b'.*Rename"):
    _read(space, {'a': {'b': 0}, 'a/b': 1})


def test_a_tuple_is_observed_with_and_without_an_info():
  space = spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)])
  for newer in (True, False):
    env = adapt.Adapted(gym.GymEnvironment(
        Scripted(observation=space, first=(2, 1), newer=newer)))
    read = env.reset().observation
    np.testing.assert_array_equal(read['0'], [0, 0, 1])
    np.testing.assert_array_equal(read['1'], [0, 1])


@pytest.mark.parametrize('reward', [
    None, np.nan, np.inf, 1e39, 'much', [1.0, 2.0], {}])
def test_a_reward_that_is_not_one_finite_number_is_refused(reward):
  env = gym.GymEnvironment(Scripted([(0.0, reward, False, False, {})]))
  env.reset()
  with pytest.raises(ValueError, match='The reward must be .*got'):
    env.step(0)


def _leaves_its_space(good, then, steps):
  """The step at which an environment that is out of its space is refused."""
  step = lambda shown, done: (shown, 0.0, done, False, {})
  env = adapt.Adapted(gym.GymEnvironment(Scripted(
      [step(0.5, False)] * good + [step(*then)] * steps, first=0.5)))
  env.reset()
  for number in range(1, good + steps + 1):
    try:
      env.step(0)
    except ValueError as error:
      assert 'not in its space: got' in str(error)
      return number
  return None


def test_a_range_is_checked_at_each_of_the_first_thousand_steps():
  assert _leaves_its_space(41, (5.0, False), 3) == 42
  assert _leaves_its_space(998, (5.0, False), 1) == 999


def test_a_range_is_checked_at_one_in_a_hundred_later_steps():
  assert _leaves_its_space(1001, (5.0, False), 98) is None
  assert _leaves_its_space(1001, (5.0, False), 120) == 1100


def test_a_range_is_checked_at_every_reset():
  script = Scripted([(0.5, 0.0, False, False, {})] * 1150 + [
      (0.5, 0.0, True, False, {})], first=0.5)
  env = adapt.Adapted(gym.GymEnvironment(script))
  env.reset()
  for _ in range(1151):
    env.step(0)
  script._first = 5.0
  with pytest.raises(ValueError, match='not in its space: got .*5 to 5'):
    env.step(0)


def test_bytes_that_are_no_picture_stay_bytes():
  memory = np.arange(128, dtype=np.uint8)
  read = _read(spaces.Box(0, 255, (128,), np.uint8), memory)['observation']
  assert read.dtype == np.uint8
  np.testing.assert_array_equal(read, memory)


def test_nested_observations_are_named_by_their_path():
  space = spaces.Dict({
      'eye': spaces.Box(0, 255, (64, 64, 3), np.uint8),
      'arm': spaces.Dict({'angle': spaces.Box(-1, 1, (2,))}),
      'both': spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, ())])})
  value = {
      'eye': np.zeros((64, 64, 3), np.uint8), 'arm': {'angle': [0.5, -0.5]},
      'both': (1, 0.25)}
  read = _read(space, value)
  assert set(read) == {'eye', 'arm/angle', 'both/0', 'both/1'}
  np.testing.assert_array_equal(read['arm/angle'], [0.5, -0.5])
  np.testing.assert_array_equal(read['both/0'], [0, 1])
  assert read['both/1'] == 0.25


def test_a_pattern_of_keys_leaves_the_others_out():
  space = spaces.Dict({
      'place': spaces.Box(-1, 1, (2,)), 'text': spaces.Text(5)})
  read = _read(space, {'place': [0, 1], 'text': 'hello'}, keys='place')
  assert list(read) == ['place']


@pytest.mark.parametrize('space', [
    spaces.Text(5), spaces.Dict({'word': spaces.Text(7)}),
    spaces.Sequence(spaces.Discrete(2)),
    spaces.Graph(spaces.Box(0, 1, (1,)), None)])
def test_an_observation_space_that_is_not_supported_is_named(space):
  name = str(getattr(space, 'spaces', {}).get('word', space))
  with pytest.raises(ValueError, match='observation .*not supported') as error:
    _read(space, None)
  assert name in str(error.value)


# Actions ----------------------------------------------------------------------


def test_a_choice_is_an_integer_of_the_space():
  spec, played = _played(spaces.Discrete(3, start=5), np.int32(5), np.int32(7))
  assert (spec.shape, spec.minimum, spec.maximum) == ((), 5, 7)
  assert played == [5, 7] and all(type(action) is int for action in played)


def test_a_box_has_its_own_bounds_where_they_are_finite():
  space = spaces.Box(
      np.array([-4, 0, -np.inf]), np.array([4, 10, 1]), dtype=np.float64)
  wanted = [[-4, 0, -1], [0, 5, 0.5], [4, 10, 1]]
  spec, played = _played(
      space, *np.array(wanted, np.float32), np.float32([9, 11, -9]))
  assert spec.dtype == np.float32
  np.testing.assert_array_equal(spec.minimum, [-4, 0, -1])
  np.testing.assert_array_equal(spec.maximum, [4, 10, 1])
  np.testing.assert_array_equal(played, [*wanted, [4, 10, -1]])
  assert played[0].dtype == np.float64


@pytest.mark.parametrize('low, high, wanted', [
    (-np.inf, np.inf, (-1, 1)), (0, np.inf, (0, 2)), (-np.inf, -3, (-5, -3)),
    (7, np.finfo(np.float32).max, (7, 9))])
def test_a_box_that_is_open_gets_bounds_in_its_space(low, high, wanted):
  spec, played = _played(
      spaces.Box(low, high, (1,), np.float64), np.float32([1e9]))
  assert (spec.minimum, spec.maximum) == wanted and played == [wanted[1]]


@pytest.mark.parametrize('space, count', [
    (spaces.MultiDiscrete([2, 3]), 6), (spaces.MultiBinary(3), 8),
    (spaces.MultiDiscrete([2, 2], start=[4, -1]), 4),
    (old_gym.spaces.MultiDiscrete([3, 4]), 12)])
def test_several_choices_are_played_as_they_are(space, count):
  spec, _ = _played(space)
  actions = specs.Actions(tensor_spec.from_spec(spec))
  assert actions.size == count
  wanted = actions.decode(tf.eye(count)).numpy()
  _, played = _played(space, *wanted)
  assert len({tuple(action) for action in played}) == count
  assert all(space.contains(action) for action in played)
  np.testing.assert_array_equal(played, wanted)


def test_too_many_combinations_are_refused_with_their_number():
  with pytest.raises(ValueError, match='has 1,048,576 combinations'):
    _played(spaces.MultiBinary(20))


@pytest.mark.parametrize('space', [
    spaces.Dict({'a': spaces.Discrete(2)}), spaces.Tuple([spaces.Discrete(2)]),
    spaces.Text(3)])
def test_an_action_space_that_is_not_supported_is_named(space):
  with pytest.raises(ValueError, match='action space .*not supp') as error:
    _played(space)
  assert str(space) in str(error.value)


# By id ------------------------------------------------------------------------


@pytest.mark.parametrize('name, meant', [
    ('gym_CartPol-v1', 'gym_CartPole-v1'),
    ('gymnasium_Pendulum-v2', 'gymnasium_Pendulum-v1'),
    ('dmc_walker_wak', 'dmc_walker_walk'),
    ('dmc_manip_reach_sit', 'dmc_manip_reach_site'),
    ('minigrid_Doorkey-6x6', 'minigrid_DoorKey-6x6'),
    ('crafter_rewards', 'crafter_reward')])
def test_a_misspelt_name_of_any_suite_is_answered_with_the_nearest(name, meant):
  with pytest.raises(ValueError, match=f'Did you mean {meant}[ ?]'):
    tasks.load(name)


def test_a_package_that_an_environment_lacks_is_named():
  with pytest.raises(ValueError, match='LunarLander.*cannot be.*[Bb]ox2[Dd]'):
    tasks.load('gymnasium_LunarLander-v3').make(0)
