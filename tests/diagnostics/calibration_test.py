"""Tests of reliability diagrams."""

import numpy as np
import pytest

from dreamerv2_tfa.diagnostics import calibration


def test_bins_have_the_means_of_what_is_in_them():
  found = calibration.reliability(
      np.array([0.0, 0.1, 0.9, 1.0]), np.array([0.0, 1.0, 1.0, 1.0]), 2)
  np.testing.assert_allclose(found['predicted'], [0.05, 0.95])
  np.testing.assert_allclose(found['observed'], [0.5, 1.0])
  assert found['count'] == [2, 2]
  assert calibration.error(found) == pytest.approx((0.45 + 0.05) / 2)


def test_an_empty_bin_is_left_out():
  found = calibration.reliability(np.array([0.0, 1.0]), np.zeros(2), 10)
  assert found['count'] == [1, 1]


def test_equal_predictions_are_one_bin():
  found = calibration.reliability(np.full(5, 0.3), np.arange(5) / 4)
  assert found['count'] == [5]
  assert calibration.error(found) == pytest.approx(0.2)


def test_a_mean_error_counts_predictions_and_not_bins():
  found = {'predicted': [0.0, 1.0], 'observed': [0.5, 1.0], 'count': [1, 3]}
  assert calibration.error(found) == pytest.approx(0.125)
