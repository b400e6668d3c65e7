"""What a run was, in `protocol.json`: what a later session must share."""

import importlib.metadata
import json
import pathlib
import platform
import re

import gin
import numpy as np
import tensorflow as tf

from dreamerv2_tfa import specs

_NAME = 'protocol.json'
_CONFIG = 'operative_config.gin'
_PACKAGES = (
    'tf-agents', 'tensorflow-probability', 'keras', 'gin-config',
    'numpy', 'ale-py', 'atari-py', 'gym', 'gymnasium', 'dm_control', 'mujoco',
    'crafter', 'gym-minigrid',
)
# Bindings whose change is told otherwise, or asked for by every longer run.
_TOLD = (
    'train.steps', 'train.task', 'train.seed', 'train.precision',
    'train.environments',
)


def describe(parts, presets, seed):
  """What is written: a dict that JSON can hold.

  Args:
    parts: `Parts` of the run.
    presets: Names of the gin files.
    seed: int.

  Returns:
    Dict; `observation` maps each name to shape, dtype and bounds.
  """
  return {
      'presets': list(presets),
      'task': parts.task.name,
      'action_repeat': parts.task.action_repeat,
      'environments': parts.environment.batch_size,
      **_specs(parts.agent.time_step_spec.observation, parts.agent.action_spec),
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
      (_CONFIG, gin.operative_config_str()),
      (_NAME, json.dumps(facts, indent=2) + '\n'),
  ):
    partial = root_dir / f'{name}.part'
    partial.write_text(text, encoding='utf-8')
    partial.replace(root_dir / name)


def read(root_dir):
  """The facts of a run: dict; None where there is no such file.

  Raises:
    ValueError: If the file holds something else.
  """
  path = pathlib.Path(root_dir) / _NAME
  if not path.exists():
    return None
  try:
    facts = json.loads(path.read_text(encoding='utf-8'))
    missing = {'task', 'action_repeat', 'precision', 'seed'} - set(facts)
    reason = f'it lacks {", ".join(sorted(missing))}' if missing else None
  except (ValueError, TypeError, OSError) as error:
    reason = str(error)
  if reason:
    raise ValueError(
        f'{path} is damaged ({reason}). Put it back from a copy; or delete it '
        'and run bin/train with the settings of the run, which writes it anew.'
    )
  return facts


def wanted(root_dir):
  """As `read`, where the file must be there.

  Raises:
    ValueError: If it is missing or damaged.
  """
  facts = read(root_dir)
  if facts is None:
    path = pathlib.Path(root_dir) / _NAME
    raise ValueError(
        f'{path} is missing. Put it back from a copy; or run '
        'bin/train with the settings of the run, which writes it anew.'
    )
  return facts


def parse_config(root_dir):
  """Reads a run's `operative_config.gin` into gin.

  Raises:
    ValueError: If it is missing, or gin cannot read it.
  """
  path = pathlib.Path(root_dir) / _CONFIG
  way_out = (
      'Put it back from a copy; or run bin/train with the settings of the run, '
      'which writes it anew.'
  )
  if not path.is_file():
    raise ValueError(f'{path} is missing. {way_out}')
  try:
    gin.parse_config(path.read_text(encoding='utf-8'))
  except Exception as error:  # gin's own, the tokenizer's, a module's
    raise ValueError(
        f'{path} is damaged ({_first_line(error)}). {way_out}'
    ) from error


def check(root_dir, parts, *, stored=True):
  """Refuses a folder whose stored steps mean something else.

  What a `protocol.json` of an older version does not say is not compared.

  Args:
    root_dir: Path of the run's folder, which need not exist.
    parts: `Parts` of this run.
    stored: bool; False where nothing was saved: the task alone is compared.

  Raises:
    ValueError: If task, action repeat, number of environments, an observation
      or the action is another, or `protocol.json` is damaged.
  """
  there = read(root_dir)
  if there is None:
    if stored:
      print(
          f'Note: there is no {_NAME} in {root_dir}: whether the run was of '
          'this task cannot be told.'
      )
    return
  if there['task'] != parts.task.name:
    raise ValueError(
        f'The folder {root_dir} holds a run of the task {there["task"]}; got '
        f'{parts.task.name}. Take another --root_dir.'
    )
  if not stored:
    return
  here = describe(parts, (), 0)
  differences = [
      f'{name} {here[key]}, and {there[key]} there'
      for key, name in (('action_repeat', 'action repeat'),
                        ('environments', 'train.environments'))
      if there.get(key, here[key]) != here[key]
  ]
  _refuse(root_dir, differences + _different_specs(here, there))


