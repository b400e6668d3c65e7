"""Whether what a run has stored means to another one what it meant to it."""

import pathlib
from typing import Any

from tf_agents.environments import tf_environment

from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import earlier
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs

# Bindings whose change is told, or refused, otherwise.
_TOLD = ('train.task', 'train.seed', 'train.precision', 'train.environments')


def check(
    folder: runs.RunFolder, parts: parts_lib.Parts, *, stored: bool = True,
) -> None:
  """Refuses a folder whose stored steps mean something else.

  What a `protocol.json` of an older version does not say is not compared.

  Args:
    folder: Of the run; it need not exist.
    parts: Of this run.
    stored: False where nothing was saved: the task alone is compared.

  Raises:
    ValueError: If task, action repeat, number of environments, an observation
      or the action is another, or `protocol.json` is damaged.
  """
  there = protocol.read(folder.protocol)
  if there is None:
    if stored:
      print(
          f'Note: there is no {folder.protocol.name} in {folder.root}: whether '
          'the run was of this task cannot be told.'
      )
    return
  if there['task'] != parts.task.name:
    raise ValueError(
        f'The folder {folder.root} holds a run of the task {there["task"]}; '
        f'got {parts.task.name}. Take another --root_dir.'
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
  _refuse(folder, [
      *differences, *_different_specs(here, there),
      *earlier.differences(parts.evaluation_environment, there),
  ])


def check_model(
    folder: runs.RunFolder, model_from: str | None, *, stored: bool = True,
) -> None:
  """Refuses a resume with another frozen world model.

  Args:
    folder: Of the run.
    model_from: The setting `train.model_from`.
    stored: False where nothing was saved, and all may change.

  Raises:
    ValueError: If it is not what it was.
  """
  if not stored:
    return
  before = config.recorded_value(folder.config, 'train.model_from')
  whole = lambda path: path and pathlib.Path(path).expanduser().absolute()
  if whole(before) == whole(model_from):
    return
  does = lambda path: 'learns its own' if path is None else (
      f'has frozen that of {path}')
  got = None if model_from is None else str(model_from)
  raise ValueError(
      f'train.model_from = {got!r}, but the run in {folder.root} '
      f'{does(before)} world model, which its checkpoint has. Leave '
      'train.model_from out to resume; or take another --root_dir.'
  )


def check_rows(folder: runs.RunFolder, parts: parts_lib.Parts) -> None:
  """Refuses to learn from the rows of a run that mean something else.

  Args:
    folder: Of the other run.
    parts: Of this run.

  Raises:
    ValueError: If task, action repeat, an observation or the action is another.
  """
  there = protocol.read(folder.protocol)
  if there is None:
    return
  here = protocol.describe(parts, (), 0)
  differences = _different_run(here, there)
  if there['action_repeat'] != here['action_repeat']:
    differences.append(
        f'action repeat {here["action_repeat"]}, and '
        f'{there["action_repeat"]} there'
    )
  _refuse(folder, differences + earlier.differences(
      parts.evaluation_environment, there
  ))


def check_weights(
    folder: runs.RunFolder, environment: tf_environment.TFEnvironment,
) -> None:
  """Refuses an environment that the weights of a run cannot act in.

  Args:
    folder: Of the run.
    environment: Of one environment, that a `Task` has made.

  Raises:
    ValueError: If an observation or the action is another.
  """
  there = protocol.read(folder.protocol)
  if there is not None:
    here = protocol.describe_environment(environment)
    _refuse(folder, _different_specs(here, there) + earlier.differences(
        environment, there, actions=False
    ))


def check_world_model(folder: runs.RunFolder, parts: parts_lib.Parts) -> None:
  """Refuses the world model of a run of another task.

  Its reward and continue heads know that task alone.

  Args:
    folder: Of the other run.
    parts: Of this run.

  Raises:
    ValueError: If the task, an observation or the action is another.
  """
  there = protocol.read(folder.protocol)
  if there is not None:
    here = protocol.describe(parts, (), 0)
    _refuse(folder, _different_run(here, there))


def check_alike(folder: runs.RunFolder, other: runs.RunFolder) -> None:
  """Refuses two runs of different tasks, observations or actions.

  Args:
    folder: Of one run.
    other: Of the other, whose rows shall be read.

  Raises:
    ValueError: If the task, a name, shape, dtype or bound differs.
  """
  here, there = protocol.read(folder.protocol), protocol.read(other.protocol)
  if here is not None and there is not None:
    _refuse(other, _different_run(here, there))


def _different_run(here, there):
  """What differs of the task and the specs, in words."""
  differences = _different_specs(here, there)
  if protocol.is_same_task(here['task'], there['task']):
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


def _refuse(folder, differences):
  if differences:
    raise ValueError(
        f'What the run in {folder.root} has stored means something else: got '
        f'{"; ".join(differences)}. Set it as it is there, or take another '
        'folder.'
    )


def notes(
    folder: runs.RunFolder, here: dict[str, Any],
) -> list[str]:
  """What a resumed run has changed, where it may: a line each.

  Args:
    folder: Of the run, before it is recorded again.
    here: Of `protocol.describe`.

  Returns:
    List of str; empty where no run is there.
  """
  there = protocol.read(folder.protocol)
  if there is None:
    return []
  lines = [
      f'Note: resumed with {key} {here[key]}; the run had {there[key]}.'
      for key in ('seed', 'precision', 'presets')
      if there.get(key, here[key]) != here[key]
  ]
  old = config.recorded(folder.config)
  new = config.as_dict(config.operative())
  return lines + [
      f'Note: resumed with {name} = {value}; the run had {old[name]}.'
      for name, value in new.items()
      if name not in _TOLD and old.get(name, value) != value
  ]


def _text(spec):
  """A spec in words, its bounds cut where they are many."""
  words = f'{spec["dtype"]} {spec["shape"]}'
  if 'minimum' in spec:
    low, high = (str(spec[key]) for key in ('minimum', 'maximum'))
    words += f' from {low:.40} to {high:.40}'
  return words
