"""The charts of a report: which lines are in which, as the page draws them."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa.reports import open_loop
from dreamerv2_tfa.reports import overview as overview_lib
from dreamerv2_tfa.reports import verdict as verdict_lib

FRAMES, AHEAD = 'environment frames', 'steps ahead'
RETURNS = 'Returns'  # the heading that comes first
_NAMES = ('eval_return', 'train_return')
_ENOUGH = 1.3  # published points are drawn to so many times the run's frames


class Chart(NamedTuple):
  """A chart; the fields are JSON."""

  title: str
  x: str  # what is along the x axis
  lines: list[dict[str, Any]]  # run, label, xs, ys
  published: dict[str, list[float]] | None  # xs, mean, low, high


def charts(
    runs: Sequence[overview_lib.Overview]) -> dict[str, list[Chart]]:
  """Charts by heading, in the order of the page.

  Returns are drawn a task each, all other metrics a chart each.
  """
  found = {
      RETURNS: _returns(runs), 'Losses': [], 'Gradients': [],
      'Other metrics': []}
  names = sorted({name for run in runs for name in run.metrics})
  for name in names:
    if name not in _NAMES:
      found[_heading(name)].append(
          Chart(name, FRAMES, _lines(runs, name), None))
  found['Open-loop errors'] = _open_loop(runs)
  return {heading: each for heading, each in found.items() if each}


def _heading(name):
  return ('Losses' if name.endswith('_loss') else
          'Gradients' if name.endswith('_grad_norm') else 'Other metrics')


def _lines(runs, name, task=None):
  return [
      {'run': number, 'label': run.name, 'xs': run.metrics[name].xs,
       'ys': run.metrics[name].ys}
      for number, run in enumerate(runs)
      if name in run.metrics and task in (None, run.task)]


def _returns(runs):
  tasks = list(dict.fromkeys(run.task for run in runs))
  found = []
  for task in tasks:
    for name in _NAMES:
      lines = _lines(runs, name, task)
      known = (_published(runs, task)
               if name == verdict_lib.mean(task).metric else None)
      if lines or known:
        found.append(Chart(f'{name}, {task}', FRAMES, lines, known))
  return found


def _published(runs, task):
  """The published seeds of a task as far as its runs, or some more."""
  here = [run for run in runs if run.task == task]
  known = here[0].verdict.points
  if not known:
    return None
  reached = max(run.progress.frames for run in here)
  last = next((
      i for i, point in enumerate(known)
      if i > 1 and point.frames >= _ENOUGH * reached), len(known))
  shown = known[:last + 1]
  return {'xs': [point.frames for point in shown], **{
      name: [getattr(point, name) for point in shown]
      for name in ('mean', 'low', 'high')}}


def _open_loop(runs):
  """A chart a part of what is foreseen, of each run that has errors."""
  found = []
  for number, run in enumerate(runs):
    for key, errors in (run.open_loop or {}).items():
      lines = [
          {'run': number + i, 'xs': list(range(1, 1 + len(errors[way]))),
           'label': way.replace('_', ' '), 'ys': errors[way]}
          for i, way in enumerate(open_loop.WAYS)]
      found.append(Chart(
          f'{run.name}: mean squared error of {key}', AHEAD, lines, None))
  return found
