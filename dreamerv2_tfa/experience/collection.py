"""Steps in the environment, taken a few at a time and stored in replay."""

import tensorflow as tf
from tf_agents.drivers import dynamic_episode_driver
from tf_agents.metrics import tf_metrics
from tf_agents.policies import random_tf_policy
from tf_agents.utils import common

_ENDLESS = 2**31 - 1  # episodes: a slice ends by its number of steps
_RECENT = 10  # episodes that a reported return is the mean of


class Collector:
  """Collects exact numbers of steps and goes on where it stopped.

  An episode goes on over calls. The row between the end of an episode and the
  start of the next is stored as well, and is not counted as a step.
  """

  def __init__(self, environment, policy, buffer, steps):
    """Resets the environment; takes no step yet.

    Args:
      environment: `TFEnvironment`.
      policy: The agent's collect policy.
      buffer: `TFUniformReplayBuffer`.
      steps: `tf_metrics.EnvironmentSteps` that counts agent steps.
    """
    self._batch_size = environment.batch_size
    self._steps = steps
    self._returns = tf_metrics.AverageReturnMetric(
        buffer_size=_RECENT, batch_size=self._batch_size
    )
    self._lengths = tf_metrics.AverageEpisodeLengthMetric(
        buffer_size=_RECENT, batch_size=self._batch_size
    )
    self._episodes = tf_metrics.NumberOfEpisodes()
    counted = [steps, self._returns, self._lengths, self._episodes]
    random_policy = random_tf_policy.RandomTFPolicy(
        environment.time_step_spec(), environment.action_spec()
    )
    observers = [buffer.add_batch, *counted]
    self._collect = _slices(environment, policy, observers)
    self._prefill = _slices(environment, random_policy, observers)
    self._time_step = environment.reset()
    self._policy_state = policy.get_initial_state(self._batch_size)

  @property
  def steps(self):
    """Agent steps taken so far, prefill included: int."""
    return int(self._steps.result())

  def collect(self, steps):
    """Takes `steps` agent steps with the collect policy."""
    self._policy_state = self._take(self._collect, steps, self._policy_state)

  def prefill(self, steps):
    """Takes `steps` uniformly random agent steps."""
    self._take(self._prefill, steps, ())

  def episode_metrics(self):
    """Mean raw return and length of recent episodes, once there are any."""
    if not int(self._episodes.result()):
      return {}
    return {
        'train_return': float(self._returns.result()),
        'train_length': float(self._lengths.result()),
    }

  def _take(self, run, steps, policy_state):
    target = self.steps + steps
    while (missing := target - self.steps) > 0:
      # Rows between episodes use up iterations and count no step.
      iterations = tf.constant(-(-missing // self._batch_size))
      self._time_step, policy_state = run(
          self._time_step, policy_state, iterations
      )
    return policy_state


class Clock:
  """Stands for a `Collector` where no step is taken: rows are stored already.

  Steps pass without being played, so that updates, reports and schedules come
  when they would have come.
  """

  def __init__(self, steps):
    """Takes over the count: `steps` is `tf_metrics.EnvironmentSteps`."""
    self._steps = steps

  @property
  def steps(self):
    """Agent steps that have passed: int."""
    return int(self._steps.result())

  def collect(self, steps):
    """Lets `steps` agent steps pass."""
    self._steps.environment_steps.assign_add(steps)

  def prefill(self, steps):
    """Lets `steps` agent steps pass."""
    self.collect(steps)

  def episode_metrics(self):
    """Nothing: no episode was played."""
    return {}


def _slices(environment, policy, observers):
  driver = dynamic_episode_driver.DynamicEpisodeDriver(
      environment, policy, observers=observers, num_episodes=_ENDLESS
  )

  def run(time_step, policy_state, iterations):
    return driver.run(
        time_step, policy_state, maximum_iterations=iterations
    )

  return common.function(run)
