"""What is looked at where an evaluation has ended: films and diagnostics."""

import json
from typing import Any

import numpy as np

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import durable
from dreamerv2_tfa.diagnostics import diagnosis
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import videos


class Looks:
  """Films and diagnoses a run: the newest rows of replay, and an episode.

  The run is the same without: nothing is written to agent or replay, and no
  random state changes.

  Attributes:
    recorder: `Recorder` that observes evaluations; None where nothing is
      looked at.
  """

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, buffer: buffer_lib.Buffer,
      settings: settings_lib.Settings,
  ):
    """Computes nothing yet.

    Args:
      agent: Of the run.
      buffer: Of the run.
      settings: Of the run: `videos` and `diagnostics`.
    """
    wanted = settings.videos or settings.diagnostics
    self.recorder = recorder_lib.Recorder() if wanted else None
    self._videos = videos.Videos(agent, buffer) if settings.videos else None
    self._examiner = (
        diagnosis.Examiner(agent, buffer) if settings.diagnostics else None)

  def begin(self) -> None:
    """An evaluation begins."""
    if self.recorder is not None:
      self.recorder.clear()

  def write(
      self, writer: Any, folder: runs.RunFolder, frames: int,
      metrics: dict[str, float],
  ) -> None:
    """Writes the last evaluation, and what else there is to see of it.

    Args:
      writer: `loggers.group.Group`.
      folder: Where curves are written.
      frames: Environment frames of the run so far.
      metrics: Of the evaluation.
    """
    found, films = self.look()
    writer.write(frames, metrics)
    writer.film(frames, films)
    if found is None:
      return
    if found.metrics:
      writer.write(frames, found.metrics)
    writer.histograms(frames, {
        f'histograms/{name}': x for name, x in found.histograms.items()})
    durable.write_text(folder.curves, json.dumps(
        {'step': frames, **found.curves}) + '\n')

  def look(
      self,
  ) -> tuple[diagnosis.Diagnosis | None, dict[str, np.ndarray]]:
    """Looks at the last evaluation.

    Returns:
      Diagnostics, None where none are wanted; and films by name, see
      `videos.Videos`.
    """
    found, films = None, {}
    if self.recorder is not None:
      rows, episode = len(self.recorder.rows), self.recorder.episode()
      if self._examiner is not None:
        found = self._examiner.examine(self.recorder, episode)
      if self._videos is not None:
        films = self._videos.films(episode, rows)
    return found, films
