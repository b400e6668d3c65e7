"""Checkpoints for resuming, and SavedModels for deployment."""

import pathlib
import re
import shutil
from typing import Any

import tensorflow as tf
from tf_agents.policies import policy_saver

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.training import named

_KEPT = 2  # checkpoints


class Checkpoints:
  """Saves and restores agent, optimizers, counters and random state.

  TF-Agents' `Checkpointer` would delete and find files by patterns, and find
  none where the state file is missing: here `find` alone says which is last.
  """

  def __init__(self, directory: pathlib.Path, **parts: Any):
    """Restores the last checkpoint where there is one.

    Args:
      directory: `checkpoints/` of the run.
      **parts: Trackable objects by name.

    Raises:
      ValueError: If the checkpoint is damaged, or was written by another
        configuration.
    """
    self._directory = directory
    self._checkpoint = tf.train.Checkpoint(**parts)
    self.latest = find(directory)  # path of the last checkpoint, or None
    self.resumed = self.latest is not None
    if not self.resumed:
      return
    try:
      status = self._checkpoint.restore(self.latest)
      status.assert_existing_objects_matched()
    except (ValueError, AssertionError) as error:
      reason = str(error).strip().splitlines()[0]
      raise ValueError(
          f'The checkpoint in {self._directory} does not fit this '
          f'configuration ({reason}). Take another --root_dir, or the settings '
          'in operative_config.gin beside it.'
      ) from error

  def save(self, step: int) -> None:
    """Writes a checkpoint; `step` counts agent steps."""
    self._directory.mkdir(parents=True, exist_ok=True)
    self._checkpoint.save_counter.assign_add(1)
    path = self._directory / f'ckpt-{step}'
    self.latest = self._checkpoint.write(str(path))
    before = sorted(
        {number for number in _numbers(self._directory) if number <= step}
    )
    _write_state(self._directory, before[-_KEPT:])
    for number in before[:-_KEPT]:
      for file in self._directory.glob(f'ckpt-{number}.*'):
        file.unlink()


def last(directory: pathlib.Path, name: str = 'root_dir') -> str:
  """Path of a run's last checkpoint, without endings.

  Args:
    directory: `checkpoints/` of the run.
    name: What the user calls the run's folder.

  Raises:
    ValueError: If there is none, or it is damaged.
  """
  latest = find(directory)
  if latest is None:
    raise ValueError(
        f'{name} = {str(directory.parent)!r} holds no saved run: it has no '
        'checkpoints/. Give the folder of a run that has saved.'
    )
  return latest


def find(directory: pathlib.Path) -> str | None:
  """The last whole checkpoint of a run: the one place where it is looked for.

  It is the one that the state file `checkpoints/checkpoint` names, or a newer
  whole one beside it; where that file is missing, the newest there is. Names
  alone count, so a folder may be moved.

  Args:
    directory: `checkpoints/` of the run, which need not exist.

  Returns:
    The path without endings; None where there is no checkpoint.

  Raises:
    ValueError: If the one that should be the last is damaged.
  """
  named = _named(directory)
  numbers = sorted(_numbers(directory, 'index'), reverse=True)
  for number in numbers:
    if named is not None and number <= named:
      break
    path = directory / f'ckpt-{number}'
    fault = _fault(path)
    if fault is None:
      return str(path)
    if named is None:
      raise _damaged(path, fault, numbers)
  if named is None:
    return None
  path = directory / f'ckpt-{named}'
  fault = _fault(path)
  if fault is not None:
    raise _damaged(path, fault, numbers)
  return str(path)


def restore(path: str, **parts: Any) -> None:
  """Restores some of what a checkpoint has.

  Args:
    path: Of `last`.
    **parts: Trackable objects by their names in `Checkpoints`.

  Raises:
    ValueError: If one of them does not fit the checkpoint.
  """
  try:
    status = tf.train.Checkpoint(**parts).restore(path)
    status.assert_existing_objects_matched().expect_partial()
  except (ValueError, AssertionError) as error:
    raise ValueError(
        f'The checkpoint {path} does not fit ({_reason(error)}).'
    ) from error


def step(path: str) -> int:
  """Agent steps at a checkpoint."""
  return int(path.rpartition('-')[2])


def _numbers(directory, ending='*'):
  """Agent steps of the checkpoints whose files are there."""
  names = (path.name for path in directory.glob(f'ckpt-*.{ending}'))
  matches = (re.match(r'ckpt-(\d+)\.', name) for name in names)
  return {int(match.group(1)) for match in matches if match}


