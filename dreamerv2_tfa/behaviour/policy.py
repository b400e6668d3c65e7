"""The recurrent policy that filters observations and acts."""

from collections.abc import Callable
import copy
from typing import Any
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp
from tf_agents.distributions import shifted_categorical
from tf_agents.policies import tf_policy
from tf_agents.trajectories import policy_step
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import distributions
from dreamerv2_tfa import noise
from dreamerv2_tfa import specs
from dreamerv2_tfa import types
from dreamerv2_tfa.world_model import world_model as world_model_lib

tfd = tfp.distributions


class PolicyState(NamedTuple):
  """What the policy remembers; all zeros before an episode."""

  latent: types.RSSMState  # [B, ...] float32
  action: tf.Tensor  # [B, A] float32, the one just taken


class DreamerPolicy(tf_policy.TFPolicy):
  """Acts from the posterior of the world model (paper, section 2.3).

  The state is the latent and the previous action, in float32 in every
  precision; it is forgotten where the step type is FIRST.
  """

  def __init__(
      self, time_step_spec: ts.TimeStep,
      action_spec: Any,
      world_model: world_model_lib.WorldModel,
      actor: Callable[[tf.Tensor], distributions.Distribution], *, greedy: bool,
      mode_latent: bool = False, noise: float = 0.0, seed: int = 0,
      name: str | None = None,
  ):
    """Makes the policy.

    Args:
      time_step_spec: Of specs.
      action_spec: `BoundedTensorSpec`.
      world_model: `WorldModel`.
      actor: Function from features `[B, F]` to a distribution over actions.
      greedy: Take the actor's mode rather than a sample.
      mode_latent: Take the posterior's mode rather than a sample.
      noise: float e >= 0. Discrete: with probability e a uniformly random
        action. Continuous: `clip(N(a, e), -1, 1)`, in the scaled box.
      seed: Of the policy's generator, whose state is a variable.
      name: Name of the policy.
    """
    self._world_model = world_model
    self._actor = actor
    self._actions = specs.Actions(action_spec)
    self._greedy = greedy
    self._mode_latent = mode_latent
    self._noise = noise
    self._generator = _generator(seed)
    super().__init__(
        time_step_spec, action_spec,
        _state_spec(world_model, self._actions), name=name,  # pyright: ignore[reportArgumentType]
        automatic_state_reset=False,
    )

  @property
  def random_state(self) -> tuple[tf.Variable, ...]:
    """What the next draws depend on."""
    return (self._generator.state,)

  def copied(
      self, known: dict[int, Any], step: tf.Variable,
  ) -> 'DreamerPolicy':
    """A policy with weights of its own, which draws from the same generator.

    Args:
      known: Of `copy.deepcopy`, by id: what takes the place of an object.
      step: As of `UntilPolicy`; nothing reads it here.
    """
    del step
    # The networks alone: TF-Agents' policies hold functions of themselves.
    made = DreamerPolicy(
        self.time_step_spec, self.action_spec,
        copy.deepcopy(self._world_model, known),
        copy.deepcopy(self._actor, known), greedy=self._greedy,
        mode_latent=self._mode_latent, noise=self._noise, name=self.name,
    )
    made._generator = self._generator
    return made

  def sampled(self) -> 'DreamerPolicy':
    """The same policy, but for actions drawn from the actor."""
    made = DreamerPolicy(
        self.time_step_spec, self.action_spec, self._world_model, self._actor,
        greedy=False, mode_latent=self._mode_latent, noise=self._noise,
        name=self.name,
    )
    made._generator = self._generator
    return made

  def _variables(self):
    actor = getattr(self._actor, 'variables', ())  # a random one has none
    return (*self._world_model.variables, *actor, self._generator.state)

  def _distribution(self, time_step, policy_state):
    state, actor = self._observe(time_step, policy_state, self._seeds(1)[0])
    state = state._replace(action=actor.mode())
    return policy_step.PolicyStep(self._outside(actor), state, ())

  def _action(self, time_step, policy_state, seed):
    latent_seed, action_seed, noise_seed = self._seeds(3, seed)
    state, actor = self._observe(time_step, policy_state, latent_seed)
    if self._greedy:
      action = actor.mode()
    else:
      action = tf.stop_gradient(actor.sample(seed=action_seed))
    action = self._with_noise(action, noise_seed)
    state = state._replace(action=action)
    return policy_step.PolicyStep(self._actions.decode(action), state, ())

  def _observe(self, time_step, policy_state, seed):
    """Filters one observation: the new state and the actor's distribution."""
    feature, state = _filter(
        self._world_model, time_step, policy_state, seed,
        sample=not self._mode_latent,
    )
    return state, self._actor(feature)

  def _outside(self, actor):
    """The actor over the environment's actions, in TFP's own classes.

    A SavedModel names the classes it returns, and whoever loads it may not
    have this package.
    """
    if self._actions.several:
      raise NotImplementedError(
          'A policy over several choices acts, and has no distribution over '
          'their array; use `action`.'
      )
    if self._actions.discrete and self._actions.low == 0:
      return tfd.Categorical(actor.logits, dtype=self.action_spec.dtype)  # pyright: ignore[reportAttributeAccessIssue]
    if self._actions.discrete:
      return shifted_categorical.ShiftedCategorical(
          logits=actor.logits, dtype=self.action_spec.dtype,  # pyright: ignore[reportAttributeAccessIssue]
          shift=self._actions.low,
      )
    return tfd.TransformedDistribution(
        distributions.plain(actor), self._actions.bijector()
    )

  def _with_noise(self, action, seed):
    if not self._noise:
      return action
    if not self._actions.discrete:
      moved = action + self._noise * noise.standard_normal(
          tf.shape(action), seed
      )
      return tf.clip_by_value(moved, -1.0, 1.0)
    probs = self._noise / self._actions.size + (1.0 - self._noise) * action
    return distributions.one_hot(tf.math.log(probs)).sample(seed=seed)

  def _seeds(self, count, seed=None):
    return _seeds(self._generator, count, seed)


