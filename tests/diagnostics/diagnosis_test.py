"""Tests of what is found in a model, a critic and an episode."""

import json
import math

import numpy as np
import pytest
import small
import tensorflow as tf
from tf_agents.trajectories import time_step as ts

from dreamerv2_tfa import distributions
from dreamerv2_tfa import dream
from dreamerv2_tfa.diagnostics import diagnosis
from dreamerv2_tfa.diagnostics import findings
from dreamerv2_tfa.diagnostics import forward
from dreamerv2_tfa.diagnostics import recorder as recorder_lib
from dreamerv2_tfa.diagnostics import values
from dreamerv2_tfa.experience import replay

ROWS = 24  # of an episode


def _make(*bindings, **options):
  agent = small.make_agent(*bindings, jit='off', **options)
  small.randomise(agent.world_model)
  small.randomise(agent.actor_critic)
  return agent


def _rows(agent, discount=0.0, seed=0):
  """Rows `[ROWS]` of one episode, `Trajectory` of arrays."""
  batch = small.make_batch(agent, seed=seed, rows=ROWS)
  rows = tf.nest.map_structure(lambda x: x[1].numpy(), batch)
  types = np.ones(ROWS + 1, np.int32)
  types[0] = types[-1] = ts.StepType.FIRST
  types[-2] = ts.StepType.LAST
  rows.discount[-2] = discount
  return rows._replace(step_type=types[:-1], next_step_type=types[1:])


def _examined(agent, discount=0.0):
  rows = _rows(agent, discount)
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 100, None)
  for _ in range(2):
    buffer.append(tf.nest.map_structure(lambda x: x[:, None], rows))
  recorder = recorder_lib.Recorder()
  recorder.rows = [tf.nest.map_structure(lambda x, i=i: x[i], rows)
                   for i in range(ROWS)]
  return diagnosis.Examiner(agent, buffer).examine(
      recorder, recorder.episode()), rows, recorder


@pytest.fixture(scope='module')
def examined():
  agent = _make(observation={**small.IMAGE, **small.VECTORS})
  return (agent, *_examined(agent))


def test_every_part_of_the_model_has_its_errors(examined):
  curves = examined[1].curves
  assert set(curves['horizon']) == {
      'image', 'position', 'speed', 'reward', 'continue'}
  for each in curves['horizon'].values():
    assert {len(x) for x in each.values()} == {15}


def test_errors_are_of_the_newest_windows(examined):
  agent, found, rows, _ = examined
  ends = np.arange(ROWS - 21, ROWS)  # one window fits into an episode
  window = tf.nest.map_structure(
      lambda x: tf.constant(np.repeat(x[None, ends], 2, 0)), rows)
  posterior, sequence = dream.recall(agent, window)
  told = found.curves['horizon']['reward']
  truth = np.tanh(rows.reward[ends])[forward.CONTEXT:-1]
  np.testing.assert_allclose(
      told['copy'], (truth - np.tanh(rows.reward[ends][4])) ** 2, rtol=1e-4)
  np.testing.assert_allclose(told['mean'], 0.0, atol=1e-6)  # the same, repeated


def test_values_and_returns_are_those_of_the_whole_episode(examined):
  agent, found, rows, recorder = examined
  told = found.curves['value']
  assert len(told['predicted']) == len(told['realised']) == ROWS
  reward = np.tanh(np.append(0.0, rows.reward[:-1]))
  discount = 0.99 * np.append(1.0, rows.discount[:-1])
  real = values.realised(reward, discount, told['predicted'], terminated=True)
  np.testing.assert_allclose(told['realised'], real, rtol=1e-4)
  posterior, _ = dream.recall(agent, recorder.episode())
  value = agent.actor_critic.critic(
      agent.world_model.rssm.feature(posterior)).mode()[0, :ROWS]
  np.testing.assert_allclose(told['predicted'], value, rtol=1e-4, atol=1e-5)


