"""Tests of the saved state of environments: an exact resume, and refusals."""

import functools
import importlib.util
import sys

from absl import logging
import cloudpickle
import gin
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.environments import py_environment
from tf_agents.environments import wrappers
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import seal
from dreamerv2_tfa.environments import state
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks

_EMULATORS = ['ale_py'] + ['atari_py'] * (
    importlib.util.find_spec('atari_py') is not None)


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch, clean):
  """A user with a key of their own; returns the folder of keys."""
  tasks.import_suites()  # gin then knows their settings
  monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'keys'))
  return tmp_path / 'keys'


@pytest.fixture
def make():
  """Makes environments of a task, and closes them in the end."""
  made = []

  def make(task, seed, num_environments=1, processes=False):
    task = tasks.load(task) if isinstance(task, str) else task
    made.append(task.make(seed, num_environments, processes))
    return made[-1]

  yield make
  for each in made:
    batch.close(each)


def _play(environment, seed, steps):
  """Random play; returns every number of every time step."""
  spec, random = environment.action_spec(), np.random.default_rng(seed)
  shape = [environment.batch_size, *spec.shape]
  played = []
  for _ in range(steps):
    action = (
        random.integers(spec.minimum, spec.maximum + 1, shape)
        if spec.dtype.is_integer
        else random.uniform(spec.minimum, spec.maximum, shape))
    step = environment.step(tf.constant(action, spec.dtype))
    played.append([x.numpy() for x in tf.nest.flatten(step)])
  return played


def _check_resumes(make, task, before=77, after=250, **how):
  """Plays, saves, plays on; a new environment plays the same after it."""
  one = make(task, 5, **how)
  one.reset()
  _play(one, 0, before)
  data = state.capture(one)
  played = _play(one, 1, after)
  other = make(task, 6, **how)
  state.restore(other, data)
  again = _play(other, 1, after)
  for row, copy in zip(played, again, strict=True):
    for x, y in zip(row, copy, strict=True):
      np.testing.assert_array_equal(x, y)
  assert sum((row[0] == ts.StepType.FIRST).sum() for row in played) > 0
  return data


# `before` differs, so that some are saved right at a first and a last step.
@pytest.mark.parametrize('before', [1, 60, 61, 62, 63, 64, 77])
def test_pong_resumes_exactly_over_several_episodes(make, before):
  gin.bind_parameter('load_atari.max_steps', 60)
  _check_resumes(make, 'atari_pong', before)


@pytest.mark.parametrize('emulator', _EMULATORS)
@pytest.mark.parametrize('game', ['breakout', 'montezuma_revenge', 'seaquest'])
def test_so_do_other_games_with_all_that_is_random(make, game, emulator):
  gin.bind_parameter('load_atari.emulator', emulator)
  gin.bind_parameter('load_atari.max_steps', 30)
  gin.bind_parameter('load_atari.sticky', 0.5)
  gin.bind_parameter('load_atari.ram', True)
  gin.bind_parameter('load_atari.terminal_on_life_loss', True)
  for before in (3, 17, 40):
    _check_resumes(make, f'atari_{game}', before, 130)


@pytest.mark.parametrize('name', [
    f'{library}_{name}' for library in ('gym', 'gymnasium') for name in (
        'CartPole-v1', 'Pendulum-v1', 'MountainCar-v0',
        'MountainCarContinuous-v0', 'Acrobot-v1')])
def test_classic_control_resumes_exactly(make, name):
  if name == 'gym_Acrobot-v1' and not hasattr(np, 'float_'):
    pytest.skip('Gym itself fails in Acrobot with NumPy 2')
  gin.bind_parameter('load_gym.max_steps', 50)
  gin.bind_parameter('load_gym.action_repeat', 2)
  _check_resumes(make, name, before=61)


@pytest.mark.parametrize('name', ['atari_pong', 'gymnasium_Pendulum-v1'])
@pytest.mark.parametrize('processes', [False, True])
def test_two_side_by_side_do(make, name, processes):
  gin.bind_parameter('load_atari.max_steps', 60)
  _check_resumes(make, name, num_environments=2, processes=processes)


def test_an_object_of_the_user_does(make):
  def pendulum():
    import gymnasium

    return gymnasium.make('Pendulum-v1')

  task = custom.from_object('mine', pendulum())
  one = make(task, 0)
  one.reset()
  _play(one, 0, 30)
  data = state.capture(one)
  played = _play(one, 1, 300)
  other = make(custom.from_object('mine', pendulum()), 0)
  state.restore(other, data)
  np.testing.assert_equal(_play(other, 1, 300), played)


