"""What is built before a run starts."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.environments import random_py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.specs import array_spec
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa.environments import task as task_lib
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.training import parts as parts_lib


def _load(name):
  """A stand-in task of 4 frames an agent step."""
  environment = lambda: random_py_environment.RandomPyEnvironment(
      {'position': array_spec.BoundedArraySpec((3,), np.float32, -1, 1)},
      array_spec.BoundedArraySpec((), np.int32, 0, small.A - 1),
  )
  return task_lib.Task(
      name, 4, lambda *_: tf_py_environment.TFPyEnvironment(environment())
  )


@pytest.mark.parametrize('frames, steps', [(10, 3), (12, 3), (13, 4)])
def test_exploration_ends_after_environment_frames(
    frames, steps, monkeypatch):
  """A step that is begun within them explores."""
  monkeypatch.setattr(tasks, 'load', _load)
  with small.configured("DreamerV2Agent.exploration = 'random'"):
    made = parts_lib.build('any', 0, '32', False, 0, explore_until=frames)
  actor = made.agent.actor_critic.actor
  small.randomise(actor, scale=0.0)
  actor._output._dense.bias.assign(100.0 * tf.one_hot(2, small.A))
  rows = 40
  time_step = ts.restart({'position': tf.zeros([rows, 3])}, rows)
  policy = made.agent.collect_policy
  state = policy.get_initial_state(rows)
  kinds = []
  for now in (0, steps - 1, steps, steps + 1):
    made.steps.environment_steps.assign(now)
    kinds.append(len(set(policy.action(time_step, state).action.numpy())))
  assert min(kinds[:2]) > 1 and kinds[2:] == [1, 1]
