"""Tests of the timetable: updates by hand, numbers that mean nothing."""

import contextlib

import pytest

from dreamerv2_tfa.training import timetable

NUMBERS = dict(
    steps=100, prefill=10, pretrain=3, steps_per_update=4, log_every=20,
    eval_every=50, save_every=30)


def make(**changes):
  return timetable.make(**{**NUMBERS, **changes})


@pytest.mark.parametrize('steps, updates', [
    (0, 0), (9, 0),             # prefill
    (10, 4), (13, 4),           # the first one and pretrain
    (14, 5), (17, 5), (18, 6),  # one every 4 steps after prefill
    (100, 26),
])
def test_updates_due_by_hand(steps, updates):
  assert make().updates_due(steps) == updates


def test_without_prefill_the_first_update_is_due_at_once():
  made = make(prefill=0, pretrain=0)
  assert [made.updates_due(steps) for steps in (0, 3, 4)] == [1, 1, 2]


def test_whole_floats_become_ints():
  made = make(steps=5e7, prefill=5e4)
  assert (made.steps, made.prefill) == (50_000_000, 50_000)
  assert all(isinstance(number, int) for number in made)


def test_each_number_goes_to_its_own_name():
  assert make()._asdict() == NUMBERS


@pytest.mark.parametrize('name', sorted(NUMBERS))
@pytest.mark.parametrize('value', [-1, 2.5, float('nan'), float('inf')])
def test_a_number_that_cannot_be_a_count_is_refused_by_name(name, value):
  with pytest.raises(ValueError, match=f'train.{name} must be a whole number'):
    make(**{name: value})


@pytest.mark.parametrize('name', sorted(set(NUMBERS) - {'prefill', 'pretrain'}))
def test_zero_is_refused_where_it_means_nothing(name):
  with pytest.raises(ValueError, match=f'train.{name}'):
    make(**{name: 0})


@pytest.mark.parametrize('name', ['prefill', 'pretrain'])
def test_prefill_and_pretrain_may_be_zero(name):
  assert getattr(make(**{name: 0}), name) == 0


@pytest.mark.parametrize('before, now, due', [
    (0, 19, ''), (0, 20, 'log'), (19, 20, 'log'), (20, 29, ''),
    (20, 20, ''), (29, 30, 'save'), (20, 31, 'save'), (45, 50, 'evaluate'),
    (48, 61, 'log evaluate save'), (0, 99, 'log evaluate save'),
])
def test_a_multiple_is_due_once_when_it_is_reached_or_passed(before, now, due):
  result = make().due(before, now)._asdict()
  assert ' '.join(key for key, value in result.items() if value) == due


def test_the_last_step_reports_and_leaves_the_rest_to_the_end_of_the_run():
  result = make(save_every=10, eval_every=10).due(99, 100)
  assert result == (True, False, False)


@pytest.mark.parametrize('steps, prefill, is_refused', [
    (59, 60, True), (60, 60, False), (61, 60, False)])
def test_a_run_that_would_end_before_its_first_update_is_refused(
    steps, prefill, is_refused):
  made = timetable.make(
      steps=steps, prefill=prefill, pretrain=1, steps_per_update=5,
      log_every=1, eval_every=1, save_every=1)
  caught = contextlib.nullcontext()
  if is_refused:
    caught = pytest.raises(
        ValueError, match='train.steps = 59 .*train.prefill = 60.*lower')
  with caught:
    timetable.check_updates(made)
