"""DreamerV2 on MiniGrid, from Python: `bin/python examples/minigrid.py`.

`bin/train --task=minigrid_DoorKey-6x6` is this and one thing more: there
MiniGrid's step limit, which says `done`, is a cut and not a death.
"""

import sys

import dreamerv2_tfa


def make(seed):
  """The grid world, seen from where the agent stands, in colour."""
  import gym  # here, where the notice that Gym prints is hidden
  from gym_minigrid import wrappers
  del seed  # `train` seeds it
  env = gym.make('MiniGrid-DoorKey-6x6-v0')
  return wrappers.ImgObsWrapper(wrappers.RGBImgPartialObsWrapper(env))


if __name__ == '__main__':
  root_dir, *overlays = sys.argv[1:] or ['runs/door']   # runs/try debug
  dreamerv2_tfa.train(
      make, preset=['minigrid', *overlays], root_dir=root_dir)
