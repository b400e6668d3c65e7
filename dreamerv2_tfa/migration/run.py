"""A run's folder of the published package, looked through before it is used."""

import pathlib
from typing import NamedTuple

from dreamerv2_tfa.migration import episodes
from dreamerv2_tfa.migration import order
from dreamerv2_tfa.migration import weights


class Run(NamedTuple):
  """What an old run leaves beside its weights."""

  folder: pathlib.Path
  steps: int  # agent steps taken
  updates: int
  episodes: list[pathlib.Path]  # oldest first


def load(agent, folder, keys=None):
  """Puts an old run's weights into an agent and looks at its episodes.

  Args:
    agent: `DreamerV2Agent`.
    folder: Log folder, with `variables.pkl` and perhaps `train_episodes/`.
    keys: Keys of the observation in the order of its environment; None: as
      the episodes say it, see `order.of_run`.

  Returns:
    `Run`.

  Raises:
    ValueError: If there is no such file, or it does not fit the agent, or the
      order of the keys cannot be known; of the episodes the newest is read.
  """
  folder = pathlib.Path(folder)
  path = folder / 'variables.pkl'
  if not path.is_file():
    raise ValueError(
        f'There is no {path}. Give the log folder of a run of the published '
        'package with --from=DIR.'
    )
  files = episodes.find(folder)
  if files:
    episodes.read(files[-1], agent.collect_data_spec)
  images, vectors, decoded = weights.joined(agent)
  images += tuple(key for key in decoded if key not in images)
  keys = order.of_run(files, keys, [list(images), list(vectors)])
  found = weights.load(agent, path, keys)
  return Run(folder, found['step'], found['updates'], files)
