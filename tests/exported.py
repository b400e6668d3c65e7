"""Exports of tiny agents that tests share."""

import small
import tensorflow as tf
from tf_agents.environments import random_py_environment
from tf_agents.environments import tf_py_environment
from tf_agents.specs import tensor_spec

from dreamerv2_tfa.deployment import export

MIXED = {  # numbers with bounds, so that a world can be made of them
    'position': tensor_spec.BoundedTensorSpec([3], tf.float32, -2.0, 2.0),
    'level': tensor_spec.BoundedTensorSpec([2], tf.uint8, 0, 255),
    'speed': tensor_spec.BoundedTensorSpec([], tf.float32, -1.0, 3.0),
}


def make(*bindings, observation=MIXED, **kwargs):
  """An agent with weights that do something, and a random world for it."""
  agent = small.make_agent(*bindings, observation=observation, **kwargs)
  small.randomise(agent.world_model, scale=0.4)
  small.randomise(agent.actor_critic, seed=1)
  world = random_py_environment.RandomPyEnvironment(
      tensor_spec.to_array_spec(observation),
      tensor_spec.to_array_spec(agent.action_spec), seed=3,
      episode_end_probability=0.1,
  )
  return agent, tf_py_environment.TFPyEnvironment(world)


def write(folder, *bindings, **kwargs):
  """Exports such an agent: the agent and its world."""
  agent, world = make(*bindings, **kwargs)
  export.write(agent, 'saved_model', folder, {'task': 'toy', 'updates': 7})
  return agent, world
