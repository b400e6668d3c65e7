"""The learned world model as a TF-Agents environment, and what it foresees."""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from tf_agents.environments import tf_environment
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectory_lib

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import noise
from dreamerv2_tfa import specs
from dreamerv2_tfa import types
from dreamerv2_tfa.experience import sequences
from dreamerv2_tfa.world_model import imagination
from dreamerv2_tfa.world_model import world_model as world_model_lib

_OBSERVATIONS = ('feature', 'decoded')
_LIKELY = 0.5  # an episode ends where its continue probability is lower


class DreamEnvironment(tf_environment.TFEnvironment):
  """A batch of episodes that happen in the world model alone.

    step        0        1      ...    k           or   H = horizon
    state     start --> prior   ...   prior             prior
    reward      0       head    ...   head              head
    discount    1     continue  ...    0              continue
    step type FIRST     MID     ...   LAST              LAST

  The reward is the mode of the reward head: what the model was taught, so after
  `WorldModel.reward_transform`. The discount is the predicted chance of going
  on, without gamma, which an agent of TF-Agents multiplies by its own. Where it
  falls below a half, the episode has ended and the discount is 0; the horizon
  is a time limit, and keeps it.

  A step after LAST begins the next episode of that environment and ignores its
  action.
  Rows are independent. The same seed and actions give the same episodes. The
  agent's weights are read as they are at each step, those of `start_from` as
  they were then.

  Attributes:
    state: tf.train.Checkpoint of all that the next steps depend on, random
      numbers included, but the agent.
  """

  def __init__(
      self, agent: agent_lib.DreamerV2Agent,
      trajectory: trajectory_lib.Trajectory | None = None, *,
      observe: str = 'feature', horizon: int = 15, batch_size: int = 16,
      seed: int = 0,
  ):
    """Prepares the episodes; the first step begins them.

    Args:
      agent: Whose world model it is.
      trajectory: As in `start_from`. None: episodes begin in the prior of a
        first row. Training windows begin anywhere, so this may be the midst of
        an episode.
      observe: 'feature', float32 `[F]`: z and h; or 'decoded': the mode of
        what the model would see, in the form of the agent's own observations.
      horizon: int H, steps an episode at most.
      batch_size: Episodes side by side.
      seed: The same seed gives the same episodes.

    Raises:
      ValueError: If a setting cannot be used.
    """
    checks.choice('DreamEnvironment.observe', observe, _OBSERVATIONS)
    horizon = checks.integer('DreamEnvironment.horizon', horizon)
    batch_size = checks.integer('DreamEnvironment.batch_size', batch_size)
    seed = checks.integer('DreamEnvironment.seed', seed, 0, 2**63 - 1)
    rssm = agent.world_model.rssm
    # Refuses where the model was not taught where episodes end.
    agent.world_model.continue_prob(tf.zeros([1, rssm.feature_size]))
    if observe == 'feature':
      seen = tf.TensorSpec([rssm.feature_size], tf.float32, 'feature')
    else:
      seen = agent.time_step_spec.observation
      _check_decoder(agent)
    super().__init__(ts.time_step_spec(seen), agent.action_spec, batch_size)  # pyright: ignore[reportArgumentType]
    self._agent = agent
    self._observe = observe
    self._horizon = horizon
    self._actions = specs.Actions(agent.action_spec)
    variable = lambda x, shape=None: tf.Variable(
        x, trainable=False, shape=shape
    )
    latents = tf.nest.flatten(rssm.initial(batch_size))
    self.state = tf.train.Checkpoint(
        steps=variable(tf.fill([batch_size], -1)),  # -1 before any episode
        latent=[variable(x) for x in latents],
        starts=[variable(x[:0], [None] + x.shape[1:]) for x in latents],
        # The seed is the key: as a counter, neighbours would overlap.
        random=tf.random.Generator.from_key_counter(seed, [0, 0], 'philox'),
    )
    if trajectory is not None:
      self.start_from(trajectory)

  def start_from(self, trajectory: trajectory_lib.Trajectory) -> None:
    """Makes the next episodes begin in posteriors of replayed rows.

    Args:
      trajectory: `Trajectory` `[B, T + 1, ...]`. Every row but the first gives
        a posterior; those that ended an episode are left out.

    Raises:
      ValueError: If every row did.
    """
    posterior, sequence = recall(self._agent, trajectory, self._seed())
    alive = sequence.continue_ > 0
    if not tf.reduce_any(alive):
      raise ValueError(
          'Every row of the trajectory ends an episode; wanted one or more to '
          'begin from. Draw more rows.'
      )
    for kept, x in zip(
        self.state.starts, tf.nest.flatten(posterior), strict=True
    ):
      kept.assign(tf.boolean_mask(x, alive))

  def _current_time_step(self):
    steps = self.state.steps.read_value()
    return tf.cond(
        tf.reduce_any(steps < 0), self._reset,
        lambda: self._look(steps, self._pack(self.state.latent)),
    )

  def _reset(self):
    return self._keep(tf.zeros_like(self.state.steps), self._start())

  def _step(self, action):
    rssm = self._agent.world_model.rssm
    steps = self.state.steps.read_value()
    latent = self._pack(self.state.latent)
    restart = (steps < 0) | self._is_last(steps, self._continue_prob(latent))
    action = self._actions.encode(tf.convert_to_tensor(action))
    moved = rssm.img_step(latent, action, self._seed())
    latent = tf.nest.map_structure(
        lambda new, old: tf.where(
            tf.reshape(restart, [-1] + [1] * (old.shape.rank - 1)), new, old
        ), self._start(), moved,
    )
    return self._keep(tf.where(restart, 0, steps + 1), latent)

  def _start(self):
    """A state to begin in for each environment: `RSSMState` `[B, ...]`."""
    rssm = self._agent.world_model.rssm
    nothing = tf.zeros([self.batch_size, self._actions.size])
    first = lambda: rssm.img_step(
        rssm.initial(self.batch_size), nothing, self._seed()
    )
    count = tf.shape(self.state.starts[0])[0]

    def replayed():
      draws = noise.uniform([self.batch_size], self._seed())
      index = tf.cast(draws * tf.cast(count, tf.float32), tf.int32)
      return self._pack([tf.gather(x, index) for x in self.state.starts])

    return tf.cond(count > 0, replayed, first)

  def _keep(self, steps, latent):
    self.state.steps.assign(steps)
    for kept, x in zip(self.state.latent, tf.nest.flatten(latent), strict=True):
      kept.assign(x)
    return self._look(steps, latent)

  def _look(self, steps, latent):
    """The `TimeStep` of a state; `steps` is int32 `[B]`."""
    model = self._agent.world_model
    feature, first = model.rssm.feature(latent), steps == 0
    continue_prob = self._continue_prob(latent)
    last = self._is_last(steps, continue_prob)
    alive = first | (continue_prob >= _LIKELY)
    discount = tf.where(first, 1.0, tf.where(alive, continue_prob, 0.0))
    step_type = tf.where(
        first, ts.StepType.FIRST,
        tf.where(last, ts.StepType.LAST, ts.StepType.MID),
    )
    if self._observe == 'feature':
      observation = tf.cast(feature, tf.float32)
    else:
      observation = _observation(self._agent, feature)
    reward = tf.where(first, 0.0, model.reward(feature))
    return ts.TimeStep(step_type, reward, discount, observation)

  def _is_last(self, steps, continue_prob):
    return (steps > 0) & ((continue_prob < _LIKELY) | (steps >= self._horizon))

  def _continue_prob(self, latent):
    model = self._agent.world_model
    return model.continue_prob(model.rssm.feature(latent))

  def _pack(self, parts):
    like = self._agent.world_model.rssm.initial(1)
    return tf.nest.pack_sequence_as(
        like, [tf.convert_to_tensor(part) for part in parts]
    )

  def _seed(self):
    seeds = self.state.random.make_seeds()
    return tf.cast(seeds[:, 0], tf.int32)


