"""Faults that are planted into a model: each is named by its diagnostic."""

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa.diagnostics import diagnosis
from dreamerv2_tfa.diagnostics import findings
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.world_model import world_model

_LENGTH = 30  # steps of an episode
_EPISODES = 40
_SETTINGS = (
    'DreamerV2Agent.model_learning_rate = 1e-2', 'WorldModel.kl_scale = 0.1',
    'RSSM.deter = 16', 'RSSM.hidden = 16', 'MLP.units = 16')
_UPDATES = 400


def _episode(rng):
  """A clock and a coin, which pays one step later; then the end."""
  phase = np.arange(_LENGTH + 1) / _LENGTH * 2 * np.pi
  coin = rng.choice([-1.0, 1.0], _LENGTH + 1)
  types = np.ones(_LENGTH + 2, np.int32)
  types[0] = types[-1] = ts.StepType.FIRST
  types[-2] = ts.StepType.LAST
  discount = np.ones(_LENGTH + 1, np.float32)
  discount[-2] = 0.0
  column = lambda x: np.asarray(x)[:, None]
  return trajectory.Trajectory(
      column(types[:-1]),
      {'position': column(np.stack(
          [np.sin(phase), np.cos(phase), coin], 1).astype(np.float32)),
       'speed': column(phase.astype(np.float32) / 6)},
      column(rng.integers(0, 6, _LENGTH + 1, np.int32)), (),
      column(types[1:]), column(coin.astype(np.float32)), column(discount))


def _frozen_decoder(monkeypatch):
  whole = world_model.WorldModel.trainable_variables.fget
  def without(self):
    decoder = {id(x) for x in self._decoder.variables}
    return tuple(x for x in whole(self) if id(x) not in decoder)
  monkeypatch.setattr(
      world_model.WorldModel, 'trainable_variables', property(without))


def _inverted_continue(monkeypatch):
  loss = world_model.WorldModel.loss
  def inverted(self, sequence, seed, **options):
    return loss(self, sequence._replace(continue_=1.0 - sequence.continue_),
                seed, **options)
  monkeypatch.setattr(world_model.WorldModel, 'loss', inverted)


def _wrong(*bindings):
  """Names of the metrics that are out of bounds after training."""
  agent = small.make_agent(*_SETTINGS, *bindings, jit='off')
  rng = np.random.default_rng(0)
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 2000, None)
  for _ in range(_EPISODES):
    rows = _episode(rng)
    buffer.append(rows)
  samples = replay.Samples(buffer, 8, 10, seed=0)
  for _ in range(_UPDATES):
    agent.train(samples.next())
  recorder = recorder_lib.Recorder()
  recorder.rows = [tf.nest.map_structure(lambda x, i=i: x[i, 0], rows)
                   for i in range(_LENGTH + 1)]
  found = diagnosis.Examiner(agent, buffer).examine(
      recorder, recorder.episode())
  return {each.name.removeprefix('diagnostics/')
          for each in findings.findings(found.metrics) if each.says}


@pytest.mark.slow
def test_a_healthy_model_has_nothing_wrong():
  assert _wrong() == set()


@pytest.mark.slow
def test_a_decoder_that_does_not_learn_is_named(monkeypatch):
  _frozen_decoder(monkeypatch)
  # With its gradient, the model would learn to be drawn by any decoder.
  wrong = _wrong("WorldModel.grad_heads = ('reward', 'discount')")
  assert wrong == {'position_filtered'}


@pytest.mark.slow
def test_a_continue_head_that_is_taught_the_opposite_is_named(monkeypatch):
  _inverted_continue(monkeypatch)
  assert _wrong() == {'continue_calibration'}


@pytest.mark.slow
def test_a_prior_that_is_not_trained_is_named():
  assert _wrong('WorldModel.kl_scale = 0.0') == {'kl_share'}
