"""The charts of a report: which lines are in which, as the page draws them."""

from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa.reports import open_loop
from dreamerv2_tfa.reports import overview as overview_lib
from dreamerv2_tfa.reports import verdict as verdict_lib

FRAMES, AHEAD = 'environment frames', 'steps ahead'
RETURNS = 'Returns'  # the heading that comes first
DIAGNOSTICS = 'Diagnostics'  # that of what the last evaluation has measured
_NAMES = ('eval_return', 'train_return')
_LABELS = {'open_loop': 'model', 'kl': 'KL'}
_ENOUGH = 1.3  # published points are drawn to so many times the run's frames


class Chart(NamedTuple):
  """A chart; the fields are JSON."""

  title: str
  x: str  # what is along the x axis
  lines: list[dict[str, Any]]  # run, label, xs, ys; guide: no line of a run
  published: dict[str, list[float]] | None  # xs, mean, low, high


def charts(
    runs: Sequence[overview_lib.Overview]) -> dict[str, list[Chart]]:
  """Charts by heading, in the order of the page.

  Returns are drawn a task each, all other metrics a chart each.
  """
  found = {
      RETURNS: _returns(runs), DIAGNOSTICS: _diagnostics(runs),
      'Diagnostics over the run': [], 'Losses': [], 'Gradients': [],
      'Other metrics': []}
  names = sorted({name for run in runs for name in run.metrics})
  for name in names:
    if name not in _NAMES:
      found[_heading(name)].append(
          Chart(name, FRAMES, _lines(runs, name), None))
  found['Open-loop errors'] = _open_loop(runs)
  return {heading: each for heading, each in found.items() if each}


def _heading(name):
  return ('Diagnostics over the run' if name.startswith('diagnostics/') else
          'Losses' if name.endswith('_loss') else
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


def _diagnostics(runs):
  """Charts of the curves of each run that has some."""
  found = []
  for number, run in enumerate(runs):
    curves = run.diagnostics
    if curves is None:
      continue
    named = lambda title, run=run: (
        title if len(runs) == 1 else f'{run.name}: {title}')
    each = [
        *(Chart(f'mean squared error of {part}', AHEAD,
                _steps(number, errors), None)
          for part, errors in curves.horizon.items()),
        *(_reliability(number, part, bins)
          for part, bins in curves.reliability.items()),
        _latents(number, curves.latents),
        Chart('value and realised return', 'steps of an episode',
              _steps(number, curves.value), None),
        Chart('imagined and real rewards', 'steps of a rollout',
              _steps(number, curves.imagined), None)]
    found += [
        chart._replace(title=named(chart.title)) for chart in each
        if any(y is not None for line in chart.lines for y in line['ys'])]
  return found


def _steps(number, curves):
  """A line a curve, by steps from 1."""
  return [
      {'run': number + i, 'label': _LABELS.get(name, name.replace('_', ' ')),
       'xs': list(range(1, 1 + len(ys))), 'ys': ys}
      for i, (name, ys) in enumerate(curves.items())]


def _reliability(number, part, bins):
  """What was observed by what was predicted, beside where both are equal."""
  pairs = sorted(
      (x, y) for x, y in zip(bins['predicted'], bins['observed'], strict=True)
      if x is not None and y is not None)
  xs, ys = [list(each) for each in zip(*pairs, strict=True)] or ([], [])
  count = sum(each or 0.0 for each in bins.get('count', ()))
  of = f', {count:,.0f} steps' if count else ''
  ends = [min(xs + ys), max(xs + ys)] if pairs else []
  return Chart(
      f'reliability of {part}{of}', f'predicted {part}',
      [{'run': number, 'label': 'observed', 'xs': xs, 'ys': ys},
       {'run': number, 'label': 'as predicted', 'xs': ends, 'ys': ends,
        'guide': True}], None)


def _latents(number, latents):
  """KL and entropies of the latents, by falling KL."""
  kl = latents.get('kl', [])
  order = sorted(range(len(kl)), key=lambda i: -(kl[i] or 0.0))
  return Chart('latents, nats', 'latents by falling KL', _steps(number, {
      name: [ys[i] for i in order] for name, ys in latents.items()}), None)