def test_imagination_starts_where_the_episode_is_known_ahead():
  agent = _make()
  found, _, _ = _examined(agent, discount=1.0)
  told = found.curves['imagined']
  assert len(told['imagined']) == len(told['real']) == 32
  assert found.metrics['diagnostics/real_return'] == pytest.approx(
      np.mean(told['real']))


def test_all_numbers_are_finite_and_json(examined):
  found = examined[1]
  json.dumps(found.curves, allow_nan=False)
  assert all(name.startswith('diagnostics/') and math.isfinite(x)
             for name, x in found.metrics.items())
  assert set(found.histograms) == {
      'values', 'returns', 'latent_entropy', 'latent_kl', 'actions'}
  assert all(np.isfinite(x).all() for x in found.histograms.values())


def test_nothing_of_the_agent_changes():
  agent = _make()
  before = small.checkpoint(agent)
  _examined(agent)
  assert small.same(before, small.checkpoint(agent))


def test_without_rows_there_is_nothing_to_find():
  agent = _make()
  buffer = replay.make_buffer(agent.collect_data_spec, 1, 100, None)
  found = diagnosis.Examiner(agent, buffer).examine(
      recorder_lib.Recorder(), None)
  assert found == diagnosis.Diagnosis({}, {}, {})


def test_numbers_that_are_not_finite_are_left_out(monkeypatch):
  agent = _make()
  agent.actor_critic.critic.trainable_variables[0].assign(
      agent.actor_critic.critic.trainable_variables[0] * np.nan)
  found, _, _ = _examined(agent)
  assert found.curves['value']['predicted'] == [None] * ROWS
  assert 'diagnostics/value_error' not in found.metrics
  assert found.histograms['values'].size == 0


@pytest.mark.parametrize('bindings', [
    ('WorldModel.continue_head = False',), ('DreamerV2Agent.discount = 0',)])
def test_a_model_that_knows_no_ends_is_examined_without(bindings):
  found, _, _ = _examined(_make(*bindings))
  assert 'continue' not in found.curves['horizon']
  assert 'reward' in found.curves['reliability']


@pytest.mark.parametrize('kind', ['discrete', 'gaussian'])
def test_nats_of_latents_are_those_of_the_distributions(kind):
  bindings = {'discrete': (), 'gaussian': ('RSSM.classes = 0',)}[kind]
  agent = _make(*bindings)
  posterior, sequence = dream.recall(agent, small.make_batch(agent))
  _, prior = agent.world_model.rssm.observe(
      agent.world_model.embed(sequence.observation), sequence.prev_action,
      sequence.is_first, tf.constant([0, 0]))
  told = forward.latents(posterior, prior)
  ours, theirs = map(distributions.latent, (posterior, prior))
  mean = lambda x: float(tf.reduce_mean(x))
  assert float(tf.reduce_sum(told['kl'])) == pytest.approx(
      mean(ours.kl_divergence(theirs)), rel=1e-4)
  assert float(tf.reduce_sum(told['posterior_entropy'])) == pytest.approx(
      mean(ours.entropy()), rel=1e-4)
  assert float(tf.reduce_sum(told['prior_entropy'])) == pytest.approx(
      mean(theirs.entropy()), rel=1e-4)


def test_a_latent_that_is_always_the_same_is_dead():
  logits = np.zeros([2, 3, 4, 5], np.float32)
  logits[:, :, 0, 2] = 100.0
  state = tf.nest.map_structure(tf.constant, forward.types.DiscreteState(
      np.zeros(1), np.zeros(1), logits))
  found = diagnosis.Diagnosis({}, {}, {})
  diagnosis._add_latents(found, tf.nest.map_structure(
      lambda x: x.numpy(), forward.latents(state, state)))
  assert found.metrics['diagnostics/dead_latents'] == 0.25
  assert found.metrics['diagnostics/dead_classes'] == pytest.approx(4 / 20)
  assert found.metrics['diagnostics/kl_share'] == 0.0
  assert found.metrics['diagnostics/posterior_entropy'] == pytest.approx(0.75)


def test_every_diagnostic_has_a_meaning(examined):
  found = examined[1].metrics
  explained = {each.name for each in findings.findings(found)}
  assert explained == set(found)
