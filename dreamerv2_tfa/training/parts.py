"""What a run is made of, built in the order in which data flows."""

import contextlib
from typing import NamedTuple

import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.metrics import tf_metrics

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import precision as precision_lib

_EVALUATION_SEED = 10_000  # apart from the training environment's


class Parts(NamedTuple):
  """The parts of a run that exist before anything is written or collected."""

  task: task_lib.Task
  precision: str  # name of the Keras policy
  environment: tf_environment.TFEnvironment
  evaluation_environment: tf_environment.TFEnvironment
  steps: tf_metrics.EnvironmentSteps  # agent steps, prefill included
  agent: agent_lib.DreamerV2Agent


def build(
    task, seed, precision, eager, session, explore_until=0, environments=1,
    processes=True, freeze_model=False,
):
  """Builds the environments and the agent.

  Args:
    task: Name of a task, or a `Task`.
    seed: int, of everything random.
    precision: As in `precision.set_policy`.
    eager: bool; run every function line by line.
    session: int, agent steps of earlier sessions: a resumed run draws other
      episodes than the ones it has seen.
    explore_until: Environment frames of the exploration behaviour; 0: all.
    environments: int, environments that collect side by side.
    processes: bool; each of them in a process of its own.
    freeze_model: bool; the world model does not learn.

  Returns:
    `Parts`.

  Raises:
    ValueError: If a name, a number or a spec cannot be used.
  """
  tf.config.run_functions_eagerly(eager)
  keras_policy = precision_lib.set_policy(precision)
  if not isinstance(task, task_lib.Task):
    task = tasks.load(task)
  tf.keras.utils.set_random_seed((seed + session) % 2**31)
  environment = task.make(
      (seed + session) % 2**31, environments, processes
  )
  with contextlib.ExitStack() as stack:  # where something raises
    stack.callback(batch.close, environment)
    make_evaluation = task.make_evaluation or task.make
    evaluation = make_evaluation((seed + session + _EVALUATION_SEED) % 2**31)
    stack.callback(batch.close, evaluation)
    steps = tf_metrics.EnvironmentSteps()
    agent = agent_lib.DreamerV2Agent(
        environment.time_step_spec(), environment.action_spec(),
        seed=seed, schedule_step=steps.environment_steps,
        exploration_steps=-(-explore_until // task.action_repeat),
        freeze_model=freeze_model,
    )
    stack.pop_all()
  return Parts(task, keras_policy, environment, evaluation, steps, agent)


def close(parts):
  """Closes the environments of `Parts`, once."""
  for environment in (parts.environment, parts.evaluation_environment):
    batch.close(environment)
