"""What is looked at where an evaluation has ended: films and diagnostics."""

import numpy as np

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.diagnostics import diagnosis
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.experience import buffer as buffer_lib
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

  def films(self) -> dict[str, np.ndarray]:
    """Films by name, see `videos.Videos`; {} where none are wanted."""
    if self._videos is None or self.recorder is None:
      return {}
    return self._videos.films(self.recorder.episode(), len(self.recorder.rows))

  def diagnose(self) -> diagnosis.Diagnosis | None:
    """Diagnostics of the last evaluation; None where none are wanted."""
    if self._examiner is None or self.recorder is None:
      return None
    return self._examiner.examine(self.recorder)
