"""What a run leaves behind to go on from and to ship."""

import pathlib
import shutil

import tensorflow as tf
from tf_agents.policies import policy_saver
from tf_agents.utils import common

from dreamerv2_tfa.training import named

_KEPT = 2  # checkpoints


class Checkpoints:
  """Saves and restores agent, optimizers, counters and random state."""

  def __init__(self, root_dir, **parts):
    """Restores the last checkpoint where there is one.

    Args:
      root_dir: Path of the run's folder.
      **parts: Trackable objects by name.

    Raises:
      ValueError: If the checkpoint was written by another configuration.
    """
    self._directory = pathlib.Path(root_dir) / 'checkpoints'
    try:
      self._checkpointer = common.Checkpointer(
          str(self._directory), max_to_keep=_KEPT, **parts
      )
      self.resumed = self._checkpointer.checkpoint_exists
      if self.resumed:
        status = self._checkpointer.initialize_or_restore()
        status.assert_existing_objects_matched()
    except (ValueError, AssertionError) as error:
      reason = str(error).strip().splitlines()[0]
      raise ValueError(
          f'The checkpoint in {self._directory} does not fit this '
          f'configuration ({reason}). Take another --root_dir, or the settings '
          'in operative_config.gin beside it.'
      ) from error

  @property
  def latest(self):
    """Path of the last checkpoint, or None."""
    return self._checkpointer.manager.latest_checkpoint

  def save(self, step):
    """Writes a checkpoint; `step` counts agent steps."""
    self._checkpointer.save(step)


def last(root_dir):
  """Path of a run's last checkpoint.

  Raises:
    ValueError: If there is none.
  """
  latest = tf.train.latest_checkpoint(pathlib.Path(root_dir) / 'checkpoints')
  if latest is None:
    raise ValueError(
        f'{root_dir} holds no saved run: it has no checkpoints/. Give the '
        '--root_dir of a bin/train that has saved.'
    )
  return latest


def load_model(agent, root_dir):
  """Gives an agent the world model of a run, as it was saved last.

  Args:
    agent: `DreamerV2Agent`.
    root_dir: Path of the run's folder.

  Raises:
    ValueError: If there is no checkpoint, or its model is of another form.
  """
  path = last(root_dir)
  # The name is that of the agent's attribute.
  part = tf.train.Checkpoint(_world_model=agent.world_model)
  try:
    status = tf.train.Checkpoint(agent=part).restore(path)
    status.assert_existing_objects_matched().expect_partial()
  except (ValueError, AssertionError) as error:
    reason = str(error).strip().splitlines()[0]
    raise ValueError(
        f'The world model of {root_dir} is of another form ({reason}). Take '
        'the settings in its operative_config.gin.'
    ) from error


class Policies:
  """SavedModels of the agent's policies, replaced whole at each export."""

  def __init__(self, root_dir, agent):
    """Prepares the export; writes nothing.

    Args:
      root_dir: Path of the run's folder.
      agent: `TFAgent`.
    """
    self._directory = pathlib.Path(root_dir) / 'policies'
    self._savers = {
        name: _saver(policy, agent.train_step_counter)
        for name, policy in (
            ('greedy', agent.policy), ('collect', agent.collect_policy)
        )
    }

  def save(self):
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
