"""Tests of environments as people write them: factories, classes, objects."""

import functools

import gymnasium
import numpy as np
import pytest
from tf_agents.environments import py_environment

import dreamerv2_tfa
from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import custom
from dreamerv2_tfa.environments import factories
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import tasks


class Room(gymnasium.Env):
  """Ends at the third step; counts how often it is closed."""

  observation_space = gymnasium.spaces.Box(0, 9, (2,), np.float32)
  action_space = gymnasium.spaces.Discrete(2)

  def __init__(self, render_mode=None, size=5):
    self.render_mode, self.size, self.closes, self.t = render_mode, size, 0, 0

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    self.t = 0
    return np.full(2, self.np_random.uniform(0, 9), np.float32), {}

  def step(self, action):
    self.t += 1
    return np.zeros(2, np.float32), 1.0, self.t == 3, False, {}

  def close(self):
    self.closes += 1


class Seeded(Room):
  """Takes a seed, not first."""

  def __init__(self, size=5, seed=None):
    super().__init__(size=size)
    self.seed_given = seed


# How a factory is called ------------------------------------------------------


@pytest.mark.parametrize('factory, wanted', [
    (lambda seed: seed, 7), (lambda config: config, 7),
    (lambda: 'none', 'none'),
    (lambda size=5, seed=None: (size, seed), (5, 7)),
    (lambda *, seed: seed, 7), (lambda size=5: size, 5),
    (lambda random_seed=0: random_seed, 7), (lambda *rest: rest, (7,)),
    (lambda **settings: settings, {}),
    (functools.partial(lambda size, seed: (size, seed), 5), (5, 7)),
])
def test_a_factory_gets_the_seed_where_it_takes_one(factory, wanted):
  assert factories.call(factory, 7) == wanted


@pytest.mark.parametrize('factory, names', [
    (lambda size, seed: None, 'size'),
    (lambda size, depth: None, 'size, depth'),
    (lambda *, size: None, 'size')])
def test_a_factory_that_needs_more_is_refused_with_what_it_needs(
    factory, names):
  with pytest.raises(checks.UserError, match=f'needs {names}; .*lambda seed'):
    factories.call(factory, 7)


def test_an_option_of_a_class_is_no_seed():
  made = custom.from_factory('room', Room).make(7)
  assert made.pyenv.envs[0].gym.render_mode is None
  batch.close(made)


def test_a_seed_reaches_the_parameter_of_that_name():
  made = custom.from_factory('room', Seeded).make(7)
  inside = made.pyenv.envs[0].gym
  assert (inside.size, inside.seed_given) == (5, 7)
  batch.close(made)


def test_without_a_parameter_the_seed_still_reaches_the_first_reset():
  task = custom.from_factory('room', Room)
  first = lambda seed: float(
      task.make(seed).reset().observation['observation'][0, 0])
  assert first(1) == first(1) != first(2)


# What a factory returns -------------------------------------------------------


class _Several(Room):
  num_envs = 4


class _Agents(Room):
  possible_agents = ('one', 'other')


@pytest.mark.parametrize('environment, message', [
    (gymnasium.make_vec('CartPole-v1', 2), 'vector of 2 .*environments = 2'),
    (_Several(), 'vector of 4 environments'), (_Agents(), 'several agents')])
def test_several_environments_or_agents_are_refused_with_the_way_out(
    environment, message):
  with pytest.raises(checks.UserError, match=message):
    custom.as_environment(environment)


def make_several():
  return gymnasium.make_vec('CartPole-v1', 2)


@pytest.mark.parametrize('given', [
    make_several,
    make_several(),
    gymnasium.make_vec('CartPole-v1', 2, vectorization_mode='async')])
def test_several_environments_are_one_message_of_train(given, tmp_path):
  with pytest.raises(checks.UserError, match='vector of 2 environments'):
    dreamerv2_tfa.train(
        given, root_dir=tmp_path / 'run', preset=['gym', 'debug'])
  assert not (tmp_path / 'run').exists()
  if isinstance(given, gymnasium.vector.VectorEnv):
    given.reset()  # still works: it was not copied
    given.close()


@pytest.mark.parametrize('name, message', [
    ('make_several', 'vector of 2 environments'), ('NoSeed', None)])
