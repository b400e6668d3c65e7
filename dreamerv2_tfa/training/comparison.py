"""Whether what a run has stored means to another one what it meant to it."""

import pathlib
import re

import gin

from dreamerv2_tfa.training import earlier
from dreamerv2_tfa.training import protocol

# Bindings whose change is told otherwise, or asked for by every longer run.
_TOLD = (
    'train.steps', 'train.task', 'train.seed', 'train.precision',
    'train.environments',
)


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
  there = protocol.read(root_dir)
  if there is None:
    if stored:
      print(
          f'Note: there is no {protocol.NAME} in {root_dir}: whether the run '
          'was of this task cannot be told.'
      )
    return
  if there['task'] != parts.task.name:
    raise ValueError(
        f'The folder {root_dir} holds a run of the task {there["task"]}; got '
        f'{parts.task.name}. Take another --root_dir.'
    )
  if not stored:
    return
  here = protocol.describe(parts, (), 0)
  differences = [
      f'{name} {here[key]}, and {there[key]} there'
      for key, name in (('action_repeat', 'action repeat'),
                        ('environments', 'train.environments'))
      if there.get(key, here[key]) != here[key]
  ]
  _refuse(root_dir, [
      *differences, *_different_specs(here, there),
      *earlier.differences(parts.evaluation_environment, there),
  ])


def check_rows(root_dir, parts):
  """Refuses to learn from the rows of a run that mean something else.

  Args:
    root_dir: Path of the other run's folder.
    parts: `Parts` of this run.

  Raises:
    ValueError: If action repeat, an observation or the action is another.
  """
  there = protocol.read(root_dir)
  if there is None:
    return
  here = protocol.describe(parts, (), 0)
  differences = _different_specs(here, there)
  if there['action_repeat'] != here['action_repeat']:
    differences.append(
        f'action repeat {here["action_repeat"]}, and '
        f'{there["action_repeat"]} there'
    )
  _refuse(root_dir, differences + earlier.differences(
      parts.evaluation_environment, there
  ))


def check_weights(root_dir, parts):
  """Refuses to act with the weights of a run that read something else.

  Args:
    root_dir: Path of the other run's folder.
    parts: `Parts` of this run.

  Raises:
    ValueError: If an observation or the action is another.
  """
  there = protocol.read(root_dir)
  if there is not None:
    here = protocol.describe(parts, (), 0)
    _refuse(root_dir, _different_specs(here, there) + earlier.differences(
        parts.evaluation_environment, there, actions=False
    ))


def check_specs(root_dir, observation, action):
  """Refuses a run of other observations or actions.

  Args:
    root_dir: Path of its folder.
    observation: Nest of specs.
    action: `BoundedTensorSpec`.

  Raises:
    ValueError: If a name, shape, dtype or bound is another.
  """
  there = protocol.read(root_dir)
  if there is not None:
    here = protocol.describe_specs(observation, action)
    _refuse(root_dir, _different_specs(here, there))


def check_alike(root_dir, other):
  """Refuses two runs of different observations or actions.

  Args:
    root_dir: Path of one's folder.
    other: Path of the other's, whose rows shall be read.

  Raises:
    ValueError: If a name, shape, dtype or bound differs.
  """
  here, there = protocol.read(root_dir), protocol.read(other)
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
  mine, its = here.get('shown', {}), there.get('shown', {})
  differences += [
      f'observation {name} {mine[name]}, and {its[name]} there'
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
    root_dir: Path of the run's folder, before `protocol.write`.
    facts: Dict of `protocol.describe`.

  Returns:
    List of str; empty where no run is there.
  """
  there = protocol.read(root_dir)
  if there is None:
    return []
  lines = [
      f'Note: resumed with {key} {facts[key]}; the run had {there[key]}.'
      for key in ('seed', 'precision', 'presets')
      if there.get(key, facts[key]) != facts[key]
  ]
  path = pathlib.Path(root_dir) / protocol.CONFIG
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


def _text(facts):
  """A spec in words, its bounds cut where they are many."""
  words = f'{facts["dtype"]} {facts["shape"]}'
  if 'minimum' in facts:
    low, high = (str(facts[key]) for key in ('minimum', 'maximum'))
    words += f' from {low:.40} to {high:.40}'
  return words
