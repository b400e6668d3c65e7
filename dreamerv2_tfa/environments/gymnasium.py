"""Suite `gymnasium`: environments by their ids in Gymnasium's registry."""

import functools

from dreamerv2_tfa.environments import gym
from dreamerv2_tfa.environments import registered
from dreamerv2_tfa.environments import task as task_lib


def games() -> tuple[str, ...]:
  """Sorted ids of the environments that Gymnasium knows."""
  return registered.ids('gymnasium')


def load(game: str) -> task_lib.Task:
  """Makes the task of an id, with the settings of `load_gym`."""
  return gym.load(
      f'gymnasium_{game}', functools.partial(gym.make, 'gymnasium', game))
