"""What the world model foresees, as videos beside what happened."""

import io

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import dream
from dreamerv2_tfa import specs
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import windows

CONTEXT = 5  # frames that the model looks at
_HORIZONS = (45, 20, 5)  # frames that it foresees: the first that rows allow
_WINDOWS = 3  # one below the other
_MILLISECONDS = 100  # a frame


class OpenLoop:
  """Foresees the newest rows of replay from the frames before them.

    frame      1 ... CONTEXT    CONTEXT + 1 ...
    left       what happened
    middle     the model looks  follows the actions taken, without looking
    right      the error: grey is none
  """

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, buffer: buffer_lib.Buffer):
    """Computes nothing yet.

    Args:
      agent: `DreamerV2Agent`.
      buffer: Of its experience.
    """
    self._agent, self._buffer = agent, buffer
    decoded = agent.world_model.decoded_keys
    self._keys = [
        key for key, spec in specs.flat_observation(
            agent.time_step_spec.observation).items()
        if key in decoded and is_picture(spec)]
    # Traced for each number of windows: the model needs to know it.
    self._foresee = tf.function(self._of_windows, reduce_retracing=False)

  def films(self) -> dict[str, np.ndarray]:
    """Films by the names of the observation's pictures.

    Returns:
      Dict of uint8 `[frames, height, 3 * width, 1 or 3]`, of up to three
      windows one below the other; {} where no picture is decoded, or no
      episode is as long as a window.
    """
    if not self._keys:
      return {}
    types = self._buffer.step_types().numpy()
    for horizon in _HORIZONS:
      length = CONTEXT + horizon + 1
      starts = windows.newest(types, length, _WINDOWS)
      if len(starts):
        break
    else:
      return {}
    environment, first = starts.T[..., None]
    oldest = max(int(self._buffer.added) - self._buffer.length, 0)
    rows = oldest + first + np.arange(length)
    films = self._foresee(self._buffer.read(
        self._buffer.place(rows, environment)))
    return {specs.metric_name(key): film.numpy()
            for key, film in films.items()}

  def _of_windows(self, rows):
    """Films of windows `[N, C + H + 1, ...]`."""
    agent = self._agent
    posterior, sequence = dream.recall(agent, rows, (0, 0))
    start = tf.nest.map_structure(lambda x: x[:, CONTEXT - 1], posterior)
    looked = tf.nest.map_structure(lambda x: x[:, :CONTEXT], posterior)
    feature = tf.concat([
        agent.world_model.rssm.feature(looked),
        dream.rollout_features(
            agent, start, rows.action[:, CONTEXT:-1],
            seed=(0, 1)),
    ], 1)
    model = dream.decoded(agent, feature, self._keys)
    return {key: _film(sequence.observation[key], model[key])
            for key in self._keys}


def _film(truth, model):
  """uint8 `[T, N * height, 3 * width, C]` of two uint8 `[N, T, ...]`."""
  truth, model = (tf.cast(x, tf.int32) for x in (truth, model))
  film = tf.concat([truth, model, (model - truth + 255) // 2], 3)
  film = tf.transpose(film, [1, 0, 2, 3, 4])
  return tf.cast(tf.reshape(
      film, [film.shape[0], -1, *film.shape[3:]]), tf.uint8)


def is_picture(spec: tf.TensorSpec) -> bool:
  """Whether a part of an observation can be shown: uint8, grey or RGB."""
  return spec.dtype == tf.uint8 and spec.shape.rank == 3 and (
      spec.shape[-1] in (1, 3))


def gif(film: np.ndarray) -> bytes:
  """A film as a GIF file.

  Args:
    film: uint8 `[frames, height, width, 1 or 3]`.
  """
  from PIL import Image  # slow to import

  if film.shape[-1] == 1:
    pictures = [Image.fromarray(frame[..., 0]) for frame in film]
  else:  # the fast way to 256 colours
    pictures = [Image.fromarray(frame).quantize(
        method=Image.Quantize.FASTOCTREE) for frame in film]
  file = io.BytesIO()
  pictures[0].save(
      file, format='GIF', save_all=True, append_images=pictures[1:],
      duration=_MILLISECONDS, loop=0)
  return file.getvalue()
