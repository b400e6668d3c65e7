"""Figures: the files that are written, and what is in them."""

import json
import struct

from matplotlib import colors
import matplotlib.figure
import numpy as np
import pytest

from dreamerv2_tfa import checks
from dreamerv2_tfa.reports import curve_files
from dreamerv2_tfa.reports import curves
from dreamerv2_tfa.reports import figures
from dreamerv2_tfa.reports import panels
from dreamerv2_tfa.reports import plots
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references

_SMALL = figures.Options(look=plots.Look(dpi=40))


def _write(folder, text, protocol=None):
  folder.mkdir(parents=True)
  (folder / 'metrics.jsonl').write_text(text)
  if protocol:
    (folder / 'protocol.json').write_text(json.dumps({
        'action_repeat': 4, 'precision': 'float32', 'presets': ['atari'],
        **protocol}))


def _text(scale):
  return ''.join(
      json.dumps({'step': step, 'eval_return': scale * step / 1e6}) + '\n'
      for step in range(500_000, 4_000_001, 500_000))


@pytest.fixture
def both(tmp_path):
  """A folder of our runs, and one of the published package."""
  for seed in (0, 1):
    _write(tmp_path / 'runs' / f'pong-{seed}', _text(1 + seed),
           {'task': 'atari_pong', 'seed': seed})
    _write(tmp_path / 'logdir' / 'atari_pong' / 'dreamerv2' / str(seed),
           _text(3 + seed))
  return tmp_path / 'runs', tmp_path / 'logdir'


def _read(folder):
  return json.loads((folder / 'curves.json').read_text())


def _size(path):
  """Width and height of a PNG file."""
  data = path.read_bytes()
  assert data[:8] == b'\x89PNG\r\n\x1a\n'
  return struct.unpack('>II', data[16:24])


def test_the_published_scores_draw_55_games_and_the_panels(tmp_path):
  paths, notes = figures.write([], tmp_path, _SMALL)
  assert [path.name for path in paths] == [
      'curves.png', 'curves.pdf', 'comparison.png', 'comparison.pdf',
      'curves.json']
  assert notes == []
  assert _size(paths[0]) == (600, 940)  # ten lines of six panels, legend
  for path in paths[1::2]:
    assert path.read_bytes()[:5] == b'%PDF-' and path.stat().st_size > 10_000
  content = _read(tmp_path)
  assert len({each['task'] for each in content['curves']}) == 55
  last = {name: panel['methods']['published seeds']['last']
          for name, panel in content['panels'].items()}
  assert {name: round(value, 2) for name, value in last.items()} == {
      'gamer_median': 2.15, 'gamer_mean': 11.33, 'record_mean': 0.44,
      'clip_record_mean': 0.28, 'seeds': 421}
  assert content['baselines']['atari_pong'] == {
      'random': -20.7, 'human_gamer': 14.6,
      'rainbow_sticky': published.scores('rainbow_sticky')['pong']}
  assert content['comparison']['at'] == 200e6


def test_the_numbers_and_lines_are_in_the_picture():
  tasks = [f'atari_{game}' for game in published.games()]
  found = curves.published(tasks, published.curves())
  known = references.of_tasks(tasks, {})
  names = ['random', 'human_gamer']
  panel, _ = panels.build('gamer_median', found, known, names)
  drawn = plots.figure(found, [panel], known, names, plots.Look())
  axes = drawn.axes
  assert len([each for each in axes if each.axison]) == 56
  assert axes[0].get_title() == 'Alien' and axes[0].get_xlim()[1] > 200e6
  levels = [line.get_ydata()[0] for line in axes[0].lines]
  assert levels[-2:] == [228.8, 7127.7]
  assert [text.get_text() for text in axes[55].texts] == ['2.15']
  legend, = drawn.legends
  assert [text.get_text() for text in legend.get_texts()] == [
      'DreamerV2, published', 'random play', 'human gamer']


def test_a_run_of_ours_and_one_of_the_published_package_are_in_one_figure(
    both, tmp_path, monkeypatch):
  titles = []
  save = matplotlib.figure.Figure.savefig
  monkeypatch.setattr(
      matplotlib.figure.Figure, 'savefig', lambda drawn, *args, **kwargs: (
          titles.append([axes.get_title() for axes in drawn.axes]),
          save(drawn, *args, **kwargs)))
  figures.write(both, tmp_path / 'out', _SMALL)
  assert titles[0] == ['Pong', 'Runs']
  content = _read(tmp_path / 'out')
  assert [(each['task'], each['method']) for each in content['curves']] == [
      ('atari_pong', 'dreamerv2'), ('atari_pong', 'dreamerv2_tfa:atari'),
      ('atari_pong', 'published seeds')]
  theirs, ours, _ = content['curves']
  assert theirs['xs'] == ours['xs'] and ours['xs'][-1] == 4e6
  assert (ours['middle'][-1], theirs['middle'][-1]) == (6.0, 14.0)
  assert (ours['low'][-1], ours['high'][-1]) == (4.0, 8.0)
  assert [each['seed'] for each in content['runs']] == ['0', '1'] * 2
  pair = content['comparison']['probability_of_improvement'][0]
  assert (pair['method'], pair['over'], pair['value']) == (
      'dreamerv2', 'dreamerv2_tfa:atari', 1.0)