def test_the_current_time_step_is_restored_too(make):
  one = make('gym_CartPole-v1', 1)
  one.reset()
  _play(one, 0, 3)
  other = make('gym_CartPole-v1', 2)
  state.restore(other, state.capture(one))
  tf.nest.map_structure(
      np.testing.assert_array_equal, one.current_time_step(),
      other.current_time_step())


def test_a_state_is_taken_before_the_first_reset(make):
  one, other = make('gym_CartPole-v1', 1), make('gym_CartPole-v1', 2)
  state.restore(other, state.capture(one))
  np.testing.assert_equal(_play(other, 0, 50), _play(one, 0, 50))


# Environments of one's own ----------------------------------------------------


class Walk(py_environment.PyEnvironment):
  """Walks at random for seven steps; its state is what it is told."""

  def __init__(self, seed, kept=('position', 'step', 'random')):
    super().__init__(handle_auto_reset=True)
    self._random, self._kept = np.random.default_rng(seed), kept
    self._position, self._step_count = np.zeros(3), 0

  def observation_spec(self):
    return {'place': array_spec.ArraySpec((3,), np.float32, 'place')}

  def action_spec(self):
    return array_spec.BoundedArraySpec((), np.int32, 0, 1)

  def _see(self):
    return {'place': self._position.astype(np.float32)}

  def _reset(self):
    self._position, self._step_count = self._random.normal(size=3), 0
    return ts.restart(self._see())

  def _step(self, action):
    if action > 1:
      raise KeyError('worn out')
    self._position += self._random.normal(size=3)
    self._step_count += 1
    make = ts.termination if self._step_count == 7 else ts.transition
    return make(self._see(), np.float32(1))

  def get_state(self):
    state = {'position': self._position, 'step': self._step_count,
             'random': self._random.bit_generator.state, 'object': object()}
    return {name: state[name] for name in self._kept}

  def set_state(self, state):
    self._position, self._step_count = state['position'], state['step']
    self._random.bit_generator.state = state['random']


class Seeded(Walk):
  """Shows its seed."""

  def __init__(self, seed):
    super().__init__(seed)
    self._seed = seed

  def observation_spec(self):
    return {'seed': array_spec.ArraySpec((), np.int64, 'seed')}

  def _see(self):
    return {'seed': np.int64(self._seed)}


class Forgetful(wrappers.PyEnvironmentBaseWrapper):
  """A wrapper with an attribute, and TF-Agents' `get_state`."""

  def __init__(self, env):
    super().__init__(env)
    self.total = 0.0


def _walk(make_walk=Walk):
  return task_lib.from_constructor('walk', 1, make_walk)


@pytest.mark.parametrize('how', [
    {}, {'num_environments': 2}, {'num_environments': 2, 'processes': True}])
def test_an_environment_with_a_state_of_its_own_resumes_exactly(make, how):
  cloudpickle.register_pickle_by_value(sys.modules[__name__])
  _check_resumes(make, _walk(), before=10, after=40, **how)


@pytest.mark.parametrize('task, how', [
    (_walk(functools.partial(Walk, kept=['object'])), {}),
    (_walk(lambda seed: Forgetful(Walk(seed))), {}),
    ('crafter_reward', {'num_environments': 2, 'processes': True}),
    ('minigrid_Empty-5x5', {}), ('catch', {})])
def test_there_is_no_state_where_it_could_not_be_exact(make, task, how):
  one = make(task, 1, **how)
  one.reset()
  assert state.capture(one) is None


def test_a_restart_after_a_resume_takes_a_seed_of_its_own(make, errors):
  seeds = []

  def make_walk(seed):
    seeds.append(seed)
    return Walk(seed)

  one = make(_walk(make_walk), 1)
  one.reset()
  one.step(tf.constant([2]))  # which fails
  other = make(_walk(make_walk), 1)
  state.restore(other, state.capture(one))
  other.step(tf.constant([2]))
  assert len(errors) == 2
  first, again, resumed, after = seeds
  assert first == resumed and len({first, again, after}) == 3


