"""Trajectory rows to model inputs: the only place where time is shifted."""

from typing import Any

import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa import specs
from dreamerv2_tfa import types


def from_trajectory(
    trajectory: trajectories.Trajectory, actions: specs.Actions
) -> types.Sequence:
  """Aligns `T + 1` stored rows to `T` model rows.

  A stored row has the action and reward after its observation, a model row
  those before it:

    stored row  0             1             2
                o_0 a_0       o_1 a_1       o_2 a_2
                r_1 d_1       r_2 d_2       r_3 d_3
    model row                 o_1 a_0       o_2 a_1
                              r_1 d_1       r_2 d_2

  A row with step type FIRST starts an episode: its reward and action are 0 and
  its continuation is 1, because the action between LAST and FIRST means
  nothing. The first model row has `is_first` too, even in the middle of an
  episode, but keeps the reward and continuation that led into it: they belong
  to its observation (as in the published package). The LAST row of an episode
  has the terminal reward.

  Args:
    trajectory: `[B, T + 1, ...]`, T >= 1, as the collect policy stores it:
      `discount` is 0 only at a termination.
    actions: Encodes the actions.

  Returns:
    `[B, T, ...]`; `is_first` is true in the first row.

  Raises:
    ValueError: If there are fewer than two rows.
  """
  step_type: Any = trajectory.step_type
  length = step_type.shape[1]
  if length is not None and length < 2:
    raise ValueError(
        'A training sequence needs two rows or more, because T + 1 rows make '
        f'T model inputs; got {length}. Raise num_steps of the dataset.'
    )
  arrived = lambda x: x[:, 1:]
  led_here = lambda x: x[:, :-1]
  starts = arrived(step_type) == ts.StepType.FIRST
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