class FeaturePolicy(tf_policy.TFPolicy):
  """Acts by a policy that reads the features of a world model.

  So a policy that was trained in a `DreamEnvironment` acts in the environment
  that the dream is of: what is observed there is filtered to features. The
  state is what `DreamerPolicy` remembers, and the other policy's own.
  """

  def __init__(
      self, time_step_spec: ts.TimeStep,
      action_spec: Any,
      world_model: world_model_lib.WorldModel, policy: tf_policy.TFPolicy, *,
      seed: int = 0, name: str | None = None,
  ):
    """Makes the policy.

    Args:
      time_step_spec: Of specs, of the environment.
      action_spec: `BoundedTensorSpec`.
      world_model: `WorldModel`.
      policy: `TFPolicy` that observes features, float32 `[F]`.
      seed: Of the policy's generator, whose state is a variable.
      name: Name of the policy.
    """
    self._world_model = world_model
    self._policy = policy
    self._actions = specs.Actions(action_spec)
    self._generator = _generator(seed)
    super().__init__(
        time_step_spec, action_spec, (  # pyright: ignore[reportArgumentType]
            _state_spec(world_model, self._actions), policy.policy_state_spec,
        ), name=name, automatic_state_reset=False,
    )

  def _variables(self):
    return (*self._world_model.variables, *self._policy.variables(),
            self._generator.state)

  def _action(self, time_step, policy_state, seed):
    state, inner_state = policy_state  # pyright: ignore[reportGeneralTypeIssues]
    latent_seed, = _seeds(self._generator, 1, seed)
    feature, state = _filter(
        self._world_model, time_step, state, latent_seed, sample=True
    )
    step = self._policy.action(
        time_step._replace(observation=tf.cast(feature, tf.float32)),
        inner_state, seed,
    )
    state = state._replace(action=self._actions.encode(step.action))
    return policy_step.PolicyStep(step.action, (state, step.state), ())

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError(
        'A FeaturePolicy acts, and has no distribution; use `action`.'
    )


def _generator(seed):
  # from_seed would give neighbouring seeds one stream, a little shifted.
  return tf.random.Generator.from_key_counter(seed, [0, 0], alg='philox')


def _seeds(generator, count, seed):
  """`count` stateless seeds, from the caller's or the generator's."""
  if seed is None:
    base = tf.cast(generator.make_seeds()[:, 0], tf.int32)
  else:
    base = tfp.random.sanitize_seed(seed)
  return tf.unstack(noise.split(base, count))


def _state_spec(world_model, actions):
  return PolicyState(
      tf.nest.map_structure(
          lambda x: tf.TensorSpec(x.shape[1:], tf.float32),
          world_model.rssm.initial(1),
      ),
      tf.TensorSpec([actions.size], tf.float32),  # pyright: ignore[reportArgumentType]
  )


def _filter(world_model, time_step, policy_state, seed, *, sample):
  """Filters one observation: its feature `[B, F]` and the new state."""
  rssm = world_model.rssm
  observation = specs.flat_observation(time_step.observation)
  is_first = time_step.step_type == ts.StepType.FIRST
  previous = tf.nest.map_structure(
      lambda x, like: tf.cast(x, like.dtype), policy_state.latent,
      rssm.initial(1),
  )
  latent = rssm.obs_step(
      previous, policy_state.action, world_model.embed(observation),
      is_first, seed, sample=sample,
  )
  feature = rssm.feature(latent)
  latent = tf.nest.map_structure(lambda x: tf.cast(x, tf.float32), latent)
  return feature, PolicyState(latent, policy_state.action)


class UntilPolicy(tf_policy.TFPolicy):
  """Acts by one policy until a step, by another from then on.

  Both filter with the same world model, so the state is common: the change may
  come in the middle of an episode.
  """

  def __init__(
      self, steps: int, step: tf.Variable, first: DreamerPolicy,
      second: DreamerPolicy,
  ):
    self._steps = steps
    self._step = step
    self._first = first
    self._second = second
    super().__init__(
        first.time_step_spec, first.action_spec, first.policy_state_spec,
        automatic_state_reset=False,
    )

  def copied(self, known: dict[int, Any], step: tf.Variable) -> 'UntilPolicy':
    """As `DreamerPolicy.copied`; `step` takes the place of the step."""
    return UntilPolicy(
        self._steps, step, self._first.copied(known, step),
        self._second.copied(known, step),
    )

  def _variables(self):
    found = (*self._first.variables(), *self._second.variables(), self._step)
    return tuple({id(variable): variable for variable in found}.values())

  def _action(self, time_step, policy_state, seed):
    act = lambda policy: lambda: policy.action(time_step, policy_state, seed)
    return tf.cond(
        tf.cast(self._step, tf.int64) < self._steps,
        act(self._first), act(self._second),
    )

  def _distribution(self, time_step, policy_state):
    raise NotImplementedError(
        'The collect policy has no one distribution while it may explore; '
        'use `action`, or the agent\'s `policy`.'
    )


def until(
    steps: int, step: tf.Variable, first: DreamerPolicy, second: DreamerPolicy,
) -> tf_policy.TFPolicy:
  """A policy that acts by `first` while `step < steps`, then by `second`.

  Args:
    steps: 0 for `first` alone.
    step: Scalar integer variable.
    first: `DreamerPolicy`.
    second: Of the same world model.

  Returns:
    `TFPolicy`.
  """
  return UntilPolicy(steps, step, first, second) if steps else first
