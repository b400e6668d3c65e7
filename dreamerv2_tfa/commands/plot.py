"""`bin/plot`: learning curves of runs, over those that are published.

Its flags are those of the published package's plot script, which also stand as
they do there: `--tasks pong freeway` for `--tasks=pong --tasks=freeway`.
"""

from collections.abc import Sequence
import os
import re
import sys

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import help as help_lib

_several = flags.DEFINE_multi_string
_INDIR = _several(
    'indir', [], 'Folder of runs, of bin/train or of the published package, or '
    '.json file of its scores; repeatable. Without it: the published seeds.')
_INDIR_PREFIX = flags.DEFINE_string(
    'indir_prefix', None, 'Folder that every --indir is in.')
_OUTDIR = flags.DEFINE_string('outdir', None, 'Folder of the figures.')
_SUBDIR = flags.DEFINE_bool(
    'subdir', False, 'Write to a folder in --outdir, named as the first '
    '--indir.')
_XAXIS = flags.DEFINE_string('xaxis', 'step', 'Key of x; step is frames.')
_YAXIS = flags.DEFINE_string('yaxis', 'eval_return', 'Key of y.')
_XMULT = flags.DEFINE_float('xmult', 1.0, 'Factor of x.')
_MAXVAL = flags.DEFINE_float(
    'maxval', 0.0, 'Largest y, and with - the least; infinite y become it. 0: '
    'no limit.')
_TASKS = _several(
    'tasks', ['.*'], 'Pattern of tasks; repeatable.')
_METHODS = _several('methods', ['.*'], 'Pattern of methods; repeatable.')
_PREFIX = flags.DEFINE_bool(
    'prefix', False, 'Name methods indir1_..., indir2_..., by their --indir.')
_BASELINES = _several(
    'baselines', ['^random$', '^human_gamer$', '^rainbow_sticky$'],
    'Pattern of scores to draw as lines; repeatable.')
_PUBLISHED = flags.DEFINE_bool(
    'published', True, 'Draw Atari over the published seeds.')
_BINS = flags.DEFINE_float(
    'bins', -1.0, 'Frames of which y is averaged; 0: none; -1: 1e6 for Atari, '
    '1e4 for DMC and Crafter, 1e5 for others, less for short runs.')
_AGG = flags.DEFINE_string(
    'agg', 'std1', 'Seeds as a curve: std1 (mean, standard deviation), per0, '
    'per5, per25 (median, percentiles from there), none (each seed).')
_ADD = _several(
    'add', ['auto', 'seeds'], 'Summary panel; repeatable.')
_AT = flags.DEFINE_float(
    'at', None, 'Frames at which rliable compares methods. Without it: the '
    'most that all reach.')
_SIZE = _several('size', ['2.5', '2.3'], 'Inches of a panel, two numbers.')
_DPI = flags.DEFINE_integer('dpi', 100, 'Resolution of the PNG files.')
_COLS = flags.DEFINE_integer('cols', 6, 'Panels side by side, at most.')
_LEGENDCOLS = flags.DEFINE_integer(
    'legendcols', 4, 'Columns of the legend, at most.')
_XLIM = _several('xlim', [], 'Ends of the x axis, two numbers.')
_YLIM = _several('ylim', [], 'Ends of the y axis, two numbers.')
_YLIMTICKS = flags.DEFINE_bool(
    'ylimticks', True, 'Ticks at the ends that --ylim gives.')
_XTICKS = flags.DEFINE_integer('xticks', 4, 'Ticks of x, about.')
_YTICKS = flags.DEFINE_integer('yticks', 5, 'Ticks of y, about.')
_XLABEL = flags.DEFINE_string('xlabel', None, 'Text below the last panels.')
_YLABEL = flags.DEFINE_string('ylabel', None, 'Text left of the first panels.')
_LABELS = _several('labels', [], 'Method or score, and its name in the legend.')
_COLORS = _several('colors', [], 'Method or score, and its colour.')
_PALETTE = _several(
    'palette', ['contrast'], 'contrast, discrete, gradient, or colours.')

_BOOLEANS = ('subdir', 'prefix', 'published', 'ylimticks')
_SEVERAL = (
    'indir', 'tasks', 'methods', 'baselines', 'add', 'size', 'xlim', 'ylim',
    'labels', 'colors', 'palette')
