"""Scores: numbers by hand, the published ones, and files of one's own."""

import subprocess
import sys

import numpy as np
import pytest

from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import scores

# Random play, gamer and record, from the table: pong is -20.7 to 14.6 and to
# 21.0, freeway 0 to 29.6 and to 38.0, enduro 0 to 860.5 and to 9500.0.
_TOY = {'pong': 21.0, 'freeway': 14.8, 'enduro': 19000.0}


def _file(tmp_path, text):
  path = tmp_path / 'mine.csv'
  path.write_text(text)
  return path


def test_scores_are_shares_of_the_way_from_random_play_to_the_human():
  shares = scores.normalise(_TOY, 'human_gamer')
  np.testing.assert_allclose(shares, [41.7 / 35.3, 0.5, 19000 / 860.5])
  shares = scores.normalise(_TOY, 'human_record')
  np.testing.assert_allclose(shares, [1.0, 14.8 / 38.0, 2.0])


def test_aggregates_of_three_games_are_those_by_hand():
  got = scores.aggregate(_TOY)
  gamer = (41.7 / 35.3 + 0.5 + 19000 / 860.5) / 3
  np.testing.assert_allclose(got, [
      41.7 / 35.3, gamer, (1 + 14.8 / 38 + 2) / 3, (1 + 14.8 / 38 + 1) / 3
  ])


def test_a_score_below_random_play_counts_below_zero():
  assert scores.aggregate({'pong': -21.0}).clipped_record_mean < 0


@pytest.mark.parametrize('method, wanted', [
    ('dreamerv2', (2.15, 11.33, 0.44, 0.28)),
    ('dreamerv2_schedules', (2.64, 10.45, 0.43, 0.28)),
    ('rainbow_sticky', (1.47, 9.12, 0.17, 0.17)),
    ('iqn_sticky', (1.29, 8.85, 0.21, 0.21)),
])
def test_the_published_figures_give_the_published_numbers(method, wanted):
  got = scores.aggregate(published.scores(method))
  assert tuple(round(x, 2) for x in got) == wanted


def test_there_are_55_games_with_a_figure_of_every_method():
  assert len(published.games()) == 55
  for method in published.METHODS + published.REFERENCES:
    assert sorted(published.scores(method)) == list(published.games())


def test_every_human_is_better_than_random_play():
  low = published.scores('random')
  for human in ('human_gamer', 'human_record'):
    high = published.scores(human)
    assert all(high[game] > low[game] for game in published.games())


def test_an_unknown_name_is_refused_with_those_near_it():
  with pytest.raises(ValueError, match="method 'Dreamerv'.*dreamerv2"):
    published.scores('Dreamerv')
  with pytest.raises(ValueError, match="game 'ms_pac_man'.*ms_pacman"):
    scores.aggregate({'ms_pac_man': 1.0})
  with pytest.raises(ValueError, match='Known are dreamerv2, '):
    published.scores('@')


def test_no_scores_have_no_aggregate():
  with pytest.raises(ValueError, match='got none'):
    scores.aggregate({})


# Intervals --------------------------------------------------------------------


def test_the_interquartile_mean_leaves_a_quarter_out_on_each_side():
  # Freeway goes from 0 to 29.6; four games make shares 0.1, 0.5, 0.7 and 30.
  human, low = published.scores('human_gamer'), published.scores('random')
  shares = {'freeway': 0.1, 'pong': 0.5, 'enduro': 0.7, 'boxing': 30.0}
  own = {g: low[g] + x * (human[g] - low[g]) for g, x in shares.items()}
  got = scores.interquartile_mean(own, resamples=50)
  assert got.mean == pytest.approx((0.5 + 0.7) / 2)
  assert got.low < got.mean < got.high


def test_an_interval_is_the_same_every_time():
  ours = published.scores('rainbow_sticky')
  one, two, other = (
      scores.interquartile_mean(ours, resamples=50, seed=seed)
      for seed in (3, 3, 4)
  )
  assert one == two
  assert one.mean == other.mean and one.low != other.low


def test_rliable_is_not_imported_until_it_is_needed():
  code = ('import sys; from dreamerv2_tfa.reports import scores; '
          'print(scores.report(intervals=False)); '
          'assert not {"rliable", "pandas", "tensorflow"} & set(sys.modules)')
  subprocess.run([sys.executable, '-c', code], check=True)


def test_without_rliable_the_message_says_how_to_go_on(monkeypatch):
  monkeypatch.setitem(sys.modules, 'rliable', None)
  with pytest.raises(ImportError, match='--nointervals'):
    scores.interquartile_mean(_TOY)


# One's own scores -------------------------------------------------------------


def test_own_scores_are_compared_on_their_games_alone(tmp_path):
  path = _file(tmp_path, 'seed,game,score\n0,atari_pong,14.6\n1,freeway,29.6\n')
  assert scores.read(path) == {'pong': 14.6, 'freeway': 29.6}
  text = scores.report(path, intervals=False)
  lines = {line.split()[0]: line.split()[1:] for line in text.splitlines()}
  assert lines['yours'][:2] == ['1.00', '1.00']
  # (19.55 + 20.7) / 35.3 and 33.47 / 29.6
  assert lines['dreamerv2'][1] == f'{(40.25 / 35.3 + 33.47 / 29.6) / 2:.2f}'
  assert '53 of 55 are missing: alien, amidar' in text


def test_with_all_games_none_is_missing(tmp_path):
  rows = published.scores('dreamerv2').items()
  path = _file(tmp_path, 'game,score\n' + ''.join(
      f'{game},{score}\n' for game, score in rows
  ))
  text = scores.report(path, intervals=False)
  assert '2.15' in text.splitlines()[1] and 'missing' not in text


@pytest.mark.parametrize('text, message', [
    ('', 'columns game and score; got None'),
    ('name,score\npong,1\n', 'columns game and score'),
    ('game,score\n', 'no line'),
    ('game,score\npong,high\n', "line 2: the score of pong is 'high'"),
    ('game,score\npong\n', 'line 2: the score of pong is None'),
    ('game,score\npong,nan\n', 'wanted a finite number'),
    ('game,score\npong,1\nfreewy,2\n', 'line 3: .*freeway'),
    ('game,score\npong,1\natari_pong,2\n', 'line 3: pong is there twice'),
])
def test_a_file_that_cannot_be_read_is_refused_by_line(tmp_path, text, message):
  with pytest.raises(ValueError, match=message):
    scores.read(_file(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path):
  with pytest.raises(ValueError, match='cannot be read'):
    scores.read(tmp_path / 'none.csv')


@pytest.mark.parametrize('argument', ['--scores=none.csv', 'none.csv'])
def test_a_mistake_on_the_command_line_is_one_line(argument):
  done = subprocess.run(
      [sys.executable, '-m', 'dreamerv2_tfa.reports.scores', argument],
      capture_output=True, text=True,
  )
  assert done.returncode == 1
  assert done.stderr.startswith('Error: ') and done.stderr.count('\n') == 1
