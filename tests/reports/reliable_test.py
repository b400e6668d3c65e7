"""Methods compared by rliable: values by hand, and what is left out."""

import numpy as np
import pytest
from rliable import metrics

from dreamerv2_tfa.reports import curves
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references
from dreamerv2_tfa.reports import reliable


def _curve(method, game, *ends, at=20.0):
  """Seeds with these gamer-normalised returns."""
  task = f'atari_{game}'
  low, high = published.scores('random'), published.scores('human_gamer')
  return curves.over_seeds([
      curves.Run(task, method, str(seed), np.array([10.0, at]), np.array(
          [low[game], low[game] + end * (high[game] - low[game])]), '')
      for seed, end in enumerate(ends)], 10.0, 'std1')


def _compare(found, names=(), at=None):
  tasks = {curve.task for curve in found}
  return reliable.compare(found, references.of_tasks(tasks, {}), names, at)


_TWO = [_curve('a', 'pong', 0.2, 0.4), _curve('a', 'freeway', 0.6, 1.0),
        _curve('b', 'pong', 0.1, 0.3), _curve('b', 'freeway', 0.2, 0.8)]


def test_methods_are_compared_by_hand():
  got, notes = _compare(_TWO)
  assert notes == [] and got.at == 20
  assert got.tasks == ('atari_freeway', 'atari_pong')
  assert got.runs == {'a': 2, 'b': 2}
  # Of four scores the one at each end is left out.
  assert got.interquartile_mean['a'].value.item() == pytest.approx(0.5)
  assert got.interquartile_mean['b'].value.item() == pytest.approx(0.25)
  # Pong: 3 of 4 pairs; Freeway: 0.6 > 0.2, 1.0 > both: 3 of 4.
  each = got.improvement['a', 'b']
  assert each.value.item() == pytest.approx(0.75)
  assert each.low.item() <= 0.75 <= each.high.item()
  profile = got.profiles['a']
  assert (got.taus[0], got.taus[-1]) == (0.0, 1.0)
  np.testing.assert_allclose(
      profile.value[[0, 30, 50, 70]], [1, 0.75, 0.5, 0.25])
  assert np.all(profile.low <= profile.value + 1e-9)


def test_a_comparison_is_the_same_every_time_and_leaves_numpy_alone():
  np.random.seed(5)
  wanted = np.random.random()
  np.random.seed(5)
  one, two = _compare(_TWO)[0], _compare(_TWO)[0]
  assert np.random.random() == wanted
  assert one.interquartile_mean == two.interquartile_mean
  np.testing.assert_array_equal(one.profiles['a'].low, two.profiles['a'].low)
  assert one.improvement == two.improvement


def test_the_chance_in_resamples_is_that_of_rliable():
  generator = np.random.default_rng(0)
  one = generator.integers(0, 5, (4, 3)).astype(float)  # with ties
  two = generator.integers(0, 5, (6, 3)).astype(float)
  assert reliable.chance_above(one, two)[0] == pytest.approx(
      metrics.probability_of_improvement(one, two))


def test_methods_are_compared_where_all_of_them_are():
  got, _ = _compare([*_TWO[:2], _curve('b', 'pong', 1, 1, at=40),
                     _curve('b', 'freeway', 1, 1, at=30)])
  assert got.at == 20
  assert got.interquartile_mean['b'].value.item() == 0.0  # as at 10
  got, notes = _compare(_TWO, at=10.0)
  assert got.at == 10 and not notes
  got, notes = _compare([*_TWO[:2], _curve('b', 'pong', 1, 1, at=40),
                         _curve('b', 'freeway', 1, 1, at=30)], at=30.0)
  assert list(got.runs) == ['b']
  assert 'a has no value at 30' in notes[0]


def test_short_runs_are_not_compared_with_scores_after_200_million_frames():
  tasks = ['atari_pong', 'atari_freeway']
  known = curves.published(tasks, published.curves())
  got, notes = _compare([*_TWO, *known], ['rainbow_sticky'])
  assert list(got.runs) == ['a', 'b']
  assert 'published seeds has no value at 20' in notes[0]
  got, notes = _compare(known, ['rainbow_sticky', 'dreamerv2', 'random'])
  assert list(got.runs) == ['published seeds', 'baseline rainbow_sticky']
  assert got.at == 200e6 and not notes


def test_with_one_run_a_task_the_interval_is_over_tasks():
  games = published.games()
  known = curves.published(
      [f'atari_{game}' for game in games], published.curves())
  got, _ = _compare(known, ['rainbow_sticky'])
  for each in (*got.interquartile_mean.values(), *got.improvement.values()):
    assert each.low.item() < each.value.item() < each.high.item()
  assert got.taus[-1] == 8.0


def test_what_is_left_out_is_said():
  got, notes = _compare([*_TWO[:2], _curve('b', 'pong', 1, 1, 1)])
  assert got.tasks == ('atari_pong',) and '1 of 2 tasks' in notes[0]
  got, notes = _compare([_curve('a', 'pong', 1, 1, 1), _curve(
      'a', 'freeway', 1, 1)])
  assert got.runs == {'a': 2} and 'a is compared with 2 runs' in notes[0]
  got, notes = _compare([_curve('a', 'pong', 1)])
  assert got is None and 'needs two runs, or two tasks' in notes[-1]


def test_dmc_is_normalised_by_its_largest_return():
  found = curves.over_seeds([
      curves.Run('dmc_walker_walk', 'a', str(y), np.array([10.0]),
                 np.array([y]), '') for y in (200.0, 400.0)], 10.0, 'std1')
  got, _ = _compare([found])
  assert got.interquartile_mean['a'].value.item() == pytest.approx(0.3)


def test_tasks_without_known_scores_are_not_compared():
  found = curves.over_seeds([
      curves.Run('catch', 'a', str(y), np.array([10.0]), np.array([y]), '')
      for y in (2.0, 4.0)], 10.0, 'std1')
  got, notes = _compare([found])
  assert got is None and '0 of 1 tasks' in notes[0]
