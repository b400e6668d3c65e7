"""Saves a run's checkpoints, and restores them or some of their parts."""

import pathlib
from typing import Any

import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import durable
from dreamerv2_tfa.training import best
from dreamerv2_tfa.training import checkpoint_files


class Checkpoints:
  """Saves and restores agent, optimizers, counters and random state.

  TF-Agents' `Checkpointer` would delete and find files by patterns, and find
  none where the state file is missing: `checkpoint_files.find` alone says which
  is last.

  Attributes:
    latest: Path of the last checkpoint, without endings, or None.
    resumed: Whether a checkpoint was restored.
    lacks: Names of the later parts that were not restored.
  """

  def __init__(
      self, directory: pathlib.Path, *, later: dict[str, Any] | None = None,
      keep: int = 2, **parts: Any,
  ):
    """Restores the last checkpoint where there is one.

    Args:
      directory: `checkpoints/` of the run.
      later: Trackable objects by name, that checkpoints of earlier versions
        may not have.
      keep: How many checkpoints stay on disk.
      **parts: Trackable objects by name, that every checkpoint has.

    Raises:
      ValueError: If the checkpoint is damaged, or was written by another
        configuration.
    """
    later = later or {}
    self._directory, self._keep = directory, keep
    self._checkpoint = tf.train.Checkpoint(**parts, **later)
    self.latest = checkpoint_files.find(directory)
    self.resumed = self.latest is not None
    self.lacks = frozenset(later)
    if not self.resumed:
      return
    there = {
        name.partition('/')[0]
        for name, _ in tf.train.list_variables(self.latest)
    }
    self.lacks -= there
    found = {name: later[name] for name in later if name in there}
    whole = self._checkpoint
    checkpoint = tf.train.Checkpoint(**parts, **found) if self.lacks else whole
    try:
      checkpoint.restore(self.latest).assert_existing_objects_matched()
    except (ValueError, AssertionError) as error:
      raise ValueError(
          f'The checkpoint in {self._directory} does not fit this '
          f'configuration ({checkpoint_files.reason(error)}). Take another '
          '--root_dir, or the settings in operative_config.gin beside it.'
      ) from error

  def begin(self) -> None:
    """Notes that a save has begun; `save` ends it.

    What else belongs to the commit is written in between. So what a run has
    left that was killed in its first save is known to be that.
    """
    if self.latest is None:
      checkpoint_files.begin_first(self._directory)

  def save(self, step: int) -> None:
    """Writes a checkpoint and flushes it to the disk, then deletes old ones.

    Args:
      step: Agent steps.
    """
    self._directory.mkdir(parents=True, exist_ok=True)
    self._checkpoint.save_counter.assign_add(1)
    path = self._directory / f'ckpt-{step}'
    best.part(path)
    self.latest = self._checkpoint.write(str(path))
    for file in checkpoint_files.files(path):
      durable.sync(file)
    durable.sync(self._directory)
    before = [
        number for number in checkpoint_files.steps_of(self._directory)
        if number <= step
    ]
    checkpoint_files.write_state(self._directory, before[-self._keep:])
    checkpoint_files.end_first(self._directory)
    for number in before[:-self._keep]:
      for file in checkpoint_files.files(self._directory / f'ckpt-{number}'):
        file.unlink()

  def has(self, step: int) -> bool:
    """Whether the last checkpoint is of so many agent steps."""
    return self.latest is not None and (
        checkpoint_files.step(self.latest) == step
    )


def last(
    directory: pathlib.Path, name: str = 'root_dir', *, best: bool = False,
) -> str:
  """Path of a run's last checkpoint, without endings.

  Args:
    directory: `checkpoints/` of the run.
    name: What the user calls the run's folder.
    best: Whether the one with the highest evaluation is meant instead.

  Raises:
    ValueError: If there is none, or it is damaged.
  """
  folder = directory / checkpoint_files.BEST if best else directory
  found = checkpoint_files.find(folder)
  if found is None and best:
    raise ValueError(
        f'{name} = {str(directory.parent)!r} has no best checkpoint: it has '
        'saved no evaluation yet. Take the last one.'
    )
  if found is None:
    raise ValueError(
        f'{name} = {str(directory.parent)!r} holds no saved run: it has no '
        'checkpoints/. Give the folder of a run that has saved.'
    )
  return found


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
        f'The checkpoint {path} does not fit '
        f'({checkpoint_files.reason(error)}): it was saved with other settings '
        'than those in operative_config.gin and specs.pbtxt. Put these back '
        'from a copy.'
    ) from error


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