def _named(directory):
  """The agent steps that the state file says; None where it says nothing."""
  path = directory / 'checkpoint'
  if not path.is_file():
    return None
  text = path.read_text(encoding='utf-8', errors='replace')
  found = re.search(r'^model_checkpoint_path: ".*?ckpt-(\d+)"', text, re.M)
  return int(found.group(1)) if found else None


def _write_state(directory, numbers):
  """Writes the state file as TensorFlow does, all of it at once."""
  lines = [f'model_checkpoint_path: "ckpt-{numbers[-1]}"'] + [
      f'all_model_checkpoint_paths: "ckpt-{number}"' for number in numbers
  ]
  partial = directory / 'checkpoint.part'
  partial.write_text('\n'.join(lines) + '\n', encoding='utf-8')
  partial.replace(directory / 'checkpoint')


def _fault(path):
  """What is wrong with a checkpoint, in words; None where every byte is read.

  Each tensor bears a checksum, so reading them all finds files that were cut.
  """
  index = pathlib.Path(f'{path}.index')
  if not index.is_file():
    return f'{index} is missing'
  # What a cut file raises depends on where it is cut, IndexError among it.
  try:
    reader = tf.train.load_checkpoint(str(path))
    names = list(reader.get_variable_to_shape_map())
  except Exception as error:
    return f'{index} cannot be read: {_reason(error)}'
  try:
    for name in names:
      reader.get_tensor(name)
  except Exception as error:
    return f'{path}.data-00000-of-00001 cannot be read: {_reason(error)}'
  return None


def _reason(error):
  return str(error).strip().splitlines()[0].rstrip('.')


def _damaged(path, fault, numbers):
  """The error that says how to resume from an older one, or that none is."""
  older = [
      path.with_name(f'ckpt-{number}') for number in numbers
      if number < step(str(path))
  ]
  whole = next((other for other in older if _fault(other) is None), None)
  if whole is None:
    way_out = (
        'No whole checkpoint is beside it. Put the file back from a copy, or '
        'take another --root_dir.'
    )
  else:
    way_out = (
        f'{whole.name} beside it is whole. Put the file back from a copy; or, '
        f'to resume from {step(str(whole)):,} steps, delete {path.name}.* and '
        f'the file checkpoint in {path.parent}.'
    )
  return ValueError(f'The last checkpoint is damaged: {fault}. {way_out}')


def load_model(
    agent: agent_lib.DreamerV2Agent, directory: pathlib.Path,
) -> None:
  """Loads the world model of a run's last checkpoint into an agent.

  Args:
    agent: Whose world model is replaced.
    directory: `checkpoints/` of the run.

  Raises:
    ValueError: If there is no checkpoint, or its model is of another form.
  """
  path = last(directory, 'train.model_from')
  # The name is that of the agent's attribute.
  part = tf.train.Checkpoint(_world_model=agent.world_model)
  try:
    restore(path, agent=part)
  except ValueError as error:
    reason = str(error.__cause__).strip().splitlines()[0]
    raise ValueError(
        f'The world model of train.model_from = {str(directory.parent)!r} is '
        f'of another form ({reason}). Take the settings in its '
        'operative_config.gin.'
    ) from error


class Policies:
  """SavedModels of the agent's policies, replaced whole at each export."""

  def __init__(
      self, directory: pathlib.Path, agent: agent_lib.DreamerV2Agent,
  ):
    """Prepares the export; writes nothing.

    Args:
      directory: `policies/` of the run.
      agent: Whose policies they are.
    """
    self._directory = directory
    self._savers = {
        name: _saver(policy, agent.train_step_counter)
        for name, policy in (
            ('greedy', agent.policy), ('collect', agent.collect_policy)
        )
    }

  def save(self) -> None:
    """Writes `policies/greedy` and `policies/collect`."""
    for name, saver in self._savers.items():
      final = self._directory / name
      fresh = self._directory / f'{name}.new'
      shutil.rmtree(fresh, ignore_errors=True)
      saver.save(str(fresh))
      shutil.rmtree(final, ignore_errors=True)
      fresh.rename(final)


def _saver(policy, train_step):
  own_names = named.needed(policy)
  return policy_saver.PolicySaver(
      named.NamedPolicy(policy) if own_names else policy, batch_size=None,
      train_step=train_step, use_nest_path_signatures=not own_names,
  )
