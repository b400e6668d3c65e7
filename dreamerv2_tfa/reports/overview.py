"""What a run's folder says of the run, for a report; nothing is written there.

Everything in the folder is data: no file of it is run, and of gin files only
presets of this package are parsed.
"""

from collections.abc import Sequence
import datetime
import os
import statistics
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.diagnostics import findings as findings_lib
from dreamerv2_tfa.reports import attachments
from dreamerv2_tfa.reports import cautions
from dreamerv2_tfa.reports import diagnostics as diagnostics_lib
from dreamerv2_tfa.reports import values
from dreamerv2_tfa.reports import verdict as verdict_lib
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import presets as presets_lib
from dreamerv2_tfa.training import protocol as protocol_lib
from dreamerv2_tfa.training import runs

_MOST_POINTS = 1000   # of a line, else means over bins are drawn
_MOST_METRICS = 200
_RECENT = 20          # reports, over which the speed is a mean


class Series(NamedTuple):
  """A metric of a run."""

  xs: list[float]  # environment frames, increasing
  ys: list[float]  # finite
  last: float


class Progress(NamedTuple):
  """How far a run is."""

  frames: int
  steps: int                # agent steps
  wanted: int | None        # agent steps; None: not recorded
  fps: float | None         # frames a second, lately
  seconds: float | None     # until the end at that speed


class Difference(NamedTuple):
  """A setting that the run's presets bind to another value."""

  name: str
  preset: str
  run: str


class Overview(NamedTuple):
  """A run as its folder has it."""

  name: str
  task: str
  metrics: dict[str, Series]
  verdict: verdict_lib.Verdict
  progress: Progress
  protocol: list[tuple[str, str]]  # what, and its value
  differences: list[Difference]
  warnings: list[str]
  notes: list[str]
  findings: list[findings_lib.Finding]
  diagnostics: diagnostics_lib.Curves | None
  open_loop: dict[str, dict[str, list[float | None]]] | None
  media: list[attachments.Media]
  versions: str  # of Python and packages, a line each
  settings: str  # operative_config.gin
  written: str   # when metrics.jsonl was; '' without one


def gather(root: str | os.PathLike) -> Overview:
  """Reads a run.

  Args:
    root: Its folder; another process may be training there.

  Raises:
    UserError: If there is no run.
    ValueError: If a file that is needed is damaged.
  """
  folder = runs.RunFolder(root, 'RUN')
  if not folder.root.expanduser().is_dir():
    raise checks.UserError(
        f'There is no folder {folder.root}. Give the folder of a run, which '
        'bin/train --root_dir has written.')
  if not folder.protocol.exists():
    raise checks.UserError(
        f'There is no run in {folder.root}: {folder.protocol.name} is missing. '
        'Give the folder that bin/train --root_dir has written.')
  there = protocol_lib.wanted(folder.protocol)
  rows = metrics_lib.of_run(folder)
  settings = config.recorded(folder.config)
  found, unread = diagnostics_lib.lines(folder, rows)
  metrics, notes = _series(rows + found)
  differences, more = _differences(there['presets'], settings)
  errors = attachments.open_loop_errors(folder.root)
  media, left_out = attachments.media(folder, errors)
  curves, damage = diagnostics_lib.read(folder)
  last = {name: series.last for name, series in metrics.items()}
  findings = findings_lib.findings(last)
  judged = verdict_lib.judge(there['task'], values.points(
      rows, verdict_lib.mean(there['task']).metric))
  return Overview(
      folder.root.resolve().name or str(folder.root), there['task'], metrics,
      judged, _progress(rows, there, settings), _protocol(there, settings),
      differences,
      [*cautions.of_metrics(rows, last),
       *cautions.of_protocol(there, settings, judged),
       *cautions.of_findings(findings), *cautions.of_files(folder)],
      notes + unread + more + left_out + damage, findings, curves, errors,
      media, _versions(there),
      ''.join(f'{name} = {value}\n' for name, value in settings.items()),
      _written(folder.metrics))


def _written(path):
  """When a file was written, UTC; '' where there is none."""
  if not path.exists():
    return ''
  then = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
  return then.strftime('%Y-%m-%d %H:%M UTC')


