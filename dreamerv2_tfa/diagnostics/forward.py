"""What world model, actor and critic make of replayed rows, for diagnostics."""

from typing import Any
from typing import NamedTuple

import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import distributions
from dreamerv2_tfa import dream
from dreamerv2_tfa import returns
from dreamerv2_tfa import specs
from dreamerv2_tfa import types
from dreamerv2_tfa.experience import sequences
from dreamerv2_tfa.world_model import imagination

CONTEXT = 5  # rows of a window that the model looks at


class Windows(NamedTuple):
  """Of N windows: C rows that the model looks at, and H that it foresees.

  A part is one that the decoder predicts (by `specs.metric_name`), 'reward',
  or 'continue' where the model has been taught where episodes end.
  """

  truth: dict[str, tf.Tensor]      # [N, H, ...]
  open_loop: dict[str, tf.Tensor]  # [N, H, ...]
  filtered: dict[str, tf.Tensor]   # [N, H, ...]
  last: dict[str, tf.Tensor]       # [N, ...], row C
  latents: dict[str, tf.Tensor]    # of `latents`


class Episode(NamedTuple):
  """Of one episode of L rows, and N of them that are imagined from."""

  value: tf.Tensor     # [L] float32, of the critic
  reward: tf.Tensor    # [L] float32, into the row, as the critic counts it
  discount: tf.Tensor  # [L] float32, gamma, or 0 where the episode terminated
  imagined: tf.Tensor  # [N] float32, discounted rewards of the next H steps
  entropy: tf.Tensor   # [L] float32 nats, of the posterior


def windows(
    agent: agent_lib.DreamerV2Agent, rows: Any,
) -> Windows:
  """Looks at the first rows of windows, and foresees the others.

  Args:
    agent: `DreamerV2Agent`.
    rows: `Trajectory` `[N, C + H + 1, ...]`, each inside one episode; C is
      `CONTEXT`.
  """
  model = agent.world_model
  sequence = sequences.from_trajectory(rows, specs.Actions(agent.action_spec))
  posterior, prior = model.rssm.observe(
      model.embed(sequence.observation), sequence.prev_action,
      sequence.is_first, tf.constant([0, 0]))
  part = lambda state, where: tf.nest.map_structure(
      lambda x: x[:, where], state)
  open_loop = dream.rollout_features(
      agent, part(posterior, CONTEXT - 1), rows.action[:, CONTEXT:-1],
      seed=(0, 1))
  filtered = model.rssm.feature(part(posterior, slice(CONTEXT, None)))
  every = _truth(agent, sequence)
  return Windows(
      {key: x[:, CONTEXT:] for key, x in every.items()},
      _predicted(agent, open_loop), _predicted(agent, filtered),
      {key: x[:, CONTEXT - 1] for key, x in every.items()},
      latents(posterior, prior))


def knows_ends(agent: agent_lib.DreamerV2Agent) -> bool:
  """Whether the world model has been taught where episodes end."""
  return 'discount' in agent.world_model.loss_names and agent.gamma > 0


def _truth(agent, sequence):
  """What the parts were: `[N, T, ...]`."""
  found = {specs.metric_name(key): sequence.observation[key]
           for key in agent.world_model.decoded_keys}
  found['reward'] = agent.world_model.transformed(sequence.reward)
  if knows_ends(agent):
    found['continue'] = sequence.continue_
  return found


def _predicted(agent, feature):
  """What the model predicts of them from features `[N, T, F]`."""
  model = agent.world_model
  parts = dream.decoded(agent, feature, model.decoded_keys)
  found = {specs.metric_name(key): x for key, x in parts.items()}
  found['reward'] = model.reward(feature)
  if knows_ends(agent):
    found['continue'] = model.continue_prob(feature)
  return found


def latents(
    posterior: types.RSSMState, prior: types.RSSMState,
) -> dict[str, tf.Tensor]:
  """How much each latent says, means over rows.

  Args:
    posterior: `[N, T, ...]`.
    prior: Of the same rows.

  Returns:
    float32 `[S]` in nats: 'kl' of posterior and prior, 'posterior_entropy',
    'prior_entropy'; of categorical latents also 'use' `[S, C]`, the mean
    probability of each class.
  """
  mean = lambda x: tf.reduce_mean(x, [0, 1])
  if isinstance(posterior, types.GaussianState) and isinstance(
      prior, types.GaussianState):
    spread = lambda state: 0.5 + 0.5 * tf.math.log(
        2 * 3.14159265) + tf.math.log(tf.cast(state.std, tf.float32))
    ratio = tf.square(posterior.std / prior.std)
    apart = tf.square((posterior.mean - prior.mean) / prior.std)
    kl = 0.5 * (tf.cast(ratio + apart, tf.float32) - 1.0
                - tf.math.log(tf.cast(ratio, tf.float32)))
    return {'kl': mean(kl), 'posterior_entropy': mean(spread(posterior)),
            'prior_entropy': mean(spread(prior))}
  both: Any = posterior, prior  # categorical
  logs = [tf.nn.log_softmax(tf.cast(state.logits, tf.float32))
          for state in both]
  probs = [tf.exp(x) for x in logs]
  return {
      'kl': mean(tf.reduce_sum(probs[0] * (logs[0] - logs[1]), -1)),
      'posterior_entropy': -mean(tf.reduce_sum(probs[0] * logs[0], -1)),
      'prior_entropy': -mean(tf.reduce_sum(probs[1] * logs[1], -1)),
      'use': mean(probs[0]),
  }


def episode(
    agent: agent_lib.DreamerV2Agent, rows: trajectories.Trajectory,
    starts: Any,
) -> Episode:
  """Values along an episode, and what is imagined from some of its rows.

  The actor is sampled there, as it is in training.

  Args:
    agent: `DreamerV2Agent`.
    rows: `[1, L + 1, ...]`.
    starts: int `[N]`, of the L model rows.
  """
  model, behaviour = agent.world_model, agent.actor_critic
  posterior, sequence = dream.recall(agent, rows, (0, 0))
  states = tf.nest.map_structure(lambda x: x[0], posterior)
  feature = model.rssm.feature(states)
  discount = agent.gamma * sequence.continue_[0]
  rollout = imagination.imagine(
      model.rssm, behaviour.actor,
      tf.nest.map_structure(lambda x: tf.gather(x, starts), states),
      horizon=behaviour.horizon, seed=tf.constant([0, 1]),
      differentiable=False)
  weights = returns.state_weights(model.rollout_discount(
      rollout.feature, tf.gather(discount, starts)))
  rewards = behaviour.normalised(model.reward(rollout.feature))
  return Episode(
      behaviour.critic(feature).mode(),
      behaviour.normalised(model.transformed(sequence.reward[0])), discount,
      tf.reduce_sum((weights * rewards)[1:], 0),
      distributions.latent(states).entropy())
