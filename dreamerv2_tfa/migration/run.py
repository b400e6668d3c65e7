"""A run of the published package becomes one of ours, which then resumes."""

from collections.abc import Sequence
import contextlib
import os
import pathlib
from typing import NamedTuple

import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.migration import episodes
from dreamerv2_tfa.migration import order
from dreamerv2_tfa.migration import weights
from dreamerv2_tfa.training import train as train_lib


class PublishedRun(NamedTuple):
  """What a run of the published package has beside its weights."""

  folder: pathlib.Path
  steps: int  # agent steps taken
  updates: int
  episodes: list[pathlib.Path]  # oldest first


def import_run(
    published: str | os.PathLike, root_dir: str | os.PathLike, *,
    keys: Sequence[str] | None = None, presets: Sequence[str] = (),
) -> None:
  """Makes a run of the published package into one that `train` resumes.

  The new run has its weights, its episodes as stored rows, and its counts of
  steps and updates; without episodes it starts at 0, with random play. Its
  settings are those of `settings.read`, bound with gin.

  Args:
    published: Its log folder, see `load`.
    root_dir: Folder of the new run, which holds none yet.
    keys: Keys of the observation in the order of its environment; None: as
      the episodes say it, see `order.of_run`.
    presets: Names of the gin files, for the record.

  Raises:
    ValueError: If the folder holds a run, a setting cannot be used, or the
      weights or an episode do not fit.
  """
  with train_lib.built(root_dir, presets, None, trains=False) as run:
    agent = run.parts.agent
    old = load(agent, published, keys)
    trainer, reporter = train_lib.open_run(run)
    with contextlib.closing(reporter):
      if trainer.steps or trainer.updates or trainer.commit.stored_rows:
        raise ValueError(
            f'{run.folder.root} holds a run already. Take another --root_dir.'
        )
      for file in old.episodes:
        rows = episodes.read(file, agent.collect_data_spec)
        trainer.add_rows(tf.nest.map_structure(lambda x: x[:, None], rows))
      reporter.tell_skipped_rows()
      if old.episodes:
        run.parts.steps.environment_steps.assign(old.steps)
        agent.train_step_counter.assign(
            run.settings.timetable.updates_due(old.steps)
        )
      trainer.count()
      trainer.mark_begun()
      trainer.save(reporter.progress)
      trainer.export(reporter.progress)
      run.record()
      reporter.progress.say(
          f'Imported {old.folder}: the weights after {old.steps:,} agent steps '
          f'and {old.updates:,} updates, {len(old.episodes):,} episodes. '
          'bin/train with the same flags resumes from here.'
      )


def load(
    agent: agent_lib.DreamerV2Agent, folder: str | os.PathLike,
    keys: Sequence[str] | None = None,
) -> PublishedRun:
  """Loads the weights of a published run into an agent, and finds its episodes.

  Args:
    agent: Whose weights are replaced.
    folder: Log folder, with `variables.pkl` and perhaps `train_episodes/`.
    keys: As in `import_run`.

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
  return PublishedRun(folder, found['step'], found['updates'], files)