def test_so_does_one_in_a_process(make, errors):
  cloudpickle.register_pickle_by_value(sys.modules[__name__])
  one, other = (make(_walk(Seeded), 1, 2, True) for _ in range(2))
  seed = lambda step: int(step.observation['seed'][0])
  seeds = [seed(one.reset()), seed(one.step(tf.constant([2, 0])))]
  state.restore(other, state.capture(one))
  seeds.append(seed(other.step(tf.constant([2, 0]))))
  assert len(set(seeds)) == 3 and len(errors) == 2


# What is refused --------------------------------------------------------------


@pytest.fixture
def saved(make):
  one = make(_walk(), 1)
  one.reset()
  return state.capture(one)


@pytest.mark.parametrize('damage', [
    lambda data: b'', lambda data: data[:20], lambda data: data[:-1],
    lambda data: data + b'x', lambda data: data[32:],
    lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    lambda data: bytes(len(data))])
def test_a_damaged_state_is_refused(make, saved, damage):
  with pytest.raises(ValueError, match='not restored: it is damaged, or was'):
    state.restore(make(_walk(), 1), damage(saved))


def test_every_flipped_bit_is_noticed(saved):
  for place in range(0, len(saved), 7):
    changed = bytearray(saved)
    changed[place] ^= 1 << place % 8
    with pytest.raises(ValueError, match='damaged'):
      state.decode(bytes(changed))


def test_the_state_of_another_user_is_refused(make, saved, key, monkeypatch):
  monkeypatch.setenv('XDG_STATE_HOME', str(key / 'other'))
  with pytest.raises(ValueError, match='cannot be checked: .*No such file'):
    state.restore(make(_walk(), 1), saved)
  state.encode({})  # that user's key is made
  with pytest.raises(ValueError, match='by another user or on another mach'):
    state.restore(make(_walk(), 1), saved)


@pytest.mark.parametrize('task, how, message', [
    ('gym_CartPole-v1', {}, 'of other environments: got .*place.* wanted'),
    (_walk(), {'num_environments': 2}, r'got \[1, .* wanted \[2, '),
    ('catch', {}, 'got one in TensorFlow')])
def test_the_state_of_other_environments_is_refused(
    make, saved, task, how, message):
  with pytest.raises(ValueError, match=message):
    state.restore(make(task, 1, **how), saved)


@pytest.mark.parametrize('processes', [False, True])
def test_so_is_that_of_another_game(make, processes):
  how = dict(num_environments=2, processes=processes)
  gin.bind_parameter('load_atari.full_action_space', True)
  one, other = (make(f'atari_{x}', 1, **how) for x in ('pong', 'tennis'))
  one.reset()
  with pytest.raises(ValueError, match='of pong on ale_py .* wanted tennis on'):
    state.restore(other, state.capture(one))


def test_data_is_read_as_it_was_written():
  nest = {
      'none': None, 'flag': True, 'whole': 2**127, 'number': 0.1,
      'text': 'a', 'bytes': b'\x00\xff', 'pair': (1, [2.5]),
      'array': np.arange(6, dtype='>i4').reshape(2, 3)[:, ::-1],
      'empty': np.zeros([0, 3]), 'scalar': np.float32(0.3),
      'nan': float('nan')}
  again = state.decode(state.encode(nest))
  np.testing.assert_equal(again, nest)
  assert type(again['scalar']) is np.float32 and type(again['pair']) is tuple
  assert again['array'].dtype == nest['array'].dtype
  again['array'][:] = 0  # it may be written to


@pytest.mark.parametrize('nest', [
    object(), {1: 2}, {'$array': 1}, np.array([object()]), {1, 2},
    np.array(['2000-01-01'], 'M8[D]')])
def test_what_is_no_data_is_not_saved(nest):
  with pytest.raises(NotImplementedError):
    state.encode(nest)


def test_the_key_is_the_users_alone(saved, key):
  path, = (key / 'dreamerv2_tfa').iterdir()
  assert path == seal.path() and path.stat().st_mode & 0o777 == 0o600
  assert len(path.read_bytes()) == 32


def test_where_no_key_can_be_written_nothing_is_saved_and_it_is_said(
    make, key, monkeypatch):
  told = []
  monkeypatch.setattr(
      logging, 'log_first_n',
      lambda level, text, n, *values: told.append(text % values))
  key.write_text('a file where the folder should be')
  one = make(_walk(), 1)
  one.reset()
  assert state.capture(one) is None
  line, = told
  assert 'a resume will start a new episode' in line and str(key) in line
