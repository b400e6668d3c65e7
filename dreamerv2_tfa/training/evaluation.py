"""Greedy evaluation on an environment of its own."""

import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.metrics import tf_metrics
from tf_agents.utils import common


class Evaluation:
  """Plays whole episodes and reports their mean raw return and length."""

  def __init__(self, environment, policy, episodes):
    """Prepares the driver; plays nothing yet.

    Args:
      environment: `TFEnvironment` that nothing else steps.
      policy: `TFPolicy`, usually the agent's `policy`.
      episodes: int, episodes an evaluation.
    """
    self._environment = environment
    self._policy = policy
    sizes = dict(buffer_size=episodes, batch_size=environment.batch_size)
    self._returns = tf_metrics.AverageReturnMetric(**sizes)
    self._lengths = tf_metrics.AverageEpisodeLengthMetric(**sizes)
    self._metrics = [self._returns, self._lengths]
    driver = dynamic_episode_driver.DynamicEpisodeDriver(
        environment, policy, observers=self._metrics, num_episodes=episodes
    )
    self._run = common.function(driver.run)

  def run(self):
    """Plays the episodes, as a graph: dict of `eval_return`, `eval_length`."""
    for metric in self._metrics:
      metric.reset()
    state = self._policy.get_initial_state(self._environment.batch_size)
    # Whole episodes line by line would take minutes, where debugging is on.
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(False)
    try:
      self._run(self._environment.reset(), state)
    finally:
      tf.config.run_functions_eagerly(eager)
    return {
        'eval_return': float(self._returns.result()),
        'eval_length': float(self._lengths.result()),
    }