def recall(
    agent: agent_lib.DreamerV2Agent, trajectory: trajectory_lib.Trajectory,
    seed: Any = (0, 0), *, sample: bool = True,
) -> tuple[types.RSSMState, types.Sequence]:
  """Filters replayed rows: what the agent believed at each of them.

  Args:
    agent: `DreamerV2Agent`.
    trajectory: `Trajectory` `[B, T + 1, ...]`, as `agent.train` takes it.
    seed: int32 `[2]`.
    sample: False takes the mode of each posterior.

  Returns:
    Posterior, `RSSMState` `[B, T, ...]`, of every row but the first, and the
    `Sequence` `[B, T, ...]` it was made from.
  """
  sequence = sequences.from_trajectory(
      trajectory, specs.Actions(agent.action_spec)
  )
  model = agent.world_model
  posterior, _ = model.rssm.observe(
      model.embed(sequence.observation), sequence.prev_action,
      sequence.is_first, tf.convert_to_tensor(seed), sample=sample,
  )
  return posterior, sequence


def rollout_actions(
    agent: agent_lib.DreamerV2Agent, start: types.RSSMState, actions: tf.Tensor,
    *, seed: Any = (0, 0), sample: bool = True,
) -> types.Foresight:
  """What the world model foresees of given actions, without looking again.

  Args:
    agent: `DreamerV2Agent`.
    start: `RSSMState` `[N, ...]`, for example of what `recall` returns.
    actions: `[N, H, ...]`, as the environment takes them.
    seed: int32 `[2]`.
    sample: False takes the mode of each latent.

  Returns:
    `Foresight` `[N, H, ...]`: index k is what action k leads to.

  Raises:
    ValueError: If the decoder does not predict every part of an observation.
  """
  _check_decoder(agent)
  return foresee(
      agent, rollout_features(agent, start, actions, seed=seed, sample=sample))


