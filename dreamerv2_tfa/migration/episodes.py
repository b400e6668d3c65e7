"""The published package's episode files to rows of replay."""

import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import reading
from dreamerv2_tfa import specs

_FLAGS = ('reward', 'is_first', 'is_last', 'is_terminal', 'action')


def read(path: str | os.PathLike, data_spec: Any) -> trajectory.Trajectory:
  """Reads one episode file, `<time>-<id>-<length>.npz`.

  A row of the file holds what arrived with its observation, a stored row what
  happened after it:

    file        o_0 (0)       o_1 a_0 r_1   o_2 a_1 r_2     (a_t led to t + 1)
    stored row  o_0 a_0 r_1   o_1 a_1 r_2   o_2 -   -       the boundary row

  Args:
    path: The file. Its actions are one-hot, or in [-1, 1].
    data_spec: The agent's `collect_data_spec`.

  Returns:
    `Trajectory` of numpy arrays `[L + 1, ...]` for an episode of L steps.

  Raises:
    ValueError: If the file is no such episode, or does not fit the spec.
  """
  try:
    episode = reading.arrays(pathlib.Path(path))
  except ValueError as error:
    raise ValueError(f'{path} is no episode file: {error}.') from error
  wanted = specs.flat_observation(data_spec.observation)
  if taken := sorted(set(wanted) & set(_FLAGS)):
    raise ValueError(
        f'The observation {", ".join(taken)} has the name of another column of '
        'an episode file, so the published package has not stored it. Leave '
        'it out of the environment, or start without --from.'
    )
  lacking = [key for key in (*_FLAGS, *wanted) if key not in episode]
  if lacking:
    raise ValueError(
        f'{path} lacks {", ".join(lacking)}; it holds '
        f'{", ".join(sorted(episode))}. Take the task it was recorded in.'
    )
  length = len(episode['reward'])
  for key, spec in wanted.items():
    shape = (length, *spec.shape.as_list())
    if episode[key].shape != shape:
      raise ValueError(
          f'{path}: {key} has shape {list(episode[key].shape)}; wanted '
          f'{list(shape)}. Take the task and the image size of its recording.'
      )
  return _rows(path, episode, data_spec)


def _rows(path, episode, data_spec):
  actions = specs.Actions(data_spec.action)
  inside = episode['action'].astype(np.float32)
  if inside.ndim != 2 or inside.shape[1] != actions.size:
    raise ValueError(
        f'{path}: the actions have shape {list(inside.shape)}; this task has '
        f'{actions.size} of them (or numbers in one). Take its own task.'
    )
  # What led into a row moves to the row before; the last one starts an episode.
  before = lambda x, last: np.concatenate([x[1:], [last]]).astype(x.dtype)
  mid = np.full(len(inside), ts.StepType.MID, np.int32)
  types = np.where(episode['is_last'], ts.StepType.LAST, mid)
  types = np.where(episode['is_first'], ts.StepType.FIRST, types)
  keys = iter(specs.flat_observation(data_spec.observation).items())

  def observation(spec):
    key, _ = next(keys)
    return episode[key].astype(spec.dtype.as_numpy_dtype)

  discount = 1.0 - episode['is_terminal'].astype(np.float32)
  return trajectory.Trajectory(
      step_type=types.astype(np.int32),
      observation=tf.nest.map_structure(observation, data_spec.observation),
      action=actions.decode(before(inside, np.zeros_like(inside[0]))).numpy(),  # pyright: ignore[reportArgumentType]
      policy_info=(),
      next_step_type=before(types, ts.StepType.FIRST).astype(np.int32),
      reward=before(episode['reward'].astype(np.float32), 0.0),
      discount=before(discount, 1.0),
  )


def find(folder: str | os.PathLike) -> list[pathlib.Path]:
  """Episode files below a run's folder, oldest first: list of paths.

  Args:
    folder: The published package's log folder, with `train_episodes/`.
  """
  return sorted((pathlib.Path(folder) / 'train_episodes').glob('*.npz'))