def test_runs_have_the_axis_and_the_published_seeds_are_cut_to_it(both):
  found = curve_files.read(both, curve_files.Wanted())
  own = [curves.over_seeds(found.runs[:2], 1e5, 'std1')]
  own += curves.published(['atari_pong'], published.curves())
  drawn = plots.figure(own, [], {}, [], plots.Look())
  axes, = drawn.axes
  assert 4e6 <= axes.get_xlim()[1] < 4.2e6
  line = axes.lines[-1]
  # Between -9.02 at 2M and 10.83 at 5M.
  assert line.get_xdata()[-1] == 4e6
  assert line.get_ydata()[-1] == pytest.approx(-9.02 + 19.85 * 2 / 3)
  assert axes.get_ylim()[1] < 17


def test_the_same_input_gives_the_same_files(both, tmp_path):
  for name in ('one', 'two'):
    figures.write(both, tmp_path / name, _SMALL)
  for path in (tmp_path / 'one').iterdir():
    assert path.read_bytes() == (tmp_path / 'two' / path.name).read_bytes()
  assert 'NaN' not in (tmp_path / 'one' / 'curves.json').read_text()


def test_an_older_comparison_does_not_stay(both, tmp_path):
  figures.write(both, tmp_path / 'out', _SMALL)
  wanted = curve_files.Wanted(yaxis='step')
  _, notes = figures.write(both, tmp_path / 'out', _SMALL._replace(
      wanted=wanted))
  assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
      'curves.json', 'curves.pdf', 'curves.png']
  content = _read(tmp_path / 'out')
  assert content['comparison'] is None and notes == []
  # No return: neither published seeds nor baselines belong in it.
  assert len(content['curves']) == 2 and content['baselines'] == {
      'atari_pong': {}}


@pytest.mark.parametrize('agg, lines', [('none', 4), ('std1', 6)])
def test_seeds_are_drawn_under_their_mean_or_alone(both, agg, lines):
  found = curve_files.read(both, curve_files.Wanted())
  by_method = [curves.over_seeds(found.runs[i:i + 2], 1e5, agg) for i in (0, 2)]
  drawn = plots.figure(
      by_method, [], {}, [], plots.Look(), seeds_only=agg == 'none')
  assert len(drawn.axes[0].lines) == lines


def test_a_method_may_be_called_as_a_baseline(both, tmp_path):
  options = _SMALL._replace(baselines=('dreamerv2$',), published=False)
  figures.write(both, tmp_path / 'out', options)
  found = curve_files.read(both, curve_files.Wanted())
  style = plots.styles(
      [curves.over_seeds(found.runs[2:], 1e5, 'std1')], ['dreamerv2'],
      plots.Look(colors={}))
  assert [each.label for each in style.values()] == [
      'dreamerv2', 'DreamerV2, 200M']


def test_colours_and_labels_are_taken(both):
  found = curve_files.read(both, curve_files.Wanted())
  own = [curves.over_seeds(found.runs[2:], 1e5, 'std1')]
  look = plots.Look(labels={'dreamerv2': 'Theirs'},
                    colors={'dreamerv2': 'black'})
  style = plots.styles(own, [], look)['dreamerv2']
  assert (style.label, colors.to_hex(style.color)) == ('Theirs', '#000000')


@pytest.mark.parametrize('number, text', [
    (200e6, '200M'), (2500, '2.5k'), (0.1 + 0.2, '0.3'), (-2e4, '-20k'),
    (0, '0')])
def test_numbers_on_axes_are_short(number, text):
  assert plots.short(number) == text


_LOOK = plots.Look
_WRONG = [
    (_SMALL._replace(agg='std'), 'agg must be one of .*Did you mean .std1'),
    (_SMALL._replace(add=('gamer',)), 'add must be one of '),
    (_SMALL._replace(bins=-2.0), 'bins must be a number'),
    (_SMALL._replace(bins=np.inf), 'bins must be a number'),
    (_SMALL._replace(at=0.0), 'at must be a number above 0'),
    (_SMALL._replace(baselines=('[',)), 'baselines must be a regular'),
    (_SMALL._replace(look=_LOOK(cols=0)), 'cols must be a whole number'),
    (_SMALL._replace(look=_LOOK(palette=('redd',))), 'redd. is no colour'),
    (_SMALL._replace(look=_LOOK(colors={'dreamer': 'red'})),
     'colors must be one of .*dreamer'),
    (_SMALL._replace(published=False), 'Nothing to draw'),
    (_SMALL._replace(wanted=curve_files.Wanted(tasks=('dmc',))),
     'Nothing to draw'),
]


@pytest.mark.parametrize('options, message', _WRONG, ids=lambda x: x if (
    isinstance(x, str)) else '')
def test_a_wrong_option_is_refused_before_anything_is_written(
    tmp_path, options, message):
  with pytest.raises(checks.UserError, match=message):
    figures.write([], tmp_path / 'out', options)
  assert not (tmp_path / 'out').exists()


def test_scores_without_runs_are_refused(tmp_path):
  path = tmp_path / 'a_baselines.json'
  path.write_text('{"catch": {"random": 0}}')
  with pytest.raises(checks.UserError, match='no run to draw over them'):
    figures.write([path], tmp_path / 'out', _SMALL)
  with pytest.raises(checks.UserError, match='outdir .* is a folder of --in'):
    figures.write([tmp_path], tmp_path, _SMALL)
