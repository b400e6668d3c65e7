"""Published learning curves, and where a run lies beside them.

The authors of DreamerV2 published the scores of their runs, seed by seed
(github.com/danijar/dreamerv2, `scores/`). Two tables in `dreamerv2_tfa/reports`
restate of them the mean, the lowest and the highest seed at some environment
frames f, in points of the task. A seed's figure at f is a mean over frames:

- `dmc_vision.csv`: 20 tasks from pixels, 5 seeds, rounded to whole points; of
  the training episodes in (f - 30,000, f], one in 1,000 frames.
- `atari_curves.csv`: 55 games, 2 to 8 seeds; of the evaluations in
  (f - 2e6, f + 1e6], ten episodes in 1e6 frames; from f = 2e7 on, of a few
  million frames more.

A run is compared by the same mean over the same frames. No figures of runs
from joint positions (`dmc_proprio`) were published: those runs are compared
with the runs from pixels as well, and `verdict.md` says so.
"""

from collections.abc import Iterable
import csv
import functools
import pathlib
from typing import Any
from typing import NamedTuple

import matplotlib

from dreamerv2_tfa import checks
from dreamerv2_tfa.reports import published as published_scores
from dreamerv2_tfa.reports import verdict as verdict_lib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

Point, Compared = verdict_lib.Point, verdict_lib.Compared


class Suite(NamedTuple):
  """What was published of a suite, and how a run of it is measured."""

  presets: tuple[str, ...]  # the first one is the default
  action_repeat: int        # environment frames an agent step
  metric: str               # of metrics.jsonl, what the figures are means of
  before: int               # environment frames of a figure's mean before f
  after: int                # and after f
  every: int                # agent steps between two reports and evaluations


_SUITES = {
    'dmc': Suite(('dmc_proprio', 'dmc_vision'), 2,
                 *verdict_lib.MEANS['dmc'], 5_000),
    'atari': Suite(('atari', 'atari_paper'), 4,
                   *verdict_lib.MEANS['atari'], 25_000),
}


@functools.cache
def _figures() -> dict[str, list[Point]]:
  """The published points of every task."""
  tasks = [
      *(f'atari_{game}' for game in published_scores.curves()),
      *(f'dmc_{task}' for task in published_scores.control_curves())]
  return {task: verdict_lib.points(task) for task in tasks}


def published(task: str | None) -> list[Point]:
  """The published points of a task, by frames.

  Raises:
    ValueError: If nothing was published of it, with the nearest names.
  """
  if task is None:
    raise checks.UserError(
        'Got no --task; wanted one with a published curve. Give '
        '--task=dmc_walker_walk, for example.')
  published_scores.check('published curve of', task, _figures())
  return _figures()[task]


def suite_of(task: str) -> Suite:
  """The suite of a task that has a published curve."""
  return _SUITES[task.partition('_')[0]]


def preset(task: str, name: str | None) -> str:
  """The preset to train a task with: its name, or the default for None.

  Raises:
    UserError: If it is none of the published ones for the task.
  """
  known = suite_of(task).presets
  if name is not None and name not in known:
    raise checks.UserError(
        f'Got --preset={name} for {task}; wanted {" or ".join(known)}. Leave '
        f'it out for {known[0]}.')
  return name or known[0]


def seconds(minutes: float) -> float:
  """The length of a session.

  Raises:
    UserError: If it is not a positive number of at most 100,000 minutes.
  """
  if not 0 < minutes <= 1e5:
    raise checks.UserError(
        f'Got --minutes={minutes:g}; wanted more than 0, at most 100,000. Give '
        '--minutes=10, for example.')
  return 60 * minutes


def check_same(
    folder: pathlib.Path, there: dict[str, Any] | None, **here: Any,
) -> None:
  """Refuses to resume a run in a folder as another one.

  Args:
    folder: As the user gave it.
    there: `protocol.json` of the run there; None where there is none.
    **here: The task, presets and seed to train with, as that file names them.

  Raises:
    UserError: If one of them differs.
  """
  if there is None:
    return
  said = lambda run: ', '.join(
      f'{key} {" + ".join(run[key]) if key == "presets" else run[key]}'
      for key in here)
  if said(there) != said(here):
    raise checks.UserError(
        f'Got {said(here)}; the run in {folder} has {said(there)}. Give the '
        'same to resume it, or another --folder.')


