"""DreamerV2 on one's own environment: `bin/python examples/custom_env.py`."""

import argparse

import gymnasium
import numpy as np

import dreamerv2_tfa


class Cart(gymnasium.Env):
  """Pushed left and right, it is paid for standing in the middle."""

  observation_space = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
  action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

  def reset(self, *, seed=None, options=None):  # noqa: ARG002, Gym passes it
    super().reset(seed=seed)
    self.x, self.left = self.np_random.uniform(-1, 1, 1), 20
    return self.x.astype(np.float32), {}

  def step(self, action):
    self.x, self.left = np.clip(self.x + 0.2 * action, -2, 2), self.left - 1
    reward = 1.0 - float(abs(self.x[0]))
    return self.x.astype(np.float32), reward, False, self.left == 0, {}


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('root_dir', nargs='?', default='runs/cart')
  parser.add_argument('overlay', nargs='*', help='such as debug')
  args = parser.parse_args()
  dreamerv2_tfa.train(
      Cart(), preset=['defaults', *args.overlay], root_dir=args.root_dir,
      eval_episodes=3)
