"""Agents that runs have left behind, for use outside of training."""

import gin
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import quiet
from dreamerv2_tfa.training import checkpoints
from dreamerv2_tfa.training import comparison
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import surroundings
from dreamerv2_tfa.training import train  # noqa: F401, gin must know its parts


@quiet.libraries()
@surroundings.kept()
@surroundings.gin_kept()
def load(root_dir, task=None):
  """The agent of a run, as it was saved last; no environment is made.

  The agent may be trained on; its counters continue from the checkpoint, and a
  world model that the run holds stays frozen.

  Args:
    root_dir: Path of the run's folder.
    task: Name of the task that the run must be of; None: any.

  Returns:
    `DreamerV2Agent`.

  Raises:
    ValueError: If the folder holds no run, or one too young to be loaded, or
      one of another task, or a file of it is damaged.
  """
  root_dir = checks.folder('root_dir', root_dir)
  checkpoint = checkpoints.last(root_dir)
  specs = _read_specs(root_dir)
  facts = protocol.wanted(root_dir)
  if not (task is None or comparison.is_same_task(task, facts['task'])):
    raise ValueError(
        f'The run in {root_dir} is of the task {facts["task"]}; wanted {task}. '
        f'Give the folder of a run of {task}.'
    )
  tf.keras.mixed_precision.set_global_policy(facts['precision'])
  protocol.parse_config(root_dir)
  until = int(gin.query_parameter('train.explore_until'))
  agent = agent_lib.DreamerV2Agent(
      ts.time_step_spec(specs.observation), specs.action, seed=facts['seed'],
      schedule_step=tf.Variable(0, dtype=tf.int64, trainable=False),
      exploration_steps=-(-until // facts['action_repeat']),
      freeze_model=gin.query_parameter('train.model_from') is not None,
  )
  status = tf.train.Checkpoint(agent=agent).restore(checkpoint)
  status.assert_existing_objects_matched().expect_partial()
  return agent


def _read_specs(root_dir):
  """Specs of the run's rows, like a `Trajectory`."""
  path = root_dir / 'policies' / 'collect' / 'policy_specs.pbtxt'
  if not path.exists():
    raise ValueError(
        f'{root_dir} has no policies/ yet, which say what the run observes: '
        'they are written at its first evaluation. Let bin/train get there.'
    )
  try:
    return tensor_spec.from_pbtxt_file(str(path))['collect_data_spec']
  except Exception as error:  # whatever a text of another form sets off
    reason = str(error).strip().partition('\n')[0]
    raise ValueError(
        f'{path} is damaged ({reason}). Put it back from a copy, or let '
        'bin/train evaluate again, which writes it again.'
    ) from error
