"""Draws learning curves: a grid of tasks and summary panels, one legend."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
import re
from typing import Any
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.reports import curves as curves_lib
from dreamerv2_tfa.reports import panels as panels_lib
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references as references_lib

_PALETTES = {  # --palette; also any colours of matplotlib
    'contrast': (
        '#cc3311', '#009988', '#ee7733', '#aa3377', '#0077bb', '#ddaa33',
        '#332288', '#117733',
    ),
    'discrete': (
        'tab:red', 'tab:green', 'tab:orange', 'tab:purple', 'tab:brown',
        'tab:pink', 'tab:olive', 'tab:cyan',
    ),
    'gradient': (
        '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962',
        '#addc30',
    ),
}
_PUBLISHED, _DREAMER = '#4477aa', 'DreamerV2, published'
_REFERENCES = {  # colour and line
    'random': ('#999999', ':'), 'human_gamer': ('#222222', '--'),
    'human_record': ('#222222', (0, (6, 2, 1, 2))),
}
_OTHERS = [
    (colour, line) for line in ('-.', (0, (4, 1, 1, 1, 1, 1)), (0, (1, 1)))
    for colour in ('#777777', '#aa8855', '#77aa77', '#9977aa')]
_LABELS = {
    'random': 'random play', 'human_gamer': 'human gamer',
    'human_record': 'human record', 'rainbow_sticky': 'Rainbow, 200M',
    'iqn_sticky': 'IQN, 200M', 'c51_sticky': 'C51, 200M',
    'dqn_sticky': 'DQN, 200M', 'dreamerv2': 'DreamerV2, 200M',
    'dreamerv2_schedules': 'DreamerV2 with schedules, 200M',
}
_LEAST = 2e6  # frames shown where the published seeds, from 1e6 on, are drawn
_ACROSS = 4   # numbers side by side in a summary panel
_FEW = 12     # points of a curve, from which on they are not marked


class Look(NamedTuple):
  """How figures look; as the flags of `bin/plot`."""

  size: tuple[float, float] = (2.5, 2.3)  # inches of a panel
  dpi: int = 100
  cols: int = 6
  legendcols: int = 4
  xlim: tuple[float, float] | None = None
  ylim: tuple[float, float] | None = None
  ylimticks: bool = True  # a tick at both ends of ylim
  xticks: int = 4         # at most
  yticks: int = 5
  xlabel: str | None = None
  ylabel: str | None = None
  labels: Mapping[str, str] = {}  # by method
  colors: Mapping[str, str] = {}
  palette: tuple[str, ...] = ('contrast',)


def figure(
    curves: Sequence[curves_lib.Curve], panels: Sequence[panels_lib.Panel],
    references: dict[str, dict[str, float]], names: Sequence[str],
    look: Look, *, seeds_only: bool = False,
) -> Any:
  """Draws tasks in alphabetical order, then panels.

  Args:
    curves: Of all tasks and methods.
    panels: Summary panels.
    references: Scores by task and name.
    names: Of the references that are drawn.
    look: `Look`.
    seeds_only: Draw each run, instead of middle and interval.

  Returns:
    A matplotlib `Figure`.
  """
  tasks = sorted({curve.task for curve in curves})
  count = len(tasks) + len(panels)
  lines = math.ceil(count / look.cols)
  cols = math.ceil(count / lines)
  drawn = extras.load('matplotlib.figure', 'reports').Figure(
      figsize=(look.size[0] * cols, look.size[1] * lines + 0.5),
      layout='constrained')
  axes = drawn.subplots(lines, cols, squeeze=False).flatten()
  style = styles(curves, names, look)
  titles = _titles(tasks)
  for task, each in zip(tasks, axes, strict=False):
    own = [curve for curve in curves if curve.task == task]
    end = _end({curve.method: curve for curve in own}, look)
    _task(each, [_cut(curve, end) for curve in own], style, seeds_only)
    for name in names:
      if name in references.get(task, {}):
        _reference(each, references[task][name], style, name)
    _finish(each, titles[task], look, end, bool(look.ylim))
  for panel, each in zip(panels, axes[len(tasks):], strict=False):
    end = _end(panel.lines, look)
    _panel(each, panel, {
        method: _cut(line, end) for method, line in panel.lines.items()
        if len(line.xs)}, style)
    _finish(each, panel.title, look, end, False)
  for each in axes[count:]:
    each.axis('off')
  for index, each in enumerate(axes[:count]):
    each.set_xlabel(look.xlabel if index >= count - cols else None)
    each.set_ylabel(look.ylabel if index % cols == 0 else None)
  _legend(drawn, style, look, cols)
  return drawn


class Style(NamedTuple):
  """How a method or reference is drawn."""

  label: str
  color: str
  line: Any = '-'


def styles(
    curves: Sequence[curves_lib.Curve], names: Sequence[str], look: Look,
) -> dict[str, Style]:
  """`Style` by method and reference, in the order of the legend.

  Raises:
    UserError: If a colour is none.
  """
  methods = sorted({curve.method for curve in curves}, key=lambda method: (
      method == curves_lib.PUBLISHED, method))
  palette = [color for name in look.palette
             for color in _PALETTES.get(name, (name,))]
  found = {}
  for index, method in enumerate(methods):
    color = _PUBLISHED if method == curves_lib.PUBLISHED else (
        palette[index % len(palette)])
    label = _DREAMER if method == curves_lib.PUBLISHED else method
    found[method] = Style(label, color)
  others = [name for name in names if name not in _REFERENCES]
  for name in names:
    known = _REFERENCES.get(name)
    color, line = known or _OTHERS[others.index(name) % len(_OTHERS)]
    found[references_lib.key(name)] = Style(
        _LABELS.get(name, name), color, line)
  _check_names(look, found)
  for name, style in found.items():
    plain = name.removeprefix(references_lib.key(''))
    found[name] = style._replace(
        label=look.labels.get(plain, style.label),
        color=look.colors.get(plain, style.color))
  return found


def _check_names(look, found):
  """Refuses labels and colours of what is not drawn, and what is no colour."""
  names = [name.removeprefix(references_lib.key('')) for name in found]
  for flag, given in (('labels', look.labels), ('colors', look.colors)):
    for name in given:
      checks.choice(f'--{flag}', name, names)
  is_color = extras.load('matplotlib.colors', 'reports').is_color_like
  for color in (*look.palette, *look.colors.values()):
    if color not in _PALETTES and not is_color(color):
      raise checks.UserError(
          f'{color!r} is no colour of matplotlib, as red or #cc3311 is. Change '
          f'--colors or --palette (or {", ".join(_PALETTES)}).')


def _titles(tasks):
  """Short titles, where no two are equal."""
  short = {task: _words(task.partition('_')[2] or task) for task in tasks}
  alike = list(short.values())
  return {task: text if alike.count(text) == 1 else task
          for task, text in short.items()}


def _words(name):
  return name if re.search('[A-Z]', name) else name.replace('_', ' ').title()


def _end(methods, look):
  """The x where an axis ends: that of runs, rather than of the published."""
  if look.xlim:
    return look.xlim[1]
  ends = {method: each.xs[-1] for method, each in methods.items()
          if len(each.xs)}
  known = ends.pop(curves_lib.PUBLISHED, 0)
  end = max(ends.values(), default=known or 1.0)
  return max(end, _LEAST) if known else end


def _cut(line, end):
  """A curve or a panel's line up to an x, where its axis ends."""
  if line.xs[-1] <= end or line.xs[0] > end:
    return line
  xs = np.append(line.xs[line.xs < end], end)
  part = lambda ys: np.interp(xs, line.xs, ys)
  changed = {name: part(ys) for name, ys in line._asdict().items()
             if isinstance(ys, np.ndarray) and ys.ndim == 1}
  if 'ys' in changed or getattr(line, 'ys', None) is not None:
    changed['ys'] = np.stack([part(ys) for ys in line.ys])
  return line._replace(**changed)