def _series(rows):
  """Metrics as `Series` by name, and notes."""
  names = sorted({name for row in rows for name in row} - {'step'})
  notes = [] if len(names) <= _MOST_METRICS else [
      f'There are {len(names):,} metrics; {_MOST_METRICS} are shown.']
  found, longest = {}, 0
  for name in names[:_MOST_METRICS]:
    points = values.points(rows, name)
    if points:
      xs, ys = np.array(points).T
      longest = max(longest, len(xs))
      found[name] = Series(*_thinned(xs, ys), float(ys[-1]))
  if longest > _MOST_POINTS:
    notes.append(
        f'Of lines with up to {longest:,} points, means over {_MOST_POINTS:,} '
        'spans of frames are drawn.')
  return found, notes


def _thinned(xs, ys):
  """Lists of at most `_MOST_POINTS` means."""
  if len(xs) > _MOST_POINTS:
    parts = np.array_split(np.arange(len(xs)), _MOST_POINTS)
    xs, ys = (np.array([each[part].mean() for part in parts])
              for each in (xs, ys))
  return xs.tolist(), ys.tolist()


def _repeat(there):
  """Frames an agent step, as a float within bounds."""
  return min(max(values.number(there['action_repeat']) or 1.0, 1.0), 1e6)


def _progress(rows, there, settings):
  repeat = _repeat(there)
  frames = int(max([0.0, *(values.number(row['step']) or 0.0 for row in rows)]))
  fps = [y for _, y in values.points(rows, 'fps') if y > 0][-_RECENT:]
  # Some reports have an evaluation in them; all have the same frames.
  speed = statistics.harmonic_mean(fps) if fps else None
  wanted = values.number(values.literal(settings.get('train.steps', '')))
  left = None
  if wanted is not None and speed:
    left = max(wanted * repeat - frames, 0.0) / speed
  return Progress(
      frames, int(frames / repeat), None if wanted is None else int(wanted),
      speed, left)


def _protocol(there, settings):
  """Lines of the protocol card: what, and its value, as text."""
  get = lambda name: settings.get(name, '')
  sticky, full = get('load_atari.sticky'), get('load_atari.full_action_space')
  every = values.number(values.literal(get('train.steps_per_update')))
  listed = lambda each: ', '.join(map(str, each)) if isinstance(
      each, list) else ''
  lines = [
      ('Presets', listed(there['presets']) or 'none'),
      ('Seed', there['seed']),
      ('Frames an agent step', there['action_repeat']),
      ('Frames an update', '' if every is None else (
          f'{every * _repeat(there):,.0f} ({every:,.0f} agent steps)')),
      ('Environments', there.get('environments', '')),
      ('Sticky actions', sticky and f'{sticky} a frame'),
      ('Action set', full and (
          'all 18 of Atari' if full == 'True' else "the game's minimal set")),
      ('Action', _described(there.get('action'))),
      ('Precision', there['precision']),
      ('Devices', listed(there.get('devices'))),
      ('Parameters', _pairs(there.get('parameters'))),
  ]
  return [(what, str(value)) for what, value in lines if value != '']


def _versions(there):
  found = there.get('versions')
  found = found if isinstance(found, dict) else {}
  return _pairs({'python': there.get('python'), **found}, '\n')


def _pairs(content, between=', '):
  """A JSON object as text, without its nulls."""
  if not isinstance(content, dict):
    return ''
  return between.join(
      f'{name} {value:,}' if isinstance(value, int) else f'{name} {value}'
      for name, value in content.items() if value is not None)


def _described(action):
  """The spec of an action in words; '' where it is none."""
  if not isinstance(action, dict):
    return ''
  return _pairs({name: action.get(name) for name in (
      'dtype', 'shape', 'minimum', 'maximum')})


def _differences(
    names: Sequence[str], settings: dict[str, str],
) -> tuple[list[Difference], list[str]]:
  """Settings of a run that its presets bind otherwise, and notes.

  Args:
    names: Of the presets, as `protocol.json` has them. Only those of this
      package are read.
    settings: Of the run.
  """
  known = [name for name in names if f'{name}.gin' in presets_lib.names()]
  notes = [
      f'{name} is no preset of this package, so its settings are not compared.'
      for name in names if name not in known]
  if not settings:
    return [], [*notes, 'operative_config.gin is missing or empty, so nothing '
                'is compared with a preset.']
  with config.isolated():
    config.parse(known, ())
    bound = config.bound()
  return [
      Difference(name, bound[name], value)
      for name, value in sorted(settings.items())
      if name in bound and name != 'train.task'
      and values.literal(bound[name]) != values.literal(value)], notes