def compare(
    rows: Iterable[dict[str, Any]], points: Iterable[Point], suite: Suite,
) -> list[Compared]:
  """Puts a run beside the published points that it has reached.

  Args:
    rows: Lines of the run's metrics.jsonl.
    points: Of its task.
    suite: Of its task.

  Returns:
    List of `Compared`, by frames; empty where it is too early.
  """
  return verdict_lib.compare(
      [(row['step'], row[suite.metric]) for row in rows
       if row.get(suite.metric) is not None],
      points, suite.before, suite.after)


def verdict(compared: list[Compared]) -> str:
  """'inside', 'above' or 'below' at the last frame compared, or 'too early'."""
  return compared[-1].word if compared else verdict_lib.TOO_EARLY


def text(
    run: dict[str, Any], points: list[Point], compared: list[Compared],
    frames: int,
) -> str:
  """What `verdict.md` says of a run: Markdown.

  Args:
    run: Its `protocol.json`.
    points: Of its task.
    compared: Of `compare`.
    frames: Environment frames of its last report or evaluation.
  """
  task, of = run['task'], suite_of(run['task'])
  seeds = (compared[-1].point if compared else points[0]).seeds
  end = points[0].frames + of.after
  lines = [
      f'# {task}: {verdict(compared)}', '',
      f'Preset {" + ".join(run["presets"])}, seed {run["seed"]}, {frames:,} '
      'environment frames.'
      + ('' if compared else f' The first comparison is at {end:,} frames.'),
      '', *_table(compared),
      f'This run: `{of.metric}`, the mean from {of.before:,} frames before to '
      f'{of.after:,} after. Published: the same mean of {seeds} seeds of the '
      "authors' runs.",
  ]
  if 'dmc_proprio' in run['presets']:
    lines.append(
        'Theirs observed pixels, this run joint positions and velocities: no '
        'such figures were published.')
  lines += [
      f'An equally good seed is below all {seeds} of theirs at one frame in '
      f'{seeds + 1}, and above all as often.', '', '![curve](curve.png)', '']
  return '\n'.join(lines)


def _table(compared):
  if not compared:
    return []
  return [
      '| frames | this run | lowest seed | published mean | highest seed | '
      'this run is |', '|---:|---:|---:|---:|---:|---|',
      *(f'| {point.frames:,} | {value:.1f} | {point.low:g} | {point.mean:g} | '
        f'{point.high:g} | {where} |' for point, value, where in compared), '']


def write_curve(path: pathlib.Path, rows: Iterable[dict[str, Any]]) -> None:
  """Writes the returns of a run as CSV, a line for each one in `rows`."""
  names = ('train_return', 'eval_return')
  with path.open('w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('frames', *names))
    writer.writerows(
        (row['step'], *(row.get(name, '') for name in names)) for row in rows
        if any(name in row for name in names))


def draw(
    path: pathlib.Path, rows: list[dict[str, Any]], points: list[Point],
    compared: list[Compared], title: str,
) -> None:
  """Draws a run over the published range.

  Args:
    path: Of the picture.
    rows: Lines of the run's metrics.jsonl.
    points: Of its task.
    compared: Of `compare`.
    title: Above the picture.
  """
  reached = max((row['step'] for row in rows), default=0)
  last = next(
      (i for i, point in enumerate(points)
       if i > 2 and point.frames >= 1.3 * reached), len(points))
  frames, mean, low, high, seeds = zip(*points[:last + 1], strict=True)
  figure, axes = plt.subplots(figsize=(6.0, 3.4), layout='constrained')
  axes.fill_between(frames, low, high, color='grey', alpha=0.25, linewidth=0)
  axes.plot(frames, mean, color='grey', marker='.',
            label=f'published: mean, lowest, highest of {max(seeds)} seeds')
  for name in ('train_return', 'eval_return'):
    curve = [(row['step'], row[name]) for row in rows
             if row.get(name) is not None]
    if curve:
      axes.plot(*zip(*curve, strict=True), linewidth=0.8, marker='.',
                label=name)
  if compared:
    axes.plot([each.point.frames for each in compared],
              [each.value for each in compared], color='black', marker='o',
              linestyle='none', label='this run, the mean compared')
  axes.set(xlabel='environment frames', ylabel='return', title=title,
           xlim=(0, 1.02 * max(frames[-1], reached)))
  axes.legend(fontsize=8)
  figure.savefig(path, dpi=110)
  plt.close(figure)
