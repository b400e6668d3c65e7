"""A video of episodes: what the environment draws, and what the model sees."""

import os
import pathlib
from typing import Any

import cv2
import numpy as np
import tensorflow as tf
from tf_agents.environments import tf_environment

from dreamerv2_tfa import checks
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.training import videos

ENDINGS = ('.mp4', '.gif')
_FPS = 15  # agent steps a second: Atari's speed, at four frames a step
_GAP = 4  # pixels between the pictures
_HEIGHT = 256  # pixels of the model's view, where nothing is beside it


class Film:
  """Films the first episodes of the first environment, as a driver's observer.

    row         o_0 a_0     o_1 a_1    ...   LAST      FIRST
    drawn   d_0 --------d_1 -------d_2      ------d_0'
    frame       (d_0, o_0)  (d_1, o_1)       (d_T, o_T)

  An observer sees a row after the environment has taken its step, so what was
  drawn before belongs to it. An episode of T steps has T + 1 frames; one that
  was cut has T.

  Attributes:
    frames: Written so far, an int.
  """

  def __init__(
      self, path: pathlib.Path, environment: tf_environment.TFEnvironment,
      episodes: int,
  ):
    """Draws nothing yet: an environment that was not reset has no picture.

    Args:
      path: Of the file, which ends in one of `ENDINGS`.
      environment: That is played, in this process.
      episodes: How many are filmed.
    """
    for device in ('VIDEO', 'AUDIO'):  # pygame opens no window and no sound
      os.environ.setdefault(f'SDL_{device}DRIVER', 'dummy')
    self._environment, self._episodes = environment, episodes
    observed = specs.flat_observation(environment.observation_spec())
    self._keys = [
        key for key, spec in observed.items() if videos.is_picture(spec)]
    make = _Gif if path.suffix.lower() == '.gif' else _Mp4
    self._final = path
    self._partial = path.with_name(f'.{path.stem}.part{path.suffix}')
    self._file = make(self._partial)
    self._drawn = None
    self.frames = self._filmed = 0

  def begin(self) -> None:
    """Draws the first picture of an episode.

    Raises:
      UserError: If the environment draws nothing and no picture is observed.
    """
    if self._filmed < self._episodes:
      self._drawn = batch.render(self._environment)
    if self._drawn is None and not self._keys:
      observed = specs.flat_observation(self._environment.observation_spec())
      shown = ', '.join(
          f'{key} {spec.dtype.name} {list(spec.shape)}'
          for key, spec in observed.items())
      raise checks.UserError(
          '--video needs pictures: got an environment that draws nothing and '
          f'shows {shown}; wanted a render() that returns uint8 [height, '
          'width, 3], or a picture among the observations. Give the '
          'environment a render(), install what its render() needs, or leave '
          '--video out.'
      )

  def __call__(self, trajectory):
    """Observes a row `[B]`, in the driver."""
    observed = specs.flat_observation(trajectory.observation)
    views = [observed[key][0] for key in self._keys]
    done = tf.numpy_function(
        self._note, [trajectory.is_boundary()[0], *views], tf.bool)
    with tf.control_dependencies([done]):
      return tf.identity(done)

  def _note(self, is_boundary, *views):
    """Writes the frame of a row, and draws the next one."""
    try:
      if self._filmed < self._episodes:
        pictures = [] if self._drawn is None else [self._drawn]
        self._file.add(_beside(pictures, views))
        self.frames += 1
        self._filmed += int(is_boundary)
        if self._filmed < self._episodes:
          self._drawn = batch.render(self._environment)
      return np.bool_(True)
    except Exception as error:
      raise faults.note(error)  # noqa: B904, the error itself

  def close(self) -> None:
    """Ends the file, where there is a frame in it."""
    self._file.close()
    if self.frames:
      self._partial.replace(self._final)
    else:
      self._partial.unlink(missing_ok=True)


class _Mp4:
  """An MP4 file of VP9, which OpenCV's wheel can write and browsers show."""

  def __init__(self, path):
    self._path, self._writer = path, None

  def add(self, frame):
    height, width = frame.shape[:2]
    frame = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), 'edge')
    if self._writer is None:
      code: Any = cv2.VideoWriter.fourcc(*'vp09')
      size = frame.shape[1], frame.shape[0]
      self._writer = cv2.VideoWriter(str(self._path), code, _FPS, size)
      if not self._writer.isOpened():
        raise checks.UserError(
            f'OpenCV cannot write MP4 to {self._path.parent}. Give '
            '--video=FILE.gif, or another folder.')
    self._writer.write(frame[..., ::-1])  # OpenCV's order is BGR

  def close(self):
    if self._writer is not None:
      self._writer.release()


class _Gif:
  """A GIF file; its frames are in memory until it is closed."""

  def __init__(self, path):
    self._path, self._frames = path, []

  def add(self, frame):
    from PIL import Image  # slow to import

    self._frames.append(Image.fromarray(frame).quantize())

  def close(self):
    if self._frames:
      # A GIF counts in hundredths of a second: some frames are longer.
      ends = [round(100 * i / _FPS) for i in range(len(self._frames) + 1)]
      self._frames[0].save(
          self._path, save_all=True, append_images=self._frames[1:],
          duration=[10 * x for x in np.diff(ends).tolist()], loop=0)


def _beside(drawn, views):
  """Pictures side by side, uint8 `[height, width, 3]`.

  Args:
    drawn: List of uint8 `[height, width, 3]`, kept as they are.
    views: Of uint8 `[height, width, 1 or 3]`; each pixel becomes a square, as
      large as fits.
  """
  height = max([len(each) for each in drawn], default=_HEIGHT)
  scaled = [
      np.kron(np.broadcast_to(view, (*view.shape[:2], 3)),
              np.ones([max(height // len(view), 1)] * 2 + [1], np.uint8))
      for view in views]
  pictures = [*drawn, *scaled]
  height = max(map(len, pictures))
  cells = []
  for picture in pictures:
    above = (height - len(picture)) // 2
    below = height - len(picture) - above
    cells.append(np.pad(picture, (
        (above, below), (0 if not cells else _GAP, 0), (0, 0))))
  return np.concatenate(cells, axis=1)
