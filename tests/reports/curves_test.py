"""Curves: bins, seeds and panels by hand, and the published ones."""

import numpy as np
import pytest

from dreamerv2_tfa.reports import curves
from dreamerv2_tfa.reports import panels
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references
from dreamerv2_tfa.reports import scores


def _run(seed, xs, ys, task='atari_pong', method='a'):
  return curves.Run(task, method, seed, np.array(xs, float),
                    np.array(ys, float), f'{task}/{seed}')


# Bins -------------------------------------------------------------------------


def test_a_bin_has_its_right_end_but_not_its_left():
  xs, ys = curves.binned(
      np.array([0.0, 5, 10, 11, 31]), np.array([1.0, 2, 6, 4, 9]), 10.0)
  np.testing.assert_array_equal(xs, [10, 20, 40])  # none in (20, 30]
  np.testing.assert_array_equal(ys, [3, 4, 9])


def test_without_bins_equal_x_are_averaged():
  xs, ys = curves.binned(np.array([1.0, 2, 2]), np.array([5.0, 1, 3]), 0.0)
  np.testing.assert_array_equal(xs, [1, 2])
  np.testing.assert_array_equal(ys, [5, 2])


@pytest.mark.parametrize('task, end, wanted', [
    ('atari_pong', 200e6, 1e6), ('atari_pong', 1e6, 2e4),
    ('dmc_walker_walk', 1e6, 1e4), ('crafter_reward', 1e6, 1e4),
    ('gymnasium_CartPole-v1', 9e6, 1e5), ('catch', 30e3, 500), ('catch', 9, 1)])
def test_bins_are_those_of_the_suite_or_less_for_short_runs(task, end, wanted):
  run = _run('0', [1, end], [0, 0], task)
  assert curves.bin_sizes([run], -1) == {curves.suite(task): wanted}
  assert curves.bin_sizes([run], 7.0) == {curves.suite(task): 7.0}


# Seeds ------------------------------------------------------------------------

_THREE = [_run('0', [10, 20, 30], [1, 2, 3]), _run('1', [10, 30], [3, 9]),
          _run('2', [20, 30], [8, 6])]


def test_seeds_become_mean_and_deviation_at_the_same_x():
  found = curves.over_seeds(_THREE, 10.0, 'std1')
  np.testing.assert_array_equal(found.xs, [10, 20, 30])
  # Seed 1 counts by 3 at 20; seed 2 has no value at 10.
  np.testing.assert_array_equal(
      found.ys, [[1, 2, 3], [3, 3, 9], [np.nan, 8, 6]])
  np.testing.assert_allclose(found.middle, [2, 13 / 3, 6])
  spread = np.sqrt(((2 - 13 / 3)**2 + (3 - 13 / 3)**2 + (8 - 13 / 3)**2) / 3)
  np.testing.assert_allclose(
      found.low, [1, 13 / 3 - spread, 6 - np.sqrt(6)])
  np.testing.assert_allclose(
      found.high, [3, 13 / 3 + spread, 6 + np.sqrt(6)])
  np.testing.assert_array_equal(found.count, [2, 3, 3])


@pytest.mark.parametrize('agg, low, middle, high', [
    ('per0', 0, 20, 40), ('per5', 2, 20, 38), ('per25', 10, 20, 30)])
def test_seeds_become_median_and_percentiles(agg, low, middle, high):
  runs = [_run(str(y), [5], [y]) for y in (0, 10, 20, 30, 40)]
  found = curves.over_seeds(runs, 10.0, agg)
  np.testing.assert_allclose(
      (found.low[0], found.middle[0], found.high[0]), (low, middle, high))


def test_a_run_that_ends_early_counts_by_its_last_and_is_named():
  runs = [_run('0', [10, 40], [1, 5]), _run('1', [10, 20], [1, 3])]
  found = curves.over_seeds(runs, 10.0, 'none')
  np.testing.assert_array_equal(found.xs, [10, 20, 40])
  np.testing.assert_array_equal(found.middle, [1, 2, 4])
  np.testing.assert_array_equal(found.count, [2, 2, 1])
  assert np.isnan(found.low).all() and np.isnan(found.high).all()
  note, = curves.short(runs)
  assert 'seed 1 ends at 20, another seed at 40' in note
  assert curves.short(runs[:1]) == []


# Published curves -------------------------------------------------------------


def test_the_55_published_curves_lie_in_their_range_and_end_in_the_scores():
  known, final = published.curves(), published.scores('dreamerv2')
  assert sorted(known) == list(published.games())
  for game, each in known.items():
    assert len(each.frames) == 14 and np.all(np.diff(each.frames) > 0)
    assert (each.frames[0], each.frames[-2], each.frames[-1]) == (
        1e6, 199e6, 200e6)
    assert np.all(each.low[:-1] <= each.mean[:-1])
    assert np.all(each.mean[:-1] <= each.high[:-1])
    assert each.mean[-1] == final[game] and np.isnan(each.low[-1])
  assert (known['alien'].mean[0], known['alien'].high[1]) == (639.94, 955.0)


def test_published_seeds_are_drawn_for_atari_alone():
  tasks = ['atari_pong', 'dmc_walker_walk', 'atari_none', 'pong']
  found, = curves.published(tasks, published.curves())
  assert (found.task, found.method) == ('atari_pong', 'published seeds')
  # From -13.42 at 1M to -9.02 at 2M; nothing is known before.
  np.testing.assert_allclose(curves.at(found, 1.5e6), [-11.22])
  assert np.isnan(curves.at(found, 0.5e6)).all()


