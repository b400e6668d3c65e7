"""DreamerV2 as a TF-Agents agent."""

import importlib.metadata
import os
import sys
from typing import TYPE_CHECKING
from typing import Any

from dreamerv2_tfa import late
from dreamerv2_tfa import quiet
from dreamerv2_tfa import rendering

if TYPE_CHECKING:  # what `__getattr__` imports at the first use
  from dreamerv2_tfa.agent import DreamerV2Agent
  from dreamerv2_tfa.behaviour.compiled_policy import CompiledPolicy
  from dreamerv2_tfa.behaviour.policy import FeaturePolicy
  from dreamerv2_tfa.deployment.client import load_policy
  from dreamerv2_tfa.dream import DreamEnvironment
  from dreamerv2_tfa.dream import recall
  from dreamerv2_tfa.dream import rollout_actions
  from dreamerv2_tfa.environments.catch import Catch
  from dreamerv2_tfa.experience.windows import of_rows as sample_windows
  from dreamerv2_tfa.results import Run
  from dreamerv2_tfa.results import train
  from dreamerv2_tfa.training.config import load_config
  from dreamerv2_tfa.training.evaluation import Evaluation
  from dreamerv2_tfa.training.runs import load as load_agent
  from dreamerv2_tfa.training.runs import load_rows


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


# Imported at the first use, and TensorFlow with them: name, module, its name.
_PUBLIC = {
    'Catch': ('environments.catch', 'Catch'),
    'CompiledPolicy': ('behaviour.compiled_policy', 'CompiledPolicy'),
    'DreamEnvironment': ('dream', 'DreamEnvironment'),
    'DreamerV2Agent': ('agent', 'DreamerV2Agent'),
    'Evaluation': ('training.evaluation', 'Evaluation'),
    'FeaturePolicy': ('behaviour.policy', 'FeaturePolicy'),
    'Run': ('results', 'Run'),
    'load_agent': ('training.runs', 'load'),
    'load_config': ('training.config', 'load_config'),
    'load_policy': ('deployment.client', 'load_policy'),
    'load_rows': ('training.runs', 'load_rows'),
    'recall': ('dream', 'recall'),
    'rollout_actions': ('dream', 'rollout_actions'),
    'sample_windows': ('experience.windows', 'of_rows'),
    'train': ('results', 'train'),
}
__all__ = [
    'Catch', 'CompiledPolicy', 'DreamEnvironment', 'DreamerV2Agent',
    'Evaluation', 'FeaturePolicy', 'Run', 'load_agent', 'load_config',
    'load_policy', 'load_rows', 'recall', 'rollout_actions', 'sample_windows',
    'train',
]


def __getattr__(name: str) -> Any:
  """Imports what is asked for, and TensorFlow with it, at the first use."""
  if name == '__version__':
    return importlib.metadata.version('dreamerv2_tfa')
  if name not in _PUBLIC:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module, attribute = _PUBLIC[name]
  with quiet.libraries():
    return getattr(late.imported(f'{__name__}.{module}'), attribute)


def __dir__() -> list[str]:
  """What there is to use: public names, and those of every module."""
  return sorted({*__all__, '__version__', *globals()})