def test_a_task_by_name_is_refused_likewise_and_needs_no_seed(
    name, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  module = f'written_{name.lower()}'
  (tmp_path / f'{module}.py').write_text(
      'import gymnasium\n'
      'class NoSeed(gymnasium.Env):\n'
      '  observation_space = gymnasium.spaces.Box(-1, 1, (2,))\n'
      '  action_space = gymnasium.spaces.Discrete(2)\n'
      '  def __init__(self): self.t = 0\n'
      '  def reset(self):\n'
      '    self.t = 0\n'
      '    return self.observation_space.low, {}\n'
      '  def step(self, action):\n'
      '    self.t += 1\n'
      '    return self.observation_space.low, 1.0, False, self.t > 4, {}\n'
      'def make_several(): return gymnasium.make_vec("CartPole-v1", 2)\n')
  task = tasks.load(f'{module}:{name}')
  if message is None:
    assert task.make(0).reset().observation['observation'].shape == (1, 2)
    return
  with pytest.raises(checks.UserError, match=message):
    task.make(0)


def test_a_class_gives_its_name_to_the_run(tmp_path, capsys):
  dreamerv2_tfa.train(
      Room, root_dir=tmp_path / 'run', preset=['gym', 'debug'], dry_run=True)
  assert 'Task Room: ' in capsys.readouterr().out


def test_one_object_for_every_call_is_refused_and_closed_by_nobody_else():
  room = Room()
  task = custom.from_factory('room', lambda: room)
  with pytest.raises(checks.UserError, match='same object twice'):
    task.make(0, 2)
  assert room.closes == 1  # by the first one, whose environment it was


def test_one_object_for_training_and_evaluation_is_refused():
  room = Room()
  task = custom.from_factory('room', lambda seed: room)
  made = task.make(0)
  with pytest.raises(checks.UserError, match='same object twice'):
    task.make(1)
  batch.close(made)
  batch.close(task.make(1))  # it is free again
  assert room.closes == 2


def test_an_object_is_not_stepped_as_two_environments():
  task = custom.from_object('room', Room())
  with pytest.raises(checks.UserError, match='processes = True'):
    task.make(0, 2)


def test_what_cannot_be_used_is_closed_before_it_is_refused():
  room = Room()
  room.action_space = gymnasium.spaces.Text(5)
  with pytest.raises(ValueError, match='not supported'):
    custom.from_factory('room', lambda: room).make(0)
  assert room.closes == 1


def test_the_environments_before_one_that_cannot_be_made_are_closed():
  rooms = []

  def make():
    if len(rooms) == 2:
      raise KeyError('no third')
    rooms.append(Room())
    return rooms[-1]

  with pytest.raises(faults.EnvironmentFailed, match="2 of 3 .*'no third'"):
    custom.from_factory('room', make).make(0, 3)
  assert [room.closes for room in rooms] == [1, 1]


# Who closes -------------------------------------------------------------------


def test_what_a_factory_made_is_closed_once():
  made = custom.from_factory('room', Room).make(0, 2)
  rooms = [env.gym for env in made.pyenv.envs]
  for _ in range(3):
    batch.close(made)
  assert [room.closes for room in rooms] == [1, 1]


def test_an_object_stays_open():
  room = Room()
  batch.close(custom.from_object('room', room).make(0))
  assert room.closes == 0


def test_an_environment_without_close_is_left_alone():
  room = Room()
  room.close = None
  batch.close(custom.from_factory('room', lambda: room).make(0))


def test_one_that_cannot_be_closed_is_reported_and_the_others_are_closed(
    caplog):
  rooms = []

  def make():
    rooms.append(Room())
    if len(rooms) == 1:
      rooms[0].close = lambda: 1 / 0
    return rooms[-1]

  batch.close(custom.from_factory('room', make).make(0, 2))
  assert rooms[1].closes == 1
  assert 'ZeroDivisionError' in caplog.text and 'not closed' in caplog.text


class _Batch(py_environment.PyEnvironment):
  """Two environments in one, as TF-Agents has them."""

  made, closes = 0, 0
  batched, batch_size = True, 2

  def __init__(self):
    super().__init__()
    type(self).made += 1

  def observation_spec(self):
    return custom.as_environment(Room()).observation_spec()

  def action_spec(self):
    return custom.as_environment(Room()).action_spec()

  def _reset(self):
    raise NotImplementedError

  def _step(self, action):
    raise NotImplementedError

  def close(self):
    type(self).closes += 1


def test_a_batch_is_made_once_whatever_its_size_and_closed_once():
  made = custom.from_factory('two', _Batch).make(0, 2)
  assert made.batch_size == 2 and _Batch.made == 1
  batch.close(made)
  assert _Batch.closes == 1
