"""The training loop, with the update and the policy as they are or simulated.

Simulated, each is a wait that leaves the processor free, as on a GPU; all else
is real: emulators, driver, replay memory, batches, metrics.
"""

import time
from typing import NamedTuple

import measure
import tensorflow as tf
from tf_agents.agents import tf_agent

from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.experience import random_policy
from dreamerv2_tfa.experience import replay as replay_lib
from dreamerv2_tfa.training import acting
from dreamerv2_tfa.training import metrics

ROWS = 2000  # steps that the replay memory of a measurement holds


class Simulated(NamedTuple):
  """Seconds that a wait takes in the place of what is simulated, or None."""

  update: float | None = None
  policy: float | None = None


_REAL = Simulated()


class Waiting(random_policy.RandomPolicy):
  """Acts at random, after a wait."""

  def __init__(self, *args, seconds, **kwargs):
    super().__init__(*args, **kwargs)
    self._seconds = seconds

  def _action(self, time_step, policy_state, seed):
    with tf.control_dependencies([_wait(self._seconds)]):
      return super()._action(time_step, policy_state, seed)


def _wait(seconds):
  """An operation that waits so long, while others run."""
  return tf.numpy_function(lambda: time.sleep(seconds), [], [])


def buffer(setting):
  """A replay memory that is just large enough to measure on."""
  agent, environment = setting.parts.agent, setting.parts.environment
  rows = max(4 * (setting.length + 1), ROWS)
  return replay_lib.make_buffer(
      agent.collect_data_spec, environment.batch_size,
      rows * environment.batch_size)


def _refuse(numbers):
  raise FloatingPointError(f'An update is not finite: {numbers}.')


class Loop:
  """Collect, sample and update as `training.trainer` does, without reports."""

  def __init__(self, setting, simulated=_REAL, *, beside=False):
    parts = setting.parts
    self._steps = setting.steps_per_update
    acts = acting.make(parts.agent, parts.steps, beside=beside)
    policy, stored = acts.policy, buffer(setting)
    if simulated.policy is not None:
      policy = Waiting(
          policy.time_step_spec, policy.action_spec, seed=0,
          seconds=simulated.policy)
    self._collector = collection.Collector(
        parts.environment, policy, stored, acts.steps)
    self._collector.prefill(
        2 * (setting.length + 1) * parts.environment.batch_size)
    self._samples = replay_lib.Samples(
        stored, setting.batch_size, setting.length, seed=0)
    self._taken = 0

    def train():
      batch = self._samples.next()
      if simulated.update is None:
        return parts.agent.train(batch)
      with tf.control_dependencies(
          [*tf.nest.flatten(batch), _wait(simulated.update)]):
        return tf_agent.LossInfo(tf.constant(0.0), {})

    def before():
      acts.exchange()
      self._taken += 1

    self._updates = metrics.Updates(
        train, _refuse, before=before, beside=beside)
    self.run(2)  # the first update is compiled

  def run(self, times):
    """Does it all so many times, and waits for the last update."""
    for _ in range(times):
      self.collect(1)
      self._updates()
    self._updates.report()

  def collect(self, times):
    """Collects alone."""
    for _ in range(times):
      self._samples.settle(self._taken)
      self._collector.collect(self._steps)

  def update(self, times):
    """Updates alone."""
    for _ in range(times):
      self._updates()
    self._updates.report()


def compare(setting, repeat, simulated, times):
  """Both ways and their halves, in turn.

  Args:
    setting: `Setting`.
    repeat: Measurements of each.
    simulated: `Simulated`.
    times: Updates a measurement.

  Returns:
    Dict for the report: seconds an update and the steps before it.
  """
  apart, beside = (
      Loop(setting, simulated, beside=beside) for beside in (False, True))
  ways = {
      'collect': apart.collect, 'update': apart.update, 'apart': apart.run,
      'beside': beside.run}
  taken = {name: [] for name in ways}
  for _ in range(repeat):
    for name, way in ways.items():
      taken[name].append(measure.seconds(lambda way=way: way(times)) / times)
  spread = {name: measure.spread(x) for name, x in taken.items()}
  middle = {name: x['median'] for name, x in spread.items()}
  longer = max(middle['collect'], middle['update'])
  return {
      **{f'seconds_{name}': middle[name] for name in ways},
      **{f'spread_{name}': x for name, x in spread.items()},
      'apart_over_halves': (
          middle['apart'] / (middle['collect'] + middle['update'])),
      'beside_over_longer_half': middle['beside'] / longer,
      'beside_over_apart': middle['beside'] / middle['apart'],
  }
