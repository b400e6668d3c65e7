"""Trajectory rows to model inputs: the only place where time is shifted."""

import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import specs
from dreamerv2_tfa import types


def from_trajectory(trajectory, actions: specs.Actions) -> types.Sequence:
  """Aligns `T + 1` stored rows to `T` model rows.

  A stored row holds what happened after its observation, a model row what
  arrived with it:

    stored row  0             1             2
                o_0 a_0       o_1 a_1       o_2 a_2
                r_1 d_1       r_2 d_2       r_3 d_3
    model row                 o_1 a_0       o_2 a_1
                              r_1 d_1       r_2 d_2

  A row whose step type is FIRST starts an episode: its reward and action are 0
  and its continuation 1, whatever the row before says (between LAST and FIRST
  it means nothing). The first model row starts anew as well, in the middle of
  an episode too, but keeps the reward and continuation that led into it: they
  are true of its observation (the published package does the same). The LAST
  row of an episode is a row like any other, and carries the terminal reward.

  Args:
    trajectory: `Trajectory` `[B, T + 1, ...]`, T >= 1, as the collect policy
      stores it: `discount` is 0 only where the environment terminated.
    actions: The agent's `Actions`.

  Returns:
    `Sequence` `[B, T, ...]`; `is_first` is true in the first row.

  Raises:
    ValueError: If there are fewer than two rows.
  """
  length = trajectory.step_type.shape[1]
  if length is not None and length < 2:
    raise ValueError(
        'A training sequence needs two rows or more, because T + 1 rows make '
        f'T model inputs; got {length}. Raise num_steps of the dataset.'
    )
  arrived = lambda x: x[:, 1:]
  led_here = lambda x: x[:, :-1]
  starts = arrived(trajectory.step_type) == ts.StepType.FIRST
  window = tf.zeros_like(starts[:, 1:])
  is_first = starts | tf.concat([tf.ones_like(starts[:, :1]), window], 1)
  reward = tf.cast(led_here(trajectory.reward), tf.float32)
  continue_ = tf.cast(led_here(trajectory.discount), tf.float32)
  prev_action = actions.encode(led_here(trajectory.action))
  observation = specs.flat_observation(trajectory.observation)
  return types.Sequence(
      observation={key: arrived(x) for key, x in observation.items()},
      prev_action=tf.where(starts[..., None], 0.0, prev_action),
      reward=tf.where(starts, 0.0, reward),
      continue_=tf.where(starts, 1.0, continue_),
      is_first=is_first,
  )
