"""The policy and the world model as functions of plain tensors.

Once saved they need TensorFlow alone: nests are dicts, and what goes in and
comes out is tensors. A state is a dict of float32 `deter` `[B, D]`, `stoch`
`[B, S, C]` or `[B, S]`, `logits` (or `mean` and `std`) like it, and `action`
`[B, A]`, the one just taken; and of int32 `seed` `[B, 2]`, from which the next
latent of each is drawn. A latent is a state without `action` and `seed`.

The signature `action` takes what the environment shows (see `observations`);
`agent_action` and the functions take what the agent reads of it. Actions are
the environment's everywhere.
"""

from typing import Any

import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import noise
from dreamerv2_tfa import observations
from dreamerv2_tfa import specs
from dreamerv2_tfa.behaviour import policy as policy_lib
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.world_model import imagination
from dreamerv2_tfa.world_model import world_model


class Functions:
  """What an exported agent can do.

  Attributes:
    policy: `DreamerPolicy`.
    parts: List of `observations.Part`: how the environment's observation is
      read; None where it is the agent's own.
    observation_spec: Dict of `tf.TensorSpec` of what the agent reads, without
      the batch axis.
    latent_spec: Dict of `tf.TensorSpec`, likewise.
    state_spec: Dict of `tf.TensorSpec`, likewise.
  """

  exact = True  # whether `action` takes the environment's own dtypes

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, policy: policy_lib.DreamerPolicy,
      parts: list[observations.Part] | None = None,
  ):
    """Takes an agent and the policy to act by.

    Args:
      agent: `DreamerV2Agent`.
      policy: Of the agent's networks.
      parts: See the attribute.
    """
    self.parts = parts
    self._world_model = agent.world_model
    self._critic = agent.actor_critic.critic
    self.policy = policy
    self.observation_spec = specs.flat_observation(
        policy.time_step_spec.observation
    )
    state: Any = policy.policy_state_spec
    self.latent_spec = state.latent._asdict()
    self.state_spec = {
        **self.latent_spec, 'action': state.action,
        'seed': tf.TensorSpec([2], tf.int32),
    }

  def shown_spec(self) -> Any:
    """Dict of `tf.TensorSpec` of what `action` takes, without batch axis."""
    if self.parts is None:
      return self.observation_spec
    return {
        part.key: tf.TensorSpec(*part.given(self.exact)) for part in self.parts
    }

  def step_inputs(
      self, observation_spec: Any = None,
  ) -> dict[str, tf.TensorSpec]:
    """Arguments of a step of any batch size: dict of `tf.TensorSpec`.

    Args:
      observation_spec: Dict of specs; None: that of `shown_spec`.
    """
    if observation_spec is None:
      observation_spec = self.shown_spec()
    keys = names.observations(observation_spec)
    parts = {
        **{keys[key]: spec for key, spec in observation_spec.items()},
        names.FIRST: tf.TensorSpec([], tf.bool),
        **names.state(self.state_spec),
    }
    return {
        name: tf.TensorSpec([None] + spec.shape.as_list(), spec.dtype, name)
        for name, spec in parts.items()
    }

  def read(self, shown: Any) -> Any:
    """What the agent reads of what `action` takes: dicts `[B, ...]`."""
    if self.parts is None:
      return shown
    return {
        part.key: shown[part.key] if part.shrinks
        else part.read_tensor(shown[part.key]) for part in self.parts
    }

  def initial_state(
      self, batch_size: Any, seed: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """The state before an episode: zeros, and a seed for each element.

    Args:
      batch_size: int32 B.
      seed: int32; the same one gives the same seeds.

    Returns:
      State of `B` elements.
    """
    zeros = {
        name: tf.zeros(tf.concat([[batch_size], spec.shape], 0), spec.dtype)
        for name, spec in self.state_spec.items()
    }
    seed = tf.stack([seed, tf.zeros_like(seed)])
    return {**zeros, 'seed': noise.split(seed, batch_size)}

  def act(
      self, observation: Any, is_first: tf.Tensor, state: dict[str, tf.Tensor],
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Takes one step of each element, by itself.

    In a batch a matrix product adds in another order than alone, and its last
    bits differ. Computed one by one, an element is the same in any batch.

    Args:
      observation: Dict of tensors `[B, ...]`.
      is_first: bool `[B]`; the past is forgotten where true.
      state: State of `B` elements.

    Returns:
      The environment's action `[B, ...]`, and the state after it.
    """
    action: Any = self.policy.action_spec
    return tf.map_fn(
        lambda element: self._act_alone(*element),
        (observation, is_first, state),
        fn_output_signature=(
            tf.TensorSpec(action.shape, action.dtype), self.state_spec,
        ),
    )

  def _act_alone(self, observation, is_first, state):
    """`act` of one element, without the batch axis."""
    own, following = tf.unstack(noise.split(state['seed'], 2))
    observation, is_first, state = tf.nest.map_structure(
        lambda x: x[None], (observation, is_first, state)
    )
    action, state = self.act_together(observation, is_first, state, own)
    action, state = tf.nest.map_structure(lambda x: x[0], (action, state))
    return action, {**state, 'seed': following}

  def act_together(
      self, observation: Any, is_first: tf.Tensor, state: dict[str, tf.Tensor],
      seed: tf.Tensor,
  ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Takes one step of all elements at once, with one seed, int32 `[2]`.

    Args and returns are those of `act`, but the state has no `seed`.
    """
    step = self.policy.action(
        _time_step(self.policy.time_step_spec, observation, is_first),
        policy_lib.PolicyState(
            self._latent(state, tf.float32), state['action']
        ),
        seed=seed,
    )
    after = {**step.state.latent._asdict(), 'action': step.state.action}  # pyright: ignore[reportAttributeAccessIssue]
    return step.action, after  # pyright: ignore[reportReturnType]

  def _latent(self, fields, dtype=None):
    """An `RSSMState` in `dtype`, or in those the networks compute in."""
    initial = self._world_model.rssm.initial(1)
    return type(initial)(**{
        name: tf.cast(fields[name], dtype or like.dtype)
        for name, like in initial._asdict().items()
    })

  def encode(
      self, observation: Any, is_first: tf.Tensor, state: dict[str, tf.Tensor],
  ) -> dict[str, tf.Tensor]:
    """What the policy believes once it has seen: a latent `[B, ...]`."""
    _, state = self.act(observation, is_first, state)
    return {name: state[name] for name in self.latent_spec}

  def imagine(
      self, latent: dict[str, tf.Tensor], action: tf.Tensor, seed: tf.Tensor,
  ) -> dict[str, tf.Tensor]:
    """Follows actions from latents.

    Args:
      latent: Latent of `B` elements.
      action: The environment's actions `[B, H, ...]`.
      seed: int32 `[2]`.

    Returns:
      Latent `[B, H, ...]`, after each action.
    """
    inside = specs.Actions(self.policy.action_spec).encode(action)
    states = imagination.rollout_actions(
        self._world_model.rssm, self._latent(latent), _swap_time(inside),
        seed=seed,
    )
    return {
        name: tf.cast(_swap_time(x), tf.float32)
        for name, x in states._asdict().items()
    }

  def decode(self, latent: dict[str, tf.Tensor]) -> dict[str, Any]:
    """What the model expects of latents `[B, ...]` or `[B, H, ...]`.

    Args:
      latent: Latent.

    Returns:
      Dict of `observation`, a dict in the environment's units; `reward`, after
      its transform; and `discount`, small where an end is expected.
    """
    model = self._world_model
    feature = model.rssm.feature(self._latent(latent))
    observation = {
        key: world_model.restore(prediction.mode(), self.observation_spec[key])
        for key, prediction in model.decode(feature).items()
    }
    return {'observation': observation, 'reward': model.reward(feature),
            'discount': model.discount(feature)}

  def value(self, latent: dict[str, tf.Tensor]) -> tf.Tensor:
    """The critic of latents `[B, ...]` or `[B, H, ...]`: float32."""
    feature = self._world_model.rssm.feature(self._latent(latent))
    return self._critic(feature).mode()


def _time_step(spec, observation, is_first):
  """A `TimeStep`; the policy reads no rewards and no discounts."""
  step_type = tf.where(is_first, ts.StepType.FIRST, ts.StepType.MID)
  zeros = tf.zeros(tf.shape(is_first))
  nested = tf.nest.pack_sequence_as(
      spec.observation,
      [observation[key] for key in specs.flat_observation(spec.observation)],
  )
  return ts.TimeStep(step_type, zeros, zeros + 1.0, nested)


def _swap_time(x):
  return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def saveable(
    agent: agent_lib.DreamerV2Agent,
    parts: list[observations.Part] | None = None,
) -> tuple[tf.Module, dict[str, Any]]:
  """An agent's greedy policy and world model, as `tf.saved_model.save` wants.

  Args:
    agent: `DreamerV2Agent`.
    parts: List of `observations.Part`, or None; see `Functions`.

  Returns:
    `tf.Module` with the functions `encode`, `imagine`, `decode` and `value`,
    and a dict of its signatures `action`, `agent_action` and
    `get_initial_state`.
  """
  functions = Functions(agent, agent.policy, parts)  # pyright: ignore[reportArgumentType]
  module: Any = tf.Module()
  # The variables alone: layers would bring Keras along.
  module.weights = [
      *agent.policy.variables(), *agent.actor_critic.critic.variables
  ]
  latent, state = functions.latent_spec, functions.state_spec
  compiled = lambda function: tf.function(function, autograph=False)
  module.encode = compiled(functions.encode)
  module.encode.get_concrete_function(
      observation=_batched(functions.observation_spec),
      is_first=tf.TensorSpec([None], tf.bool), state=_batched(state),
  )
  module.imagine = compiled(functions.imagine)
  module.imagine.get_concrete_function(
      latent=_batched(latent), seed=tf.TensorSpec([2], tf.int32),
      action=_batched({'action': agent.action_spec}, 2)['action'],
  )
  module.decode = compiled(functions.decode)
  module.value = compiled(functions.value)
  for axes in (1, 2):  # latents of elements, and those that `imagine` gives
    module.decode.get_concrete_function(latent=_batched(latent, axes))
    module.value.get_concrete_function(latent=_batched(latent, axes))
  return module, _signatures(functions)


def _signatures(functions):
  inputs = names.observations(functions.observation_spec)

  def acting(read, observation_spec):
    def action(**tensors):
      observation = {key: tensors[name] for key, name in inputs.items()}
      taken, state = functions.act(
          read(observation), tensors[names.FIRST], names.fields(tensors)
      )
      return {'action': taken, **names.state(state)}

    return tf.function(action, autograph=False).get_concrete_function(
        **functions.step_inputs(observation_spec)
    )

  agent_action = acting(lambda x: x, functions.observation_spec)
  action = agent_action if functions.parts is None else acting(
      functions.read, functions.shown_spec()
  )

  def get_initial_state(batch_size, seed):
    return names.state(functions.initial_state(batch_size, seed))

  scalar = lambda name: tf.TensorSpec([], tf.int32, name)
  return {
      'action': action,
      'agent_action': agent_action,
      'get_initial_state': tf.function(
          get_initial_state, autograph=False
      ).get_concrete_function(
          batch_size=scalar('batch_size'), seed=scalar('seed')
      ),
  }


def _batched(fields, axes=1):
  return {
      name: tf.TensorSpec([None] * axes + spec.shape.as_list(), spec.dtype)
      for name, spec in fields.items()
  }