PAGE = help_lib.Page(
    'plot', 'Draws learning curves, summary panels and comparisons by rliable '
    'as PNG and PDF, and writes the numbers to curves.json. Flags that take '
    'several values also take them as words: --tasks pong freeway.',
    '[--indir=DIR ...] --outdir=DIR [--flag=VALUE ...]',
    {
        'What to draw': [
            'indir=DIR', 'indir_prefix=DIR',
            ('tasks=PATTERN', 'Pattern of tasks; repeatable, one has to be '
             'found (default: all).'),
            ('methods=PATTERN', 'Pattern of methods; repeatable (default: '
             'all).'),
            'prefix', 'xaxis=KEY', 'yaxis=KEY', 'xmult=NUMBER',
            'maxval=NUMBER'],
        'Over what': [
            ('published', 'Draw Atari over the published seeds (default: '
             'true); --nopublished.'),
            ('baselines=PATTERN', 'Scores to draw as lines; repeatable; none: '
             'no line (default: random, human_gamer and rainbow_sticky).')],
        'How': [
            'bins=FRAMES', 'agg=HOW',
            ('add=PANEL', 'Summary panel; repeatable: auto, gamer_median, '
             'gamer_mean, record_mean, clip_record_mean, mean, median, '
             'human_above, human_below, seeds, none (default: auto, seeds).'),
            'at=FRAMES'],
        'Where': ['outdir=DIR', 'subdir'],
        'Looks': [
            ('size=W --size=H', 'Inches of a panel (default: 2.5, 2.3).'),
            'dpi=N', 'cols=N', 'legendcols=N',
            ('xlim=A --xlim=B', 'Ends of the x axis.'),
            ('ylim=A --ylim=B', 'Ends of the y axis.'),
            ('ylimticks', 'Ticks at those ends (default: true).'),
            'xticks=N', 'yticks=N', 'xlabel=TEXT', 'ylabel=TEXT',
            ('labels=METHOD --labels=NAME', 'Names in the legend.'),
            ('colors=METHOD --colors=COLOR', 'Colours.'),
            ('palette=COLOR', 'contrast, discrete, gradient, or colours '
             '(default: contrast).')],
        'Look, do not draw': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('--outdir=plots', 'The published seeds of all 55 Atari games.'),
        ('--indir=runs --indir=logdir --outdir=plots',
         'Runs of bin/train and of the published package in one figure.'),
        ('--indir=runs --outdir=plots --tasks=pong --agg=none',
         'Each run of Pong by itself.'),
    ],
)


def run(unused_argv: list[str]) -> None:
  """Draws, and says what was written and what was left out."""
  if not _OUTDIR.value:
    raise checks.UserError(
        f'Where to? {help_lib.program(PAGE.name)} --indir=RUNS --outdir=DIR.')
  from dreamerv2_tfa.reports import figures  # after the flags: slow

  places = [os.path.join(_INDIR_PREFIX.value or '', place)
            for place in _INDIR.value]
  outdir = _OUTDIR.value
  if _SUBDIR.value and places:
    outdir = os.path.join(outdir, os.path.basename(os.path.normpath(places[0])))
  paths, notes = figures.write(places, outdir, _options())
  for note in notes:
    print(f'Note: {note}')
  print(f'Written: {", ".join(map(str, paths))}.')


def _options():
  """The flags as `figures.Options`."""
  from dreamerv2_tfa.reports import curve_files
  from dreamerv2_tfa.reports import figures
  from dreamerv2_tfa.reports import plots

  none = _BASELINES.value == ['none']
  return figures.Options(
      wanted=curve_files.Wanted(
          _XAXIS.value, _YAXIS.value, tuple(_TASKS.value),
          tuple(_METHODS.value), _PREFIX.value, _XMULT.value, _MAXVAL.value),
      baselines=() if none else tuple(_BASELINES.value), bins=_BINS.value,
      agg=_AGG.value, add=tuple(_ADD.value), at=_AT.value,
      published=_PUBLISHED.value,
      look=plots.Look(
          size=_two('size', _SIZE.value, low=1.0) or (2.5, 2.3), dpi=_DPI.value,
          cols=_COLS.value, legendcols=_LEGENDCOLS.value,
          xlim=_two('xlim', _XLIM.value), ylim=_two('ylim', _YLIM.value),
          ylimticks=_YLIMTICKS.value, xticks=_XTICKS.value,
          yticks=_YTICKS.value, xlabel=_XLABEL.value, ylabel=_YLABEL.value,
          labels=_pairs('labels', _LABELS.value),
          colors=_pairs('colors', _COLORS.value),
          palette=tuple(_PALETTE.value)))


def _two(name, words, low=float('-inf')):
  """Two increasing numbers, or None; of a size, neither below `low`."""
  if not words:
    return None
  try:
    one, two = map(float, words)
  except ValueError:
    one, two = 1.0, 0.0
  fits = one < two if low < 0 else low <= min(one, two) and one + two < 100
  if not fits:
    what = 'the smaller first' if low < 0 else f'of {low} or more'
    raise checks.UserError(
        f'--{name} takes two numbers, {what}; got {" ".join(words)}.')
  return one, two


def _pairs(name, words):
  """Words in turn as keys and values."""
  if len(words) % 2:
    raise checks.UserError(
        f'--{name} takes pairs, a method and what it gets; got '
        f'{" ".join(words)}.')
  return dict(zip(words[::2], words[1::2], strict=True))


def spread(argv: Sequence[str]) -> list[str]:
  """Arguments as the published script takes them, as absl takes them.

  `--tasks a b` becomes `--tasks=a --tasks=b`, `--prefix True` becomes
  `--prefix=True`, and `--indir-prefix` becomes `--indir_prefix`.
  """
  found, name = [], None
  for word in argv:
    is_flag = word.startswith('-') and not re.match(r'-\.?\d', word)
    if is_flag:
      dashed, is_pair, value = word.partition('=')
      if dashed == '--indir-prefix':
        dashed = '--indir_prefix'
      name = dashed.lstrip('-')
      found.append(dashed + is_pair + value)
    elif name in _SEVERAL:
      if found[-1] == f'--{name}':
        found.pop()
      found.append(f'--{name}={word}')
    elif name in _BOOLEANS and word in ('True', 'False'):
      found[-1] = f'--{name}={word}'
    else:
      found.append(word)
  return found


def main() -> None:
  """Entry point of the console script."""
  sys.argv = spread(sys.argv)
  arguments.main(run, PAGE)


if __name__ == '__main__':
  main()