def rollout_features(
    agent: agent_lib.DreamerV2Agent, start: types.RSSMState, actions: tf.Tensor,
    *, seed: Any = (0, 0), sample: bool = True,
) -> tf.Tensor:
  """The features `[N, H, F]` of what `rollout_actions` foresees.

  Args are those of `rollout_actions`.
  """
  rssm = agent.world_model.rssm
  inside = specs.Actions(agent.action_spec).encode(actions)
  states = imagination.rollout_actions(
      rssm, start, tf.transpose(inside, [1, 0, 2]),
      seed=tf.convert_to_tensor(seed), sample=sample,
  )
  return tf.transpose(rssm.feature(states), [1, 0, 2])


def foresee(
    agent: agent_lib.DreamerV2Agent, feature: tf.Tensor,
) -> types.Foresight:
  """What the heads make of features `[..., F]`: `Foresight` `[...]`."""
  model = agent.world_model
  return types.Foresight(
      _observation(agent, feature), model.reward(feature),
      model.continue_prob(feature),
  )


def decoded(
    agent: agent_lib.DreamerV2Agent, feature: tf.Tensor, keys: Iterable[str],
) -> dict[str, tf.Tensor]:
  """The most likely parts of an observation, as the environment gives them.

  Args:
    agent: `DreamerV2Agent`.
    feature: `[..., F]`.
    keys: Of the parts, of `specs.flat_observation`; the decoder has them.
  """
  parts = specs.flat_observation(agent.time_step_spec.observation)
  predictions = agent.world_model.decode(feature)
  return {
      key: world_model_lib.restore(predictions[key].mode(), parts[key])
      for key in keys
  }


def _observation(agent, feature):
  """The most likely observation, packed as the environment does."""
  spec = agent.time_step_spec.observation
  return tf.nest.pack_sequence_as(
      spec, list(decoded(agent, feature, specs.flat_observation(spec)).values())
  )


def _check_decoder(agent):
  wanted = specs.flat_observation(agent.time_step_spec.observation)
  if missing := sorted(set(wanted) - set(agent.world_model.decoded_keys)):
    raise ValueError(
        f'The decoder does not predict {missing} of the observation '
        f"{sorted(wanted)}. Use observe='feature', or an agent whose "
        'Decoder.image_keys and Decoder.vector_keys match them.'
    )
