"""What collects: the agent's own policy, or a copy of it beside updates.

    apart    collect slice k, update k, collect slice k + 1, update k + 1
    beside                    update k             update k + 1
             collect slice k, collect slice k + 1, collect slice k + 2

A slice is the steps between two updates. Beside update k, slice k + 1 is acted
with the weights after update k - 1, in variables of its own. So each of the two
reads and writes what the other leaves alone:

  update    the agent; reads the steps taken, for its schedules
  slice     environments, replay, and what `Beside` has
"""

import tensorflow as tf
from tf_agents.metrics import tf_metrics
from tf_agents.policies import tf_policy
from tf_agents.utils import common

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.behaviour import fused_policy


class Apart:
  """The agent's collect policy acts, and no update runs meanwhile.

  Attributes:
    policy: Acts while steps are collected.
    steps: Counts the agent steps that are collected.
    state: `tf.train.Checkpoint` of what a resume needs, or None.
  """

  state: tf.train.Checkpoint | None = None

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, steps: tf_metrics.EnvironmentSteps,
  ):
    """Takes both as they are.

    Args:
      agent: Of the run.
      steps: Agent steps of the run, which schedules read.
    """
    self.policy: tf_policy.TFPolicy = fused_policy.of(
        agent.collect_policy, agent.jit
    )
    self.steps = steps

  def take_weights(self) -> None:
    """Acts from now on with the weights that the agent has."""

  def read_steps(self) -> None:
    """Counts from the steps of the run."""

  def write_steps(self) -> None:
    """Makes what was counted the steps of the run."""

  def exchange(self) -> None:
    """Takes weights and writes steps: between two updates."""
    self.take_weights()
    self.write_steps()


class Beside(Apart):
  """A copy of the collect policy acts while an update runs.

  The copy draws from the same random state, which updates leave alone.
  """

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, steps: tf_metrics.EnvironmentSteps,
  ):
    """Copies the weights that a step reads; takes no step."""
    self._steps, self.steps = steps, tf_metrics.EnvironmentSteps()
    original, model = agent.collect_policy, agent.world_model
    read = {id(x) for x in model.filter_variables}
    known = {id(x): x for x in model.variables if id(x) not in read}
    policy = original.copied(  # pyright: ignore[reportAttributeAccessIssue]
        known, self.steps.environment_steps
    )
    self.policy = fused_policy.of(policy, agent.jit)
    pairs = [
        (mine, theirs) for mine, theirs in zip(
            policy.variables(), original.variables(), strict=True)
        if mine is not theirs and theirs is not steps.environment_steps
    ]
    self.state = tf.train.Checkpoint(weights=[mine for mine, _ in pairs])

    def take_weights():
      for mine, theirs in pairs:
        mine.assign(theirs)

    def move(source, target):
      target.environment_steps.assign(source.environment_steps)

    # Functions of nothing: Python sees no tensor (benchmarks/NOTES.md, memory).
    self._take_weights = common.function(take_weights)
    self._read_steps = common.function(lambda: move(self._steps, self.steps))
    self._write_steps = common.function(lambda: move(self.steps, self._steps))

  def take_weights(self) -> None:
    """Acts from now on with the weights that the agent has."""
    self._take_weights()

  def read_steps(self) -> None:
    """Counts from the steps of the run."""
    self._read_steps()

  def write_steps(self) -> None:
    """Makes what was counted the steps of the run."""
    self._write_steps()


def make(
    agent: agent_lib.DreamerV2Agent, steps: tf_metrics.EnvironmentSteps, *,
    beside: bool,
) -> Apart:
  """What collects for an agent, beside its updates or apart from them.

  Args:
    agent: Of the run.
    steps: Agent steps of the run, which schedules read.
    beside: Whether updates run meanwhile.
  """
  return (Beside if beside else Apart)(agent, steps)
