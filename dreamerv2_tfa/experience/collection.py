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
    # What a call goes on from stays in variables: a call with neither input
    # nor output costs Python least (benchmarks/NOTES.md, memory).
    self._time_step = _variables(environment.reset())
    self._collect = self._taking(
        environment, policy, observers,
        _variables(policy.get_initial_state(self._batch_size)),
    )
    self._prefill = self._taking(environment, random_policy, observers, ())

  @property
  def steps(self):
    """Agent steps taken so far, prefill included: int."""
    return int(self._steps.environment_steps)

  def collect(self, steps):
    """Takes `steps` agent steps with the collect policy."""
    self._collect(tf.constant(steps, tf.int64))

  def prefill(self, steps):
    """Takes `steps` uniformly random agent steps."""
    self._prefill(tf.constant(steps, tf.int64))

  def episode_metrics(self):
    """Mean raw return and length of recent episodes, once there are any."""
    if not int(self._episodes.result()):
      return {}
    return {
        'train_return': float(self._returns.result()),
        'train_length': float(self._lengths.result()),
    }

  def _taking(self, environment, policy, observers, policy_state):
    """Compiled function that takes so many steps, int64, with a policy."""
    driver = dynamic_episode_driver.DynamicEpisodeDriver(
        environment, policy, observers=observers, num_episodes=_ENDLESS
    )
    state = (self._time_step, policy_state)

    def take_slice(target):
      missing = target - self._steps.result()
      # Rows between episodes use up iterations and count no step.
      iterations = -(-missing // self._batch_size)
      after = driver.run(
          *tf.nest.map_structure(tf.identity, state),
          maximum_iterations=tf.cast(iterations, tf.int32),
      )
      tf.nest.map_structure(lambda kept, new: kept.assign(new), state, after)
      return [target]

    def take(steps):
      target = self._steps.result() + steps
      tf.while_loop(
          lambda target: self._steps.result() < target, take_slice, [target]
      )

    return common.function(take)


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
    return int(self._steps.environment_steps)

  def collect(self, steps):
    """Lets `steps` agent steps pass."""
    self._steps.environment_steps.assign_add(steps)

  def prefill(self, steps):
    """Lets `steps` agent steps pass."""
    self.collect(steps)

  def episode_metrics(self):
    """Nothing: no episode was played."""
    return {}


def _variables(nest):
  """Variables that hold the tensors of a nest."""
  return tf.nest.map_structure(
      lambda x: tf.Variable(x, trainable=False), nest
  )
