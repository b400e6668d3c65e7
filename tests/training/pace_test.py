"""Tests of slices of steps: about half a second each, one step at least."""

import itertools

import pytest

from dreamerv2_tfa.training import pace


@pytest.fixture
def take(monkeypatch):
  """Takes slices with steps of so many seconds: their sizes."""
  clock = [0.0]
  monkeypatch.setattr(pace.time, 'monotonic', lambda: clock[0])

  def sizes(seconds, left=10**6, count=8):
    slices, found = pace.Pace(), []

    def function(size):
      found.append(size)
      clock[0] += size * seconds

    for _ in range(count):
      slices.take(function, left)
    return found

  return sizes


@pytest.mark.parametrize('seconds, last', [
    (10.0, 1), (0.3, 1), (0.125, 4), (1 / 128, 64), (1e-5, 1000)])
def test_a_slice_comes_to_take_half_a_second_or_one_step(take, seconds, last):
  assert take(seconds)[-1] == last


def test_nothing_known_begins_with_one_step_and_grows(take):
  sizes = take(1e-5)
  assert sizes[0] == 1
  assert all(b <= 4 * a for a, b in itertools.pairwise(sizes))


def test_the_few_steps_between_updates_are_taken_at_once(take):
  assert take(1e-5, left=5) == [5] * 8
  assert take(2.0, left=5)[:3] == [5, 1, 1]


def test_no_more_is_taken_than_is_left(take):
  assert max(take(1e-5, left=33)) == 33


def test_what_the_function_returns_is_returned():
  assert pace.Pace().take(lambda size: ('done', size), 3) == ('done', 3)
