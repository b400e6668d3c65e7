"""DreamerV2 on MiniGrid, from Python: `bin/python examples/minigrid.py`.

`bin/train --task=minigrid_DoorKey-6x6` is this and one thing more: there
MiniGrid's step limit, which says `done`, is a cut and not a death.
"""

import argparse

import dreamerv2_tfa


def make(seed):
  """The grid world, seen from where the agent stands, in colour."""
  import gym  # here, where the notice that Gym prints is hidden
  from gym_minigrid import wrappers
  del seed  # `train` seeds it
  env = gym.make('MiniGrid-DoorKey-6x6-v0')
  return wrappers.ImgObsWrapper(wrappers.RGBImgPartialObsWrapper(env))


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('root_dir', nargs='?', default='runs/door')
  parser.add_argument('overlay', nargs='*', help='such as debug')
  args = parser.parse_args()
  dreamerv2_tfa.train(
      make, preset=['minigrid', *args.overlay], root_dir=args.root_dir)
