"""The greedy policy step without random numbers, for TensorFlow Lite and ONNX.

TensorFlow's random numbers convert to neither. So the latent is the mode of
its distribution and there is no action noise: the step is a function of what it
is given, and the agent with `eval_mode_latent` does the same. Its state is what
the next step reads: `deter`, `stoch` and `action`. What goes in as
`state_deter` comes out as `next_state_deter`, since ONNX wants every name once.
"""

from typing import Any

import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import observations
from dreamerv2_tfa.behaviour import policy as policy_lib
from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import model
from dreamerv2_tfa.deployment import names


class Step(model.Functions):
  """One step of all elements together, without random numbers."""

  exact = False

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, policy: policy_lib.DreamerPolicy,
      parts: list[observations.Part] | None = None,
  ):
    """Takes an agent and the policy to act by.

    Args:
      agent: `DreamerV2Agent`.
      policy: Of the agent's networks that draws nothing.
      parts: List of `observations.Part`, or None; see `model.Functions`.
    """
    super().__init__(agent, policy, parts)
    self.state_spec = {
        name: self.state_spec[name] for name in ('deter', 'stoch', 'action')
    }

  def describe(self) -> dict[str, Any]:
    """What `policy.json` says of the step: a dict."""
    return manifest.describe(
        self, ('action', *names.next_state(self.state_spec))
    )

  def flat(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The step from a dict of named tensors to another."""
    return self._flat(tensors, self.read)

  def flat_agent(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The same of what the agent reads."""
    return self._flat(tensors, lambda observation: observation)

  def _flat(self, tensors, read):
    inputs = names.observations(self.observation_spec)
    state = names.fields(tensors)
    unread = dict.fromkeys(self.latent_spec, state['stoch'])
    taken, state = self.act_together(
        read({key: tensors[name] for key, name in inputs.items()}),
        tensors[names.FIRST], {**unread, **state}, tf.constant([0, 0]),  # pyright: ignore[reportArgumentType]
    )
    kept = {name: state[name] for name in self.state_spec}
    return {'action': taken, **names.next_state(kept)}
