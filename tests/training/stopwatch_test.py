"""Tests of where the time goes."""

import pytest

from dreamerv2_tfa.training import stopwatch


@pytest.fixture
def clock(monkeypatch):
  """A list whose one number is the time."""
  now = [100.0]
  monkeypatch.setattr(stopwatch.time, 'monotonic', lambda: now[0])
  return now


def test_shares_are_of_the_time_since_the_last_report(clock):
  watch = stopwatch.Stopwatch()
  for seconds in (1.0, 2.0):
    with watch.part('update'):
      clock[0] += seconds
  with watch.part('save'):
    clock[0] += 4.0
  clock[0] += 3.0
  found = watch.report()
  assert found == {
      **{f'time/{name}': 0.0 for name in stopwatch.PARTS},
      'time/update': 0.3, 'time/save': 0.4, 'time/other': pytest.approx(0.3)}
  clock[0] += 1.0
  assert watch.report()['time/other'] == 1.0


def test_a_part_that_raises_has_taken_its_time(clock):
  watch = stopwatch.Stopwatch()
  with pytest.raises(KeyError), watch.part('collect'):
    clock[0] += 2.0
    raise KeyError
  assert watch.report()['time/collect'] == 1.0
