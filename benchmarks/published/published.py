"""Imports the published package (dreamerv2 2.2.0) on TensorFlow 2.15.

It was written for TensorFlow 2.4. What it needs here is put in place before it
is imported; no line of it is changed:

- `tensorflow.keras.mixed_precision.experimental` is gone: an alias.
- `tf.optimizers` are Keras' newer ones: the older ones again, which it calls.
- `np.bool` is gone: an alias.
- Keras' older LossScaleOptimizer no longer wraps by its plain name.

    import published
    agent = published.agent.Agent(config, obs_space, act_space, step)
"""

import importlib
import importlib.util
import os
import pathlib
import sys
import types

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np
import tensorflow as tf


def _shim():
  precision = tf.keras.mixed_precision
  legacy = tf.keras.optimizers.legacy
  alias = types.ModuleType('tensorflow.keras.mixed_precision.experimental')
  alias.global_policy = precision.global_policy
  precision.experimental = alias
  keras = sys.modules['tensorflow'].keras
  sys.modules['tensorflow.keras.mixed_precision'] = keras.mixed_precision
  sys.modules['tensorflow.keras.mixed_precision.experimental'] = alias
  tf.optimizers = legacy
  np.bool = bool


_shim()
_FOLDER = pathlib.Path(
    importlib.util.find_spec('dreamerv2').submodule_search_locations[0]
)
sys.path.append(str(_FOLDER))
common = importlib.import_module('common')
agent = importlib.import_module('agent')
expl = importlib.import_module('expl')


def configure(*presets, **overrides):
  """Its configuration: defaults, then presets, then `overrides`.

  Args:
    *presets: Names in its configs.yaml, such as 'atari'.
    **overrides: Values by name; `__` stands for a dot, as in `model_opt__lr`.

  Returns:
    Its `Config`.
  """
  import ruamel.yaml

  text = (_FOLDER / 'configs.yaml').read_text()
  configs = ruamel.yaml.YAML(typ='safe', pure=True).load(text)
  config = common.Config(configs['defaults'])
  for name in presets:
    config = config.update(configs[name])
  return config.update(
      {key.replace('__', '.'): value for key, value in overrides.items()}
  )
