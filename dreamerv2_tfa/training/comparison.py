"""Whether what a run has stored means to another one what it meant to it."""

import ast
import pathlib
import re

import gin

from dreamerv2_tfa.training import earlier
from dreamerv2_tfa.training import protocol

# Bindings whose change is told, or refused, otherwise.
_TOLD = ('train.task', 'train.seed', 'train.precision', 'train.environments')


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


def check_model(root_dir, held, *, stored=True):
  """Refuses to change at a resume whose world model a run holds.

  Args:
    root_dir: Path of the run's folder.
    held: What `train.model_from` is now: a path, or None.
    stored: bool; False where nothing was saved, and all may change.

  Raises:
    ValueError: If it is not what it was.
  """
  if not stored:
    return
  recorded = recorded_bindings(root_dir)
  before = ast.literal_eval(recorded.get('train.model_from', 'None'))
  whole = lambda path: path and pathlib.Path(path).expanduser().absolute()
  if whole(before) == whole(held):
    return
  does = lambda path: 'learns its own' if path is None else (
      f'holds that of {path}')
  raise ValueError(
      f'train.model_from = {held if held is None else str(held)!r}, but the '
      f'run in {root_dir} {does(before)} world model, which its checkpoint '
      'has. Leave train.model_from out to resume; or take another --root_dir.'
  )


def check_rows(root_dir, parts):
  """Refuses to learn from the rows of a run that mean something else.

  Args:
    root_dir: Path of the other run's folder.
    parts: `Parts` of this run.

  Raises:
    ValueError: If task, action repeat, an observation or the action is another.
  """
  there = protocol.read(root_dir)
  if there is None:
    return
  here = protocol.describe(parts, (), 0)
  differences = _different_run(here, there)
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


def check_world_model(root_dir, parts):
  """Refuses the world model of a run of another task.

  Its reward and continue heads know that task alone.

  Args:
    root_dir: Path of the other run's folder.
    parts: `Parts` of this run.

  Raises:
    ValueError: If the task, an observation or the action is another.
  """
  there = protocol.read(root_dir)
  if there is not None:
    here = protocol.describe(parts, (), 0)
    _refuse(root_dir, _different_run(here, there))


def check_alike(root_dir, other):
  """Refuses two runs of different tasks, observations or actions.

  Args:
    root_dir: Path of one's folder.
    other: Path of the other's, whose rows shall be read.

  Raises:
    ValueError: If the task, a name, shape, dtype or bound differs.
  """
  here, there = protocol.read(root_dir), protocol.read(other)
  if here is not None and there is not None:
    _refuse(other, _different_run(here, there))


def is_same_task(name, other):
  """Whether two names are of one environment.

  An object is called by its id or class, `gym_Id` and `module:Class` say where
  that is from.
  """
  bare = lambda task: re.sub('^gym(nasium)?_', '', task).rpartition(':')[2]
  return bare(name) == bare(other)


def _different_run(here, there):
  """What differs of the task and the specs, in words."""
  differences = _different_specs(here, there)
  if is_same_task(here['task'], there['task']):
    return differences
  return [f'task {here["task"]}, and {there["task"]} there', *differences]


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
  old = recorded_bindings(root_dir)
  new = bindings(gin.operative_config_str())
  return lines + [
      f'Note: resumed with {name} = {value}; the run had {old[name]}.'
      for name, value in new.items()
      if name not in _TOLD and old.get(name, value) != value
  ]


def recorded_bindings(root_dir):
  """As `bindings`, of what a run has read last; empty where there is none.

  Args:
    root_dir: Path of the run's folder, which need not exist.
  """
  path = pathlib.Path(root_dir) / protocol.CONFIG
  if not path.is_file():
    return {}
  return bindings(path.read_text(encoding='utf-8', errors='replace'))


def bindings(text):
  """Names and values in a gin text, a value over several lines in one.

  Args:
    text: Python string, as gin writes its configuration.

  Returns:
    Dict of strings.
  """
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
