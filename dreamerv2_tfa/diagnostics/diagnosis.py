"""Diagnostics of an evaluation: metrics, histograms and curves."""

import math
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tf_agents.trajectories import trajectory as trajectories

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa.diagnostics import calibration
from dreamerv2_tfa.diagnostics import forward
from dreamerv2_tfa.diagnostics import horizon
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.diagnostics import values
from dreamerv2_tfa.experience import buffer as buffer_lib
from dreamerv2_tfa.experience import windows

_HORIZONS = (15, 5)  # rows that it foresees: the first that rows allow
_WINDOWS = 16
_STARTS = 32  # of imagination, in the episode
_UNUSED = 0.1  # a class with less than this share of 1 / C is dead
_ALWAYS = 0.99  # a latent with a class of this probability is dead


class Diagnosis(NamedTuple):
  """What was found at an evaluation."""

  metrics: dict[str, float]           # 'diagnostics/...'; finite
  histograms: dict[str, np.ndarray]   # float `[N]` by name, finite
  curves: dict[str, Any]              # of JSON, see docs/diagnostics.md


class Examiner:
  """Examines the newest rows of replay, and an episode of an evaluation.

  Nothing changes by it, random states included.
  """

  def __init__(
      self, agent: agent_lib.DreamerV2Agent, buffer: buffer_lib.Buffer):
    """Computes nothing yet.

    Args:
      agent: `DreamerV2Agent`.
      buffer: Of its experience.
    """
    self._agent, self._buffer = agent, buffer
    # Traced for each length: the model needs to know it.
    self._windows = tf.function(
        lambda rows: forward.windows(agent, rows), autograph=False)
    self._episode = tf.function(
        lambda rows, starts: forward.episode(agent, rows, starts),
        autograph=False)

  def examine(
      self, recorder: recorder_lib.Recorder,
      episode: trajectories.Trajectory | None,
  ) -> Diagnosis:
    """What can be found: what there is too little for is left out.

    Args:
      recorder: Of the evaluation.
      episode: Its `episode()`.
    """
    found = Diagnosis({}, {}, {})
    rows = windows.read_newest(
        self._buffer, [forward.CONTEXT + steps + 1 for steps in _HORIZONS],
        _WINDOWS, repeat=True)
    if rows is not None:
      _add_windows(found, tf.nest.map_structure(
          lambda x: x.numpy(), self._windows(rows)))
    if episode is not None:
      self._add_episode(found, recorder, episode)
    return _finite(found)

  def _add_episode(self, found, recorder, rows):
    last = len(recorder.rows) - 1
    ahead = self._agent.actor_critic.horizon
    # Where the end is not known, imagination must not look beyond it.
    end = last if recorder.terminated else max(last - ahead, 0)
    starts = np.linspace(0, max(end - 1, 0), _STARTS).astype(np.int32)
    outputs: Any = self._episode(rows, tf.constant(starts))
    told: Any = tf.nest.map_structure(lambda x: x.numpy(), outputs)
    value, reward, discount = (
        x[:last + 1] for x in (told.value, told.reward, told.discount))
    real = values.realised(
        reward, discount, value, terminated=recorder.terminated)
    _put(found, 'value', values.agreement(value, real))
    found.curves['value'] = {
        'predicted': value.tolist(), 'realised': real.tolist()}
    found.histograms.update(
        values=value, returns=real, latent_entropy=told.entropy[:last + 1],
        actions=_actions(recorder.rows[:-1]))
    gains = values.ahead(reward, discount, starts, ahead)
    _put(found, 'imagined', values.agreement(told.imagined, gains))
    found.metrics.update({
        'diagnostics/imagined_return': float(told.imagined.mean()),
        'diagnostics/real_return': float(gains.mean())})
    found.curves['imagined'] = {
        'imagined': told.imagined.tolist(), 'real': gains.tolist()}


def _add_windows(found, told):
  errors = horizon.errors(
      told.truth, told.open_loop, told.filtered, told.last)
  _put(found, '', horizon.metrics(errors))
  found.curves['horizon'] = {
      part: {way: each[way].tolist() for way in horizon.WAYS}
      for part, each in errors.items()}
  diagrams = {part: calibration.reliability(
      told.filtered[part], told.truth[part])
      for part in ('reward', 'continue') if part in told.truth}
  found.curves['reliability'] = diagrams
  for part, diagram in diagrams.items():
    _put(found, part, {'calibration': calibration.error(diagram)})
  _add_latents(found, told.latents)


def _add_latents(found, latents):
  """Of categorical latents, nats are shares of the most, ln C."""
  use = latents.get('use')
  most = 1.0 if use is None else math.log(max(use.shape[-1], 2))
  numbers = {
      'kl_per_latent': latents['kl'].mean(),
      'posterior_entropy': latents['posterior_entropy'].mean() / most,
      'prior_entropy': latents['prior_entropy'].mean() / most,
  }
  if use is not None:
    numbers.update(
        kl_share=latents['kl'].mean() / most,
        dead_latents=np.mean(use.max(-1) > _ALWAYS),
        dead_classes=np.mean(use < _UNUSED / use.shape[-1]))
  _put(found, '', numbers)
  found.curves['latents'] = {
      name: latents[name].tolist()
      for name in ('kl', 'posterior_entropy', 'prior_entropy')}
  found.histograms['latent_kl'] = latents['kl']


def _put(found, part, numbers):
  for name, value in numbers.items():
    name = f'{part}_{name}' if part else name
    found.metrics[f'diagnostics/{name}'] = float(value)


def _actions(rows):
  """Actions as numbers: an index, or all elements of a vector."""
  return np.concatenate([
      np.ravel(x) for row in rows for x in tf.nest.flatten(row.action)
  ]).astype(np.float64)


def _finite(found):
  """Without numbers that are not finite; in curves they are None."""
  def clean(value) -> Any:
    if isinstance(value, dict):
      return {key: clean(x) for key, x in value.items()}
    if isinstance(value, list):
      return [clean(x) for x in value]
    return value if math.isfinite(value) else None

  return Diagnosis(
      {key: x for key, x in found.metrics.items() if math.isfinite(x)},
      {key: np.asarray(x, np.float64)[np.isfinite(x)]
       for key, x in found.histograms.items()},
      clean(found.curves))
