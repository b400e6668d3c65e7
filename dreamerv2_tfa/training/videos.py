"""What the world model foresees, and what the policy does, as videos."""

import io

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import dream
from dreamerv2_tfa import specs
from dreamerv2_tfa.diagnostics import forward
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import windows

CONTEXT = forward.CONTEXT  # frames that the model looks at
_HORIZONS = (45, 20, 5)  # frames that it foresees: the first that rows allow
_WINDOWS = 3  # one below the other
_FRAMES = 256  # of the policy's episode, at most
_CHUNK = 64  # frames that are decoded at once
_MILLISECONDS = 100  # a frame


class Videos:
  """Films the world model, and the policy, at an evaluation.

    open_loop/<key>   the newest rows of replay: three windows, one below the
                      other
      frame      1 ... CONTEXT    CONTEXT + 1 ...
      left       what happened
      middle     the model looks  follows the actions taken, without looking
      right      the error: grey is none
    open_loop_eval/<key>   likewise, of the evaluation's first episode
    policy/<key>           that episode, beside what the model makes of it
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
    # Traced for each number of windows and rows: the model needs to know it.
    function = lambda body: tf.function(
        body, reduce_retracing=False, autograph=False)
    self._foresee = function(self._of_windows)
    self._recall = function(lambda rows: agent.world_model.rssm.feature(
        dream.recall(agent, rows, (0, 0))[0])[0])
    self._decode = function(
        lambda feature: dream.decoded(agent, feature, self._keys))

  def films(
      self, episode: trajectories.Trajectory | None, rows: int,
  ) -> dict[str, np.ndarray]:
    """Films by their names, as far as there is something to film.

    Args:
      episode: Of `Recorder`, `[1, L + 1, ...]`.
      rows: How many of the L model rows are of the episode.

    Returns:
      Dict of uint8 `[frames, height, width, 1 or 3]`; {} where no picture is
      decoded.
    """
    if not self._keys:
      return {}
    lengths = [CONTEXT + steps + 1 for steps in _HORIZONS]
    found = {}
    replayed = windows.read_newest(self._buffer, lengths, _WINDOWS)
    if replayed is not None:
      found.update(self._open_loop('open_loop', replayed))
    if episode is None:
      return found
    length = next((each for each in lengths if each <= rows + 1), None)
    if length is not None:
      starts = np.linspace(0, rows + 1 - length, _WINDOWS).astype(int)
      index = starts[:, None] + np.arange(length)
      found.update(self._open_loop('open_loop_eval', tf.nest.map_structure(
          lambda x: tf.gather(x[0], index), episode)))
    return {**found, **self._policy(episode, min(rows, _FRAMES))}

  def _open_loop(self, name, rows):
    return {f'{name}/{specs.metric_name(key)}': film.numpy()
            for key, film in self._foresee(rows).items()}

  def _policy(self, episode, frames):
    """What was seen, left, and what the model makes of it, right."""
    feature = self._recall(episode)
    chunks = [self._decode(feature[i:i + _CHUNK])
              for i in range(0, frames, _CHUNK)]
    seen = specs.flat_observation(episode.observation)
    return {
        f'policy/{specs.metric_name(key)}': np.concatenate([
            seen[key][0, 1:frames + 1].numpy(),
            np.concatenate([each[key] for each in chunks])[:frames],
        ], 2) for key in self._keys}

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
