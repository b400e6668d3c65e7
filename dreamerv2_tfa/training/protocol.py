"""What a run is: the content of its `protocol.json`."""

from collections.abc import Sequence
import importlib.metadata
import pathlib
import platform
import re
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.environments import tf_environment

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import reading
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import precision as precision_lib
from dreamerv2_tfa.training import sums

_REQUIRED = {  # and of which type
    'task': str, 'action_repeat': int, 'precision': str, 'seed': int,
    'presets': list,
}
_PACKAGES = (
    'tf-agents', 'tensorflow-probability', 'keras', 'gin-config',
    'numpy', 'ale-py', 'atari-py', 'gym', 'gymnasium', 'dm_control', 'mujoco',
    'crafter', 'gym-minigrid',
)


def describe(
    parts: parts_lib.Parts, presets: Sequence[str], seed: int,
) -> dict[str, Any]:
  """The content of `protocol.json`.

  Args:
    parts: Of the run.
    presets: Names of its gin files.
    seed: Of weights, environments and sampling.

  Returns:
    What JSON can express; `observation` maps each name to shape, dtype and
    bounds, `shown` to what the environment shows, where that is adapted.
  """
  return {
      'presets': list(presets),
      'task': parts.task.name,
      'action_repeat': parts.task.action_repeat,
      'environments': parts.environment.batch_size,
      **describe_environment(parts.evaluation_environment),
      'seed': seed,
      'precision': parts.precision,
      sums.PROMISE: True,
      'devices': [d.name for d in tf.config.list_logical_devices()],
      'parameters': parameter_counts(parts.agent),
      'python': platform.python_version(),
      'versions': {
          'tensorflow': tf.__version__,
          **{name: _version(name) for name in _PACKAGES},
      },
  }


def describe_environment(
    environment: tf_environment.TFEnvironment,
) -> dict[str, Any]:
  """What is written of an environment that a `Task` has made.

  Returns:
    `observation` and `action`, its specs; `shown`, what it shows by name, where
    that is adapted.
  """
  adapted = batch.adapted(environment)
  return {
      **describe_specs(
          environment.observation_spec(), environment.action_spec()
      ),
      'shown': {} if adapted is None else {
          part.key: part.describe() for part in adapted.parts
      },
  }


def parameter_counts(agent: agent_lib.DreamerV2Agent) -> dict[str, int]:
  """Trainable numbers of world model, actor and critic."""
  count = lambda module: sum(
      int(tf.size(variable)) for variable in module.trainable_variables
  )
  return {
      'world_model': count(agent.world_model),
      'actor': count(agent.actor_critic.actor),
      'critic': count(agent.actor_critic.critic),
  }


def read(path: pathlib.Path) -> dict[str, Any] | None:
  """What a run's `protocol.json` says; None where there is no such file.

  Raises:
    ValueError: If the file holds something else.
  """
  if not path.exists():
    return None
  try:
    protocol = reading.parsed(reading.text(path))
    reason = _fault(protocol)
  except (ValueError, OSError) as error:
    protocol, reason = {}, str(error)
  if reason:
    raise ValueError(
        f'{path} is damaged ({reason}). Put it back from a copy; or delete it '
        'and run bin/train with the settings of the run, which writes it again.'
    )
  return protocol


def _fault(protocol):
  """What is wrong with the content, in words; None where nothing is."""
  if not isinstance(protocol, dict):
    return 'it is no object of JSON'
  missing = [name for name in sorted(_REQUIRED) if name not in protocol]
  if missing:
    return f'it lacks {", ".join(missing)}'
  wrong = [
      f'{name} is no {kind.__name__}' for name, kind in _REQUIRED.items()
      if not isinstance(protocol[name], kind)
  ]
  if not wrong:
    names = [protocol['task'], *protocol['presets']]
    wrong = [
        f'{name!r} is no name' for name in names
        if not (isinstance(name, str) and name.isprintable())
    ]
    if protocol['precision'] not in precision_lib.NAMES:
      wrong.append(f'precision is none of {", ".join(precision_lib.NAMES)}')
  return ', '.join(wrong) or None


def wanted(path: pathlib.Path) -> dict[str, Any]:
  """As `read`, where the file must be there.

  Raises:
    ValueError: If it is missing or damaged.
  """
  protocol = read(path)
  if protocol is None:
    raise ValueError(
        f'{path} is missing. Put it back from a copy; or run bin/train with '
        'the settings of the run, which writes it again.'
    )
  return protocol


def describe_specs(
    observation: Any, action: Any,
) -> dict[str, Any]:
  """What is written of the specs: `observation` by name, and `action`."""
  return {
      'observation': {
          name: _spec(spec)
          for name, spec in specs.flat_observation(observation).items()
      },
      'action': _spec(action),
  }


def is_same_task(name: str, other: str) -> bool:
  """Whether two names are of one environment.

  An object is called by its id or class; `gym_Id` and `module:Class` say where
  that is from.
  """
  bare = lambda task: re.sub('^gym(nasium)?_', '', task).rpartition(':')[2]
  return bare(name) == bare(other)


def _spec(spec):
  """A spec as JSON has it; bounds are one number where they are equal."""
  described = {'shape': spec.shape.as_list(), 'dtype': spec.dtype.name}
  for bound in ('minimum', 'maximum'):
    if hasattr(spec, bound):
      described[bound] = _numbers(getattr(spec, bound))
  return described


def _numbers(bound):
  # JSON has no infinity.
  text = lambda x: x if np.isfinite(x) else str(x)
  one = lambda x: list(map(one, x)) if isinstance(x, list) else text(x)
  return one(specs.plain(bound))


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
