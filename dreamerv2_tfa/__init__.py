"""DreamerV2 as a TF-Agents agent."""

import importlib.metadata
import os
import sys

from dreamerv2_tfa import quiet
from dreamerv2_tfa import rendering


def _choose_keras():
  """Asks TensorFlow for Keras 2, which TF-Agents is written for.

  Up to TensorFlow 2.15 it is the only one. A newer TensorFlow takes it from
  tf-keras, if it is told so before it is imported.

  Raises:
    ImportError: If TensorFlow was told, or has already taken, Keras 3.
  """
  try:
    version = importlib.metadata.version('tensorflow')
  except importlib.metadata.PackageNotFoundError:
    return  # under another name, whose owner chooses
  if tuple(map(int, version.split('.')[:2])) < (2, 16):
    return
  chosen = os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
  keras_2 = chosen.lower() in ('1', 'true')
  if keras_2 and 'tensorflow' in sys.modules:
    dense = sys.modules['tensorflow'].keras.layers.Dense
    keras_2 = dense.__module__.startswith('tf_keras')
  if not keras_2:
    raise ImportError(
        f'dreamerv2_tfa needs Keras 2, and TensorFlow {version} uses Keras 3. '
        'Set TF_USE_LEGACY_KERAS=1 before importing tensorflow, or import '
        'dreamerv2_tfa first.'
    )


_choose_keras()
# TensorFlow leaves oneDNN off on processors without AVX-512, where it is faster
# as well; whoever imports TensorFlow first has its choice.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
# TensorFlow's own log has a dozen lines at its import, none of them an error.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
rendering.choose()


def __getattr__(name):
  """Imports what is asked for, and TensorFlow with it, at the first use."""
  with quiet.libraries():
    return _imported(name)


def _imported(name):
  if name == 'DreamerV2Agent':
    from dreamerv2_tfa import agent

    return agent.DreamerV2Agent
  if name == 'load_policy':
    from dreamerv2_tfa.deployment import client

    return client.load_policy
  if name == 'DreamEnvironment':
    from dreamerv2_tfa import dream

    return dream.DreamEnvironment
  if name == 'load_agent':
    from dreamerv2_tfa.training import saved

    return saved.load
  if name == 'register_gin':
    from dreamerv2_tfa.training import presets

    return presets.register_gin
  if name == 'train':
    from dreamerv2_tfa import results

    return results.train
  if name == 'Run':
    from dreamerv2_tfa import results

    return results.Run
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
