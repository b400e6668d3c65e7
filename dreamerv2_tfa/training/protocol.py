"""What a run was: `protocol.json` and `operative_config.gin`."""

import importlib.metadata
import json
import pathlib
import platform

import gin
import numpy as np
import tensorflow as tf

from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import batch

NAME = 'protocol.json'
CONFIG = 'operative_config.gin'
_REQUIRED = {'task', 'action_repeat', 'precision', 'seed', 'presets'}
_PACKAGES = (
    'tf-agents', 'tensorflow-probability', 'keras', 'gin-config',
    'numpy', 'ale-py', 'atari-py', 'gym', 'gymnasium', 'dm_control', 'mujoco',
    'crafter', 'gym-minigrid',
)


def describe(parts, presets, seed):
  """What is written: a dict that JSON can hold.

  Args:
    parts: `Parts` of the run.
    presets: Names of the gin files.
    seed: int.

  Returns:
    Dict; `observation` maps each name to shape, dtype and bounds, `shown` to
    what the environment shows, where that is adapted.
  """
  return {
      'presets': list(presets),
      'task': parts.task.name,
      'action_repeat': parts.task.action_repeat,
      'environments': parts.environment.batch_size,
      **describe_specs(
          parts.agent.time_step_spec.observation, parts.agent.action_spec
      ),
      'shown': _shown(parts.evaluation_environment),
      'seed': seed,
      'precision': parts.precision,
      'devices': [d.name for d in tf.config.list_logical_devices()],
      'parameters': parameter_counts(parts.agent),
      'python': platform.python_version(),
      'versions': {
          'tensorflow': tf.__version__,
          **{name: _version(name) for name in _PACKAGES},
      },
  }


def _shown(environment):
  adapted = batch.adapted(environment)
  return {} if adapted is None else {
      part.key: part.describe() for part in adapted.parts
  }


def parameter_counts(agent):
  """Trainable numbers of world model, actor and critic: dict of ints."""
  count = lambda module: sum(
      int(tf.size(variable)) for variable in module.trainable_variables
  )
  return {
      'world_model': count(agent.world_model),
      'actor': count(agent.actor_critic.actor),
      'critic': count(agent.actor_critic.critic),
  }


def write(root_dir, facts):
  """Writes `operative_config.gin` and `protocol.json`, each at once.

  Args:
    root_dir: Path of the run's folder; made if it does not exist.
    facts: Dict of `describe`.
  """
  root_dir = pathlib.Path(root_dir)
  root_dir.mkdir(parents=True, exist_ok=True)
  for name, text in (
      (CONFIG, gin.operative_config_str()),
      (NAME, json.dumps(facts, indent=2) + '\n'),
  ):
    partial = root_dir / f'{name}.part'
    partial.write_text(text, encoding='utf-8')
    partial.replace(root_dir / name)


def read(root_dir):
  """The facts of a run: dict; None where there is no such file.

  Raises:
    ValueError: If the file holds something else.
  """
  path = pathlib.Path(root_dir) / NAME
  if not path.exists():
    return None
  try:
    facts = json.loads(path.read_text(encoding='utf-8'))
    missing = _REQUIRED - set(facts)
    reason = f'it lacks {", ".join(sorted(missing))}' if missing else None
  except (ValueError, TypeError, OSError) as error:
    reason = str(error)
  if reason:
    raise ValueError(
        f'{path} is damaged ({reason}). Put it back from a copy; or delete it '
        'and run bin/train with the settings of the run, which writes it again.'
    )
  return facts


def wanted(root_dir):
  """As `read`, where the file must be there.

  Raises:
    ValueError: If it is missing or damaged.
  """
  facts = read(root_dir)
  if facts is None:
    path = pathlib.Path(root_dir) / NAME
    raise ValueError(
        f'{path} is missing. Put it back from a copy; or run '
        'bin/train with the settings of the run, which writes it again.'
    )
  return facts


def parse_config(root_dir):
  """Reads a run's `operative_config.gin` into gin.

  Raises:
    ValueError: If it is missing, or gin cannot read it.
  """
  path = pathlib.Path(root_dir) / CONFIG
  way_out = (
      'Put it back from a copy; or run bin/train with the settings of the run, '
      'which writes it again.'
  )
  if not path.is_file():
    raise ValueError(f'{path} is missing. {way_out}')
  try:
    gin.parse_config(path.read_text(encoding='utf-8'))
  except Exception as error:  # gin's own, the tokenizer's, a module's
    raise ValueError(
        f'{path} is damaged ({_first_line(error)}). {way_out}'
    ) from error


def describe_specs(observation, action):
  """What is written of the specs: dict of `observation` and `action`."""
  return {
      'observation': {
          name: _spec(spec)
          for name, spec in specs.flat_observation(observation).items()
      },
      'action': _spec(action),
  }


def _spec(spec):
  """A spec as JSON holds it; bounds are one number where they are equal."""
  facts = {'shape': spec.shape.as_list(), 'dtype': spec.dtype.name}
  for bound in ('minimum', 'maximum'):
    if hasattr(spec, bound):
      facts[bound] = _numbers(getattr(spec, bound))
  return facts


def _numbers(bound):
  # JSON has no infinity.
  text = lambda x: x if np.isfinite(x) else str(x)
  one = lambda x: list(map(one, x)) if isinstance(x, list) else text(x)
  return one(specs.plain(bound))


def _first_line(error):
  return str(error).strip().partition('\n')[0] or type(error).__name__


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