def test_a_curve_has_no_value_after_its_end():
  found = curves.over_seeds(_THREE, 10.0, 'std1')
  np.testing.assert_array_equal(curves.at(found, 25), [2, 3, 8])
  assert np.isnan(curves.at(found, 31)).all()


# Panels -----------------------------------------------------------------------

_NAMES = ['random', 'human_gamer', 'rainbow_sticky']


def _panel(name, found):
  tasks = {curve.task for curve in found}
  known = references.of_tasks(tasks, {})
  return panels.build(name, found, known, _NAMES)


@pytest.mark.parametrize('name, wanted', [
    ('gamer_median', (2.15, 1.47)), ('gamer_mean', (11.33, 9.12)),
    ('record_mean', (0.44, 0.17)), ('clip_record_mean', (0.28, 0.17))])
def test_the_panels_of_the_published_seeds_end_in_the_published_numbers(
    name, wanted):
  tasks = [f'atari_{game}' for game in published.games()]
  panel, note = _panel(name, curves.published(tasks, published.curves()))
  assert note is None and len(panel.tasks) == 55
  line = panel.lines['published seeds']
  assert line.xs[-1] == 200e6
  assert (round(panels.last(line), 2), round(
      panel.references['rainbow_sticky'], 2)) == wanted


def _two_games():
  return [
      curves.over_seeds([_run('0', [10, 20], [-20.7, 14.6]),
                         _run('1', [10, 20], [-20.7, 21.0])], 10.0, 'std1'),
      curves.over_seeds([_run('0', [10, 20, 30], [0, 14.8, 29.6],
                              'atari_freeway')], 10.0, 'std1')]


def test_panels_of_two_games_are_those_by_hand():
  # Pong from -20.7 to 14.6 (gamer), 21 (record); Freeway 0 to 29.6 and 38.
  found = _two_games()
  panel, _ = _panel('gamer_mean', found)
  line = panel.lines['a']
  np.testing.assert_array_equal(line.xs, [10, 20])  # as far as both reach
  np.testing.assert_allclose(line.values, [0, (38.5 / 35.3 + 0.5) / 2])
  assert np.isnan(line.low).all()  # Freeway has one seed
  assert panel.references['human_gamer'] == pytest.approx(1.0)
  panel, _ = _panel('record_mean', found)
  np.testing.assert_allclose(
      panel.lines['a'].values[-1], (38.5 / 41.7 + 14.8 / 38) / 2)
  panel, _ = _panel('mean', found)
  np.testing.assert_allclose(panel.lines['a'].values[-1], (17.8 + 14.8) / 2)
  panel, _ = _panel('human_above', found)
  np.testing.assert_array_equal(panel.lines['a'].values, [0, 1])
  panel, _ = _panel('seeds', found)
  np.testing.assert_array_equal(panel.lines['a'].values, [3, 3, 1])


def test_a_panel_is_the_aggregate_of_the_scores():
  got = scores.aggregate({'pong': 17.8, 'freeway': 14.8})
  found = _two_games()
  for name, value in zip(
      ('gamer_median', 'gamer_mean', 'record_mean', 'clip_record_mean'), got,
      strict=True):
    panel, _ = _panel(name, found)
    assert panels.last(panel.lines['a']) == pytest.approx(value)


def test_a_score_above_the_record_is_cut_in_one_panel_alone():
  found = [curves.over_seeds([_run('0', [10], [62.7])], 10.0, 'std1')]
  assert panels.last(_panel('record_mean', found)[0].lines['a']) == (
      pytest.approx(2.0))
  assert panels.last(_panel('clip_record_mean', found)[0].lines['a']) == 1.0


def test_with_several_seeds_of_each_task_a_panel_has_an_interval():
  pong = _two_games()[0]
  line = _panel('gamer_mean', [pong])[0].lines['a']
  assert line.low[-1] == pytest.approx(1.0)  # both drawn seeds the worse one
  assert line.high[-1] == pytest.approx(41.7 / 35.3)
  again = _panel('gamer_mean', [pong])[0].lines['a']
  np.testing.assert_array_equal(line.low, again.low)


def test_methods_are_compared_on_the_tasks_that_each_has():
  other = curves.over_seeds([_run('0', [10], [5.0], method='b')], 10.0, 'std1')
  panel, note = _panel('gamer_median', [*_two_games(), other])
  assert panel.tasks == ('atari_pong',)
  assert '1 of 2 tasks' in note
  apart = [_two_games()[1], other]
  panel, note = _panel('gamer_median', apart)
  assert panel is None and '0 of 2 tasks' in note


@pytest.mark.parametrize('add, tasks, wanted', [
    (['auto', 'seeds'], ['atari_a', 'atari_b'], [
        'gamer_median', 'gamer_mean', 'record_mean', 'clip_record_mean',
        'seeds']),
    (['auto'], ['dmc_a', 'dmc_b'], ['mean', 'median']),
    (['auto'], ['atari_a'], []), (['none'], ['atari_a', 'atari_b'], []),
    (['mean', 'mean'], ['catch'], ['mean'])])
def test_panels_that_are_asked_for(add, tasks, wanted):
  assert panels.chosen(add, tasks) == wanted
