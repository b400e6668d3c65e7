"""What a run is made of, built in the order in which data flows."""

import contextlib
import re
from typing import Any
from typing import NamedTuple

import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.metrics import tf_metrics

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.environments import waiting
from dreamerv2_tfa.training import precision as precision_lib
from dreamerv2_tfa.training import settings as settings_lib

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
    settings: settings_lib.Settings, resumed_steps: int = 0,
    strategy: tf.distribute.Strategy | None = None,
) -> Parts:
  """Builds the environments and the agent.

  Args:
    settings: Of the run.
    resumed_steps: Agent steps of earlier sessions, which move the seed: a
      resumed run draws other episodes than those that it has seen.
    strategy: Of the agent's variables; None: TensorFlow's own.

  Raises:
    ValueError: If a name, a number or a spec cannot be used.
  """
  tf.config.run_functions_eagerly(settings.eager)
  policy = precision_lib.set_policy(settings.precision)
  task = settings.task
  if not isinstance(task, task_lib.Task):
    task = tasks.load(task)
  seed = (settings.seed + resumed_steps) % 2**31
  tf.keras.utils.set_random_seed(seed)
  waiting.set_limit(settings.environment_timeout)
  environment = task.make(seed, settings.environments, settings.processes)
  with contextlib.ExitStack() as stack:  # where something raises
    stack.callback(batch.close, environment)
    evaluation = evaluation_environment(task, seed)
    stack.callback(batch.close, evaluation)
    with (strategy or tf.distribute.get_strategy()).scope():
      steps = tf_metrics.EnvironmentSteps()
      agent = make_agent(
          environment.time_step_spec(), environment.action_spec(), steps,
          seed=settings.seed, action_repeat=task.action_repeat,
          explore_until=settings.explore_until,
          freeze_model=settings.model_from is not None,
      )
    stack.pop_all()
  return Parts(task, policy, environment, evaluation, steps, agent)


def evaluation_environment(
    task: task_lib.Task, seed: int,
) -> tf_environment.TFEnvironment:
  """One environment that evaluates a run of this seed."""
  make = task.make_evaluation or task.make
  return make(evaluation_seed(seed))


def evaluation_seed(seed: int) -> int:
  """Seed of the environment that evaluates a run of this seed."""
  return (seed + _EVALUATION_SEED) % 2**31


def make_agent(
    time_step_spec: Any, action_spec: Any,
    steps: tf_metrics.EnvironmentSteps, *, seed: int, action_repeat: int,
    explore_until: int, freeze_model: bool,
) -> agent_lib.DreamerV2Agent:
  """Makes the agent of a run, new or to be restored.

  Args:
    time_step_spec: `TimeStep` of specs, of the environment.
    action_spec: `BoundedTensorSpec`, likewise.
    steps: Agent steps taken, which schedules read.
    seed: Of sampling.
    action_repeat: Environment frames an agent step.
    explore_until: Environment frames of the exploration behaviour; 0: all.
    freeze_model: Whether the world model does not learn.

  Raises:
    ValueError: If a spec or a setting of the agent cannot be used, or memory
      does not suffice for it.
  """
  try:
    return agent_lib.DreamerV2Agent(
        time_step_spec, action_spec, seed=seed,
        schedule_step=steps.environment_steps,
        exploration_steps=-(-explore_until // action_repeat),
        freeze_model=freeze_model,
    )
  except tf.errors.ResourceExhaustedError as error:
    said = re.search(r'tensor with shape\s*\[[\d,]*\]', str(error))
    raise checks.UserError(
        'Memory does not suffice for the agent'
        f'{f", not for a {said.group()}" if said else ""}. Make it smaller: '
        'RSSM.deter, RSSM.hidden, MLP.units, Encoder.depth, Decoder.depth.'
    ) from error


def close(parts: Parts) -> None:
  """Closes the environments of `parts`, once."""
  for environment in (parts.environment, parts.evaluation_environment):
    batch.close(environment)
