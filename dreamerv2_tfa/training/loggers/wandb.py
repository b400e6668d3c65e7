"""Weights & Biases, the extra [wandb]; set up by its own environment variables.

`WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_MODE=offline`, ... Its files are in
`wandb/` of the run's folder, or in `WANDB_DIR`.
"""

import io
import os
import pathlib

import numpy as np

from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.training import videos
from dreamerv2_tfa.training.loggers import logger
from dreamerv2_tfa.training.loggers import remote_runs

EXTRA = 'wandb', 'wandb'  # the module, and the extra that installs it
_STEP = 'env_frames'  # what W&B draws all else over


class Wandb:
  """Sends to one run of W&B in all sessions; see `logger.Logger`.

  W&B numbers its rows by itself, from 1, and refuses lower numbers; after a
  kill, frames fall. Hence frames are a metric, and the axis of the others. It
  removes nothing: of frames that were taken twice it shows both rows.
  """

  def __init__(self, start: logger.Start):
    """Begins a run, or resumes it by its id.

    Args:
      start: Of the session.
    """
    self._wandb = extras.load(*EXTRA)
    folder = start.folder
    known = remote_runs.read(folder.logged).get('wandb')
    root = folder.root.absolute()
    self._run = self._wandb.init(
        id=known or os.environ.get('WANDB_RUN_ID'), resume='allow',
        dir=os.environ.get('WANDB_DIR') or str(root),
        name=os.environ.get('WANDB_NAME') or root.name,
        # Else it takes the streams, which the bar draws on, and the run that
        # the caller's own program has begun.
        settings=self._wandb.Settings(console='off', reinit='create_new'),
    )
    remote_runs.write(folder.logged, 'wandb', self._run.id)
    self._run.define_metric(_STEP)
    self._run.define_metric('*', step_metric=_STEP)

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Logs a row."""
    self._run.log({_STEP: step, **metrics})

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Logs films as GIF."""
    video = lambda film: self._wandb.Video(
        io.BytesIO(videos.gif(film)), format='gif')
    if films:
      self._run.log(
          {_STEP: step, **{name: video(x) for name, x in films.items()}})

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Logs histograms of the numbers that are finite, if there are any."""
    finite = {name: logger.finite(array) for name, array in arrays.items()}
    found = {name: self._wandb.Histogram(array)
             for name, array in finite.items() if len(array)}
    if found:
      self._run.log({_STEP: step, **found})

  def text(self, name: str, markdown: str) -> None:
    """Saves the text as a file of the run."""
    path = pathlib.Path(self._run.dir, f'{name}.md')
    path.write_text(markdown, encoding='utf-8')
    self._run.save(str(path), base_path=self._run.dir, policy='now')

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """Sets the run's config."""
    self._run.config.update(values, allow_val_change=True)

  def sync(self) -> None:
    """Does nothing: a process of W&B's own writes, and outlives this one."""

  def close(self) -> None:
    """Finishes the session; online, W&B waits until all is sent."""
    self._run.finish()


OPEN = Wandb