def check_rows(root_dir, parts):
  """Refuses to learn from the rows of a run that mean something else.

  Args:
    root_dir: Path of the other run's folder.
    parts: `Parts` of this run.

  Raises:
    ValueError: If action repeat, an observation or the action is another.
  """
  there = read(root_dir)
  here = describe(parts, (), 0)
  if there is not None and there['action_repeat'] != here['action_repeat']:
    _refuse(root_dir, [
        f'action repeat {here["action_repeat"]}, and '
        f'{there["action_repeat"]} there'
    ])
  check_specs(
      root_dir, parts.agent.time_step_spec.observation, parts.agent.action_spec
  )


def check_specs(root_dir, observation, action):
  """Refuses a run of other observations or actions.

  Args:
    root_dir: Path of its folder.
    observation: Nest of specs.
    action: `BoundedTensorSpec`.

  Raises:
    ValueError: If a name, shape, dtype or bound is another.
  """
  there = read(root_dir)
  if there is not None:
    _refuse(root_dir, _different_specs(_specs(observation, action), there))


def check_alike(root_dir, other):
  """Refuses two runs of different observations or actions.

  Args:
    root_dir: Path of one's folder.
    other: Path of the other's, whose rows shall be read.

  Raises:
    ValueError: If a name, shape, dtype or bound differs.
  """
  here, there = read(root_dir), read(other)
  if here is not None and there is not None:
    _refuse(other, _different_specs(here, there))


def _different_specs(here, there):
  """What differs, in words; nothing where either says nothing."""
  differences = []
  mine, its = here.get('observation'), there.get('observation')
  if mine is not None and its is not None:
    if list(mine) != list(its):
      differences.append(
          f'observations {", ".join(mine)}, and {", ".join(its)} there'
      )
    differences += [
        f'observation {name} {_text(mine[name])}, and {_text(its[name])} there'
        for name in mine if name in its and mine[name] != its[name]
    ]
  mine, its = here.get('action'), there.get('action')
  if mine is not None and its is not None and mine != its:
    differences.append(f'action {_text(mine)}, and {_text(its)} there')
  return differences


def _refuse(root_dir, differences):
  if differences:
    raise ValueError(
        f'What the run in {root_dir} has stored means something else: got '
        f'{"; ".join(differences)}. Set it as it is there, or take another '
        'folder.'
    )


def notes(root_dir, facts):
  """What a resumed run has changed, where it may: a line each.

  Args:
    root_dir: Path of the run's folder, before `write`.
    facts: Dict of `describe`.

  Returns:
    List of str; empty where no run is there.
  """
  there = read(root_dir)
  if there is None:
    return []
  lines = [
      f'Note: resumed with {key} {facts[key]}; the run had {there[key]}.'
      for key in ('seed', 'precision', 'presets')
      if there.get(key, facts[key]) != facts[key]
  ]
  path = pathlib.Path(root_dir) / _CONFIG
  before = path.read_bytes() if path.exists() else b''
  old = _bindings(before.decode('utf-8', 'replace'))
  new = _bindings(gin.operative_config_str())
  return lines + [
      f'Note: resumed with {name} = {value}; the run had {old[name]}.'
      for name, value in new.items()
      if name not in _TOLD and old.get(name, value) != value
  ]


def _bindings(text):
  """Names and values in a gin text, a value over several lines in one."""
  found = re.findall(r'^([\w./]+) = (.*(?:\n[ \t]+.*)*)', text, re.M)
  # Where gin breaks lines depends on the length of the values.
  return {
      name: re.sub(r'\s+', ' ', value.replace('\\\n', ' ')).strip()
      for name, value in found
  }


def _specs(observation, action):
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
      facts[bound] = _numbers(np.asarray(getattr(spec, bound)))
  return facts


def _numbers(array):
  if array.size and (array == array.flat[0]).all():
    array = array.flat[0]
  # JSON has no infinity.
  text = lambda x: x if np.isfinite(x) else str(x)
  one = lambda x: list(map(one, x)) if isinstance(x, list) else text(x)
  return one(np.asarray(array).tolist())


def _text(facts):
  """A spec in words, its bounds cut where they are many."""
  words = f'{facts["dtype"]} {facts["shape"]}'
  if 'minimum' in facts:
    low, high = (str(facts[key]) for key in ('minimum', 'maximum'))
    words += f' from {low:.40} to {high:.40}'
  return words


def _first_line(error):
  return str(error).strip().partition('\n')[0] or type(error).__name__


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