def _task(axes, curves, style, seeds_only):
  """Curves of a task."""
  for index, curve in enumerate(curves):
    is_published = curve.method == curves_lib.PUBLISHED
    own, order = style[curve.method], 3 if is_published else 4 + index
    if not is_published and (seeds_only or len(curve.ys) > 1):
      for ys in curve.ys:
        axes.plot(
            curve.xs, ys, color=own.color, zorder=order,
            linewidth=1.2 if seeds_only else 0.5,
            alpha=0.8 if seeds_only else 0.35)
    if not seeds_only or is_published:
      axes.fill_between(
          curve.xs, curve.low, curve.high, color=own.color, linewidth=0,
          alpha=0.25 if is_published else 0.18, zorder=order)
      _curve(axes, curve.xs, curve.middle, own.color, is_published, order + .5)


def _curve(axes, xs, ys, color, is_published, order):
  """A line; where it has few points, they are marked.

  The published seeds after 200 million frames are a dot: their mean is over
  other seeds than before.
  """
  dot = is_published and xs[-1] == published.END
  line = slice(-1 if dot else None)
  few = len(xs) <= _FEW and not is_published
  axes.plot(
      xs[line], ys[line], color=color, zorder=order, linewidth=1.5,
      markersize=4, marker='.' if few else None)
  if dot:
    axes.plot(xs[-1:], ys[-1:], color=color, zorder=order, marker='o',
              markersize=3.5)


