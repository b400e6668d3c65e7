"""Tests of the error by horizon."""

import numpy as np
import pytest
import small
import tensorflow as tf

from dreamerv2_tfa import dream
from dreamerv2_tfa import types
from dreamerv2_tfa.diagnostics import horizon
from dreamerv2_tfa.reports import open_loop

CONTEXT, HORIZON = 2, 3   # of 5 model rows


@pytest.fixture(scope='module')
def agent():
  agent = small.make_agent(
      jit='off', observation={**small.IMAGE, **small.VECTORS})
  small.randomise(agent.world_model)
  return agent


@pytest.fixture(scope='module')
def batch(agent):
  return small.make_batch(agent)


def rows(x, first=CONTEXT + 1):
  """Of stored rows, those that are foreseen."""
  return np.asarray(x)[:, first:]


def test_the_future_that_came_has_no_error(agent, batch, monkeypatch):
  def came(agent, start, actions, seed):
    # Reward and discount of a stored row belong to the row after it.
    return types.Foresight(
        tf.nest.map_structure(rows, batch.observation),
        np.tanh(rows(batch.reward, CONTEXT)[:, :-1]),
        rows(batch.discount, CONTEXT)[:, :-1])

  # Sequence 0 has the first row of an episode at row 3, where nothing led to.
  one = tf.nest.map_structure(lambda x: x[1:], batch)
  batch = one
  monkeypatch.setattr(dream, 'rollout_actions', came)
  errors = open_loop.measure(agent, one, CONTEXT)
  assert set(errors) == {'image', 'position', 'speed', 'reward', 'continue'}
  for each in errors.values():
    np.testing.assert_allclose(each['open_loop'], 0.0, atol=1e-12)
    np.testing.assert_allclose(each['mean'], 0.0, atol=1e-12)   # one window
    assert each['filtered'].shape == (HORIZON,)


def test_it_starts_where_it_last_looked_with_the_actions_from_there(
    agent, batch, monkeypatch):
  seen = {}
  imagine = dream.rollout_actions

  def noted(agent, start, actions, seed):
    seen.update(start=start, actions=actions)
    return imagine(agent, start, actions, seed=seed)

  monkeypatch.setattr(dream, 'rollout_actions', noted)
  open_loop.measure(agent, batch, CONTEXT, seed=3)
  posterior, sequence = dream.recall(agent, batch, (3, 0))
  np.testing.assert_array_equal(
      seen['start'].deter, posterior.deter[:, CONTEXT - 1])
  # The first action to follow is the one that led into the first unseen row.
  led = tf.argmax(sequence.prev_action[1:, CONTEXT:], -1)
  np.testing.assert_array_equal(seen['actions'][1:], led)


def test_errors_are_mean_squares_with_images_in_units_of_their_range():
  truth = {
      'image': tf.constant([[[0, 255]], [[255, 255]]], tf.uint8),
      'reward': tf.constant([[1.0], [3.0]]), 'continue': tf.ones([2, 1])}
  guess = {
      'image': tf.constant([[[255, 255]], [[255, 255]]], tf.uint8),
      'reward': tf.constant([[2.0], [5.0]]), 'continue': 0.5 * tf.ones([2, 1])}
  found = horizon.errors(truth, guess, truth)
  assert found['image']['open_loop'].tolist() == [0.25]
  assert found['reward']['open_loop'].tolist() == [2.5]
  assert found['continue']['open_loop'].tolist() == [0.25]
  assert found['reward']['filtered'].tolist() == [0.0]
  assert found['image']['mean'].tolist() == [0.125]
  assert found['reward']['mean'].tolist() == [1.0]


def test_the_table_has_a_line_a_horizon():
  each = {way: np.array([0.5, 0.25]) for way in open_loop.WAYS}
  lines = open_loop.table({'reward': each, 'continue': each}).splitlines()
  assert len(lines) == 3
  assert lines[2].split() == ['2'] + ['0.25000'] * 6


@pytest.mark.parametrize('context', [0, 5])
def test_a_window_without_past_or_future_is_refused(agent, batch, context):
  with pytest.raises(ValueError, match='one or more'):
    open_loop.measure(agent, batch, context)
