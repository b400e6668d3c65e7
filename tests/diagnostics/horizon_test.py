"""Tests of errors by horizon, by hand."""

import numpy as np
import pytest

from dreamerv2_tfa.diagnostics import horizon

TRUTH = {'reward': np.array([[1.0, 3.0], [3.0, 5.0]])}
GUESS = {'reward': np.array([[1.0, 1.0], [1.0, 5.0]])}
LAST = {'reward': np.array([1.0, 2.0])}


def test_each_way_guesses_what_it_knows():
  found = horizon.errors(TRUTH, GUESS, TRUTH, LAST)['reward']
  assert {way: x.tolist() for way, x in found.items()} == {
      'open_loop': [2.0, 2.0], 'filtered': [0.0, 0.0], 'mean': [1.0, 1.0],
      'copy': [0.5, 6.5]}


def test_a_picture_is_in_units_of_its_range_and_vectors_are_not():
  truth = np.zeros([1, 1, 2, 2, 1], np.uint8)
  found = horizon.errors(
      {'image': truth}, {'image': truth + 255}, {'image': truth},
      {'image': truth[:, 0] + 51})['image']
  assert found['open_loop'] == [1.0]
  assert found['copy'] == pytest.approx([0.04])


def test_scalars_are_ratios_of_means_over_horizons():
  found = horizon.metrics(horizon.errors(TRUTH, GUESS, GUESS, LAST))
  assert found == pytest.approx({
      'reward_error_1': 2.0, 'reward_error_2': 2.0,
      'reward_against_copy': 2.0 / 3.5, 'reward_against_mean': 2.0,
      'reward_filtered': 2.0})


def test_where_nothing_changes_there_is_no_ratio():
  same = {'reward': np.ones([2, 2])}
  found = horizon.metrics(horizon.errors(
      same, GUESS, GUESS, {'reward': np.ones(2)}))
  assert set(found) == {'reward_error_1', 'reward_error_2'}