def _reference(axes, value, style, name):
  own = style[references_lib.key(name)]
  axes.axhline(
      value, color=own.color, linestyle=own.line, linewidth=1.0, zorder=2)


def _panel(axes, panel, lines, style):
  """A summary panel, with the last value of each method in its colour."""
  axes.set_facecolor('#f1f1f1')
  counts = panel.name == 'seeds'
  for name, value in panel.references.items():
    _reference(axes, value, style, name)
  texts = []
  for method in [each for each in style if each in lines]:
    line, color = lines[method], style[method].color
    axes.fill_between(
        line.xs, line.low, line.high, color=color, linewidth=0, alpha=0.2)
    _curve(axes, line.xs, line.values, color,
           method == curves_lib.PUBLISHED and not counts, 4)
    value = panels_lib.last(line)
    if value is not None:
      texts.append((f'{value:.0f}' if counts else f'{value:.2f}', color))
  if counts:
    axes.set_ylim(bottom=0)
  low, high = axes.get_ylim()
  room = 0.12 * math.ceil(len(texts) / _ACROSS) + 0.03  # for the numbers
  axes.set_ylim(low, low + (high - low) / (1 - min(room, 0.7)))
  for index, (text, color) in enumerate(texts):
    line, place = divmod(index, _ACROSS)
    axes.annotate(
        text, (0, 1), xytext=(5 + 34 * place, -3 - 12 * line),
        xycoords='axes fraction', textcoords='offset points', color=color,
        fontsize=9, va='top', fontweight='bold', zorder=9)


def _finish(axes, title, look, end, fixed):
  """Title, limits and ticks."""
  ticker = extras.load('matplotlib.ticker', 'reports')
  axes.set_title(title, fontsize=10)
  axes.set_xlim(*(look.xlim or (0, 1.02 * end)))
  if fixed:
    axes.set_ylim(*look.ylim)
  steps = [1, 2, 2.5, 5, 10]
  for axis, most in ((axes.xaxis, look.xticks), (axes.yaxis, look.yticks)):
    axis.set_major_locator(ticker.MaxNLocator(most, steps=steps))
    axis.set_major_formatter(lambda x, _: short(x))
  if fixed and look.ylimticks:
    low, high = look.ylim
    inside = [y for y in axes.get_yticks() if low < y < high]
    axes.set_yticks([low, *inside, high])
  axes.tick_params(labelsize=8)
  for side in ('top', 'right'):
    axes.spines[side].set_visible(False)


def short(number: float) -> str:
  """A number on an axis: '50M', '2.5k', '0.2'."""
  for unit, letter in ((1e9, 'G'), (1e6, 'M'), (1e3, 'k')):
    if abs(number) >= unit:
      return f'{number / unit:g}{letter}'
  return f'{round(number, 10):g}'


def _legend(drawn, style, look, cols):
  """One legend for all panels, below them."""
  lines = extras.load('matplotlib.lines', 'reports')
  handles = [
      lines.Line2D([], [], color=each.color, linestyle=each.line, linewidth=1.5)
      for each in style.values()]
  widest = max(len(each.label) for each in style.values())
  fits = max(1, int(look.size[0] * cols / (0.5 + 0.075 * widest)))
  drawn.legend(
      handles, [each.label for each in style.values()], fontsize=9,
      loc='outside lower center', ncols=min(look.legendcols, fits, len(style)),
      frameon=False)


def masked(values: np.ndarray) -> list[float | None]:
  """Numbers as JSON has them: what is not finite is None."""
  return [float(x) if math.isfinite(x) else None for x in values]
