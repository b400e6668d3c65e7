"""Tests of realised returns, by hand."""

import numpy as np
import pytest

from dreamerv2_tfa.diagnostics import values

REWARD = np.array([0.0, 1.0, -2.0, 4.0])
DISCOUNT = np.array([0.5, 0.5, 0.5, 0.0])
VALUE = np.array([9.0, 8.0, 7.0, 6.0])


def test_a_return_counts_what_led_into_the_row_and_all_that_follows():
  found = values.realised(REWARD, DISCOUNT, VALUE, terminated=True)
  np.testing.assert_allclose(found, [0.5, 1.0, 0.0, 4.0])


def test_where_an_episode_was_cut_the_value_stands_for_the_rest():
  found = values.realised(REWARD, DISCOUNT, VALUE, terminated=False)
  np.testing.assert_allclose(found, [0.75, 1.5, 1.0, 6.0])


def test_rewards_ahead_leave_out_the_one_that_led_here():
  found = values.ahead(REWARD, DISCOUNT, np.array([0, 2]), 2)
  np.testing.assert_allclose(found, [0.5 * 1.0 + 0.25 * -2.0, 0.5 * 4.0])


def test_nothing_is_paid_after_the_last_row():
  found = values.ahead(REWARD, np.ones(4), np.array([1, 3]), 9)
  np.testing.assert_allclose(found, [2.0, 0.0])


def test_agreement_is_in_units_of_what_there_was():
  found = values.agreement(np.array([1.0, 5.0]), np.array([0.0, 2.0]))
  assert found == pytest.approx(
      {'bias': 2.0, 'error': np.sqrt(5.0), 'correlation': 1.0})


def test_without_any_difference_only_the_bias_is_known():
  assert values.agreement(np.ones(3), np.zeros(3)) == {'bias': 1.0}
