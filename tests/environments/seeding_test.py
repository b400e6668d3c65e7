"""Tests of seeds of Gym environments, whatever their `reset` takes."""

import gym as old_gym
import gymnasium
import pytest

from dreamerv2_tfa.environments import seeding


class Full(gymnasium.Env):
  """As Gymnasium has it."""

  observation_space = gymnasium.spaces.Box(0, 1, (1,))
  action_space = gymnasium.spaces.Discrete(2)

  def reset(self, *, seed=None, options=None):
    super().reset(seed=seed)
    return self.np_random.random(), {}


class Keywords(Full):

  def reset(self, **kwargs):
    return super().reset(**kwargs)


class Bare(Full):

  def reset(self):
    return super().reset()


class BareWrapper(gymnasium.Wrapper):

  def reset(self):
    return self.env.reset()


class KeywordsWrapper(gymnasium.Wrapper):

  def reset(self, **kwargs):
    return self.env.reset(**kwargs)


class OwnSeed(old_gym.Env):
  """As old Gym has it, and takes keywords that it does not read."""

  def seed(self, seed=None):
    self.random = seed

  def reset(self, **kwargs):
    return self.random, {}


class OlderSeed(OwnSeed):

  def reset(self):
    return self.random, {}


class Random(old_gym.Env):
  """Leaves all to old Gym."""

  def reset(self):
    return self.np_random.uniform(), {}


@pytest.mark.parametrize('make', [
    Full, Keywords, Bare, OwnSeed, OlderSeed, Random,
    lambda: BareWrapper(Full()), lambda: KeywordsWrapper(Full()),
    lambda: BareWrapper(Keywords()), lambda: KeywordsWrapper(Bare()),
    lambda: KeywordsWrapper(BareWrapper(Full())),
    lambda: BareWrapper(KeywordsWrapper(Full())),
    lambda: old_gym.wrappers.TimeLimit(OlderSeed(), 5),
    lambda: gymnasium.wrappers.TimeLimit(Keywords(), 5),
])
def test_the_seed_arrives(make):
  first = lambda seed: seeding.reset(make(), seed)[0]
  assert first(3) == first(3) != first(4)


class Plain:
  """Has neither base class nor seed; `seed` is a number of its own."""

  seed = 3

  def reset(self):
    return 5


class PlainKeywords:

  def reset(self, **kwargs):
    return kwargs


@pytest.mark.parametrize('make, wanted', [(Plain, 5), (PlainKeywords, {})])
def test_where_no_seed_is_taken_none_is_given(make, wanted):
  assert seeding.reset(make(), 3) == wanted
