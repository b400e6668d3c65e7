"""TensorBoard's events: `train/` and `eval/` in the run's folder."""

import numpy as np
from tensorboard.plugins.hparams import summary_v2 as hparams_lib
from tensorboard.plugins.image import metadata as image_metadata
import tensorflow as tf

from dreamerv2_tfa.training import events
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import videos
from dreamerv2_tfa.training.loggers import described
from dreamerv2_tfa.training.loggers import layout
from dreamerv2_tfa.training.loggers import logger

EXTRA = None


class TensorBoard:
  """Writes events; see `logger.Logger`.

    train/    reports, with their histograms; texts, and the charts of the tab
              CUSTOM SCALARS, at step 0
    eval/     evaluations, with their histograms and films; settings, for the
              tab HPARAMS, at step 0
  """

  def __init__(self, start: logger.Start):
    """Opens files for what comes after the start, see `events.writer`.

    Args:
      start: Of the session.
    """
    folder = start.folder
    fresh = not folder.train_events.is_dir()
    self._events = {
        'train': events.writer(folder.train_events, start.reported),
        'eval': events.writer(folder.eval_events, start.evaluated),
    }
    self._kind = 'train'  # of what was written last
    # Those of the session before: this one has written none yet.
    self._there = {} if fresh else described.texts(folder)
    if fresh:
      with self._events['train'].as_default(step=0):
        tf.summary.experimental.write_raw_pb(layout.charts())

  def write(self, step: int, metrics: dict[str, float]) -> None:
    """Writes a scalar each."""
    self._kind = metrics_lib.kind(metrics)
    with self._events[self._kind].as_default(step=step):
      for key, value in metrics.items():
        tf.summary.scalar(key, value)
    self._events[self._kind].flush()

  def film(self, step: int, films: dict[str, np.ndarray]) -> None:
    """Writes films as animated images."""
    with self._events['eval'].as_default(step=step):
      for name, film in films.items():
        height, width = film.shape[1:3]
        tf.summary.write(
            name, tf.constant([str(width), str(height), videos.gif(film)]),
            metadata=image_metadata.create_summary_metadata(name, ''))
    self._events['eval'].flush()

  def histograms(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Writes histograms of the numbers that are finite, if there are any."""
    with self._events[self._kind].as_default(step=step):
      for name, array in arrays.items():
        finite = logger.finite(array)
        if len(finite):
          tf.summary.histogram(name, finite)
    self._events[self._kind].flush()

  def text(self, name: str, markdown: str) -> None:
    """Writes a text that the session before had not."""
    if self._there.get(name) == markdown:
      return
    with self._events['train'].as_default(step=0):
      tf.summary.text(name, markdown)
    self._events['train'].flush()

  def hparams(self, values: dict[str, bool | int | float | str]) -> None:
    """Writes the settings of the first session, which TensorBoard shows."""
    if self._there:
      return
    with self._events['eval'].as_default(step=0):
      hparams_lib.hparams(values)
    self._events['eval'].flush()

  def sync(self) -> None:
    """Does nothing: each call writes its events."""

  def close(self) -> None:
    """Closes the files."""
    for each in self._events.values():
      each.close()


OPEN = TensorBoard
