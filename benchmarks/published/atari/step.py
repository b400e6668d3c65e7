"""Times the published package's Atari environment, with random actions.

  benchmarks/published/atari/python benchmarks/published/atari/step.py STEPS

Pong, wrapped as its `train.py` wraps it under the preset `atari`, without the
rest of the package, which needs TensorFlow. Prints seconds for STEPS agent
steps, resets included.
"""

import importlib.util
import pathlib
import sys
import time

import numpy as np

np.bool = bool  # gone from NumPy, and named by the package
_ACTIONS = 6  # of Pong


def _environments():
  """Its module `common.envs`, by path: `common` would import TensorFlow."""
  folder = importlib.util.find_spec('dreamerv2').submodule_search_locations[0]
  spec = importlib.util.spec_from_file_location(
      'envs', pathlib.Path(folder) / 'common' / 'envs.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def main(steps):
  """Steps through whole episodes; a hundred steps go first, untimed."""
  envs = _environments()
  environment = envs.Atari('pong', 4, (64, 64), True)
  environment = envs.TimeLimit(envs.OneHotAction(environment), 27000)
  choice = np.random.RandomState(0).randint(_ACTIONS, size=100 + steps)
  actions = np.eye(_ACTIONS, dtype=np.float32)[choice]
  is_last = True
  for i, action in enumerate(actions):
    if i == 100:
      begun = time.perf_counter()
    if is_last:
      environment.reset()
    is_last = environment.step({'action': action})['is_last']
  print(time.perf_counter() - begun)


if __name__ == '__main__':
  main(int(sys.argv[1]))
