"""What a run's folder says of the run, for a report; nothing is written there.

Everything in the folder is data: no file of it is run, and of gin files only
presets of this package are parsed.
"""

import ast
from collections.abc import Sequence
import datetime
import math
import os
import statistics
from typing import Any
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.reports import attachments
from dreamerv2_tfa.reports import verdict as verdict_lib
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import metrics as metrics_lib
from dreamerv2_tfa.training import presets as presets_lib
from dreamerv2_tfa.training import protocol as protocol_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums

_MOST_POINTS = 1000   # of a line, else means over bins are drawn
_MOST_METRICS = 200
_LONG = 10_000        # characters of a setting, which is not parsed
_RECENT = 20          # reports, over which the speed is a mean
_STICKY, _REPEAT = 0.25, 4  # of the published Atari runs
_PIXELS, _CONTROL_REPEAT = 'pixels as observations', 2  # of DM Control's


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
  rows = metrics_lib.read(folder.metrics)
  settings = config.recorded(folder.config)
  metrics, notes = _series(rows)
  differences, more = _differences(there['presets'], settings)
  errors = attachments.open_loop_errors(folder.root)
  media, left_out = attachments.media(folder, errors)
  judged = verdict_lib.judge(there['task'], _points(
      rows, verdict_lib.mean(there['task']).metric))
  return Overview(
      folder.root.resolve().name or str(folder.root), there['task'], metrics,
      judged, _progress(rows, there, settings), _protocol(there, settings),
      differences,
      [*_warnings(rows, metrics), *_not_as_published(there, settings, judged),
       *_damage(folder)],
      notes + more + left_out, errors, media, _versions(there),
      ''.join(f'{name} = {value}\n' for name, value in settings.items()),
      _written(folder.metrics))


def _written(path):
  """When a file was written, UTC; '' where there is none."""
  if not path.exists():
    return ''
  then = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
  return then.strftime('%Y-%m-%d %H:%M UTC')


def _number(value: Any) -> float | None:
  """A finite float; None of all else that JSON can hold."""
  if isinstance(value, bool) or not isinstance(value, int | float):
    return None
  try:
    value = float(value)
  except OverflowError:
    return None
  return value if math.isfinite(value) else None


def _points(
    rows: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
  """Frames and values of a metric, by frames."""
  found = []
  for row in rows:
    x, y = _number(row['step']), _number(row.get(name))
    if x is not None and y is not None:
      found.append((x, y))
  return sorted(found)


def _series(rows):
  """Metrics as `Series` by name, and notes."""
  names = sorted({name for row in rows for name in row} - {'step'})
  notes = [] if len(names) <= _MOST_METRICS else [
      f'metrics.jsonl has {len(names):,} metrics; {_MOST_METRICS} are shown.']
  found, longest = {}, 0
  for name in names[:_MOST_METRICS]:
    points = _points(rows, name)
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


def _literal(text):
  """The value of a setting as gin has written it; the text if it is none."""
  try:
    return ast.literal_eval(text) if len(text) < _LONG else text
  except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
    return text


def _repeat(there):
  """Frames an agent step, as a float within bounds."""
  return min(max(_number(there['action_repeat']) or 1.0, 1.0), 1e6)


def _progress(rows, there, settings):
  repeat = _repeat(there)
  frames = int(max([0.0, *(_number(row['step']) or 0.0 for row in rows)]))
  fps = [y for _, y in _points(rows, 'fps') if y > 0][-_RECENT:]
  # Some reports have an evaluation in them; all have the same frames.
  speed = statistics.harmonic_mean(fps) if fps else None
  wanted = _number(_literal(settings.get('train.steps', '')))
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
  every = _number(_literal(get('train.steps_per_update')))
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
      and _literal(bound[name]) != _literal(value)], notes


def _warnings(rows, metrics):
  """What the metrics warn of, a sentence each."""
  last = lambda name: metrics[name].last if name in metrics else 0.0
  found = []
  if last('skipped_updates'):
    found.append(
        f'{last("skipped_updates"):,.0f} updates were skipped, because a '
        'gradient was not finite under the loss scale. A few are normal.')
  if last('env_restarts'):
    found.append(
        f'Environments failed and were restarted {last("env_restarts"):,.0f} '
        'times.')
  cut = len(_points(rows, 'eval_cut'))
  if cut:
    found.append(
        f'{cut} evaluations had episodes without an end, which were cut after '
        'train.eval_steps steps; their returns count as they were then.')
  for name, series in metrics.items():
    if name.endswith('_loss_scale') and series.last <= 1.0:
      found.append(
          f'{name} is {series.last:g}, the smallest there is: float16 is too '
          'narrow here. Train with --precision=bf16 or 32.')
  null = sorted({name for row in rows for name, value in row.items()
                 if value is None})
  if null:
    found.append(
        f'Not finite at times: {", ".join(null[:8])}'
        + (f' and {len(null) - 8} others.' if len(null) > 8 else '.'))
  return found


def _not_as_published(there, settings, judged):
  """A warning where the run's protocol is not that of the published runs."""
  if not judged.points:
    return []
  if there['task'].startswith('dmc_'):
    setting = lambda name, value: _literal(
        settings.get(f'load_dmc.{name}', value))
    pixels, joints = setting('pixels', 'True'), setting('proprio', 'False')
    mine = ('joint positions as observations' if not pixels else
            'pixels and joint positions as observations' if joints else _PIXELS)
    theirs, repeat = _PIXELS, _CONTROL_REPEAT
  else:
    sticky = _literal(settings.get('load_atari.sticky', str(_STICKY)))
    mine, theirs = f'sticky actions {sticky}', f'sticky actions {_STICKY}'
    repeat = _REPEAT
  if (mine, there['action_repeat']) == (theirs, repeat):
    return []
  return [
      f'Not comparable: this run has {mine} and {there["action_repeat"]} '
      f'frames an agent step; the published runs have {theirs} and {repeat}.']


def _damage(folder):
  """What is noted of files that are not as the run has written them."""
  found = sums.changes(folder, checkpoints=False)
  if folder.crash.is_dir():
    found.append(
        f'An update was not finite and was not applied: {folder.crash.name}/ '
        'has its batch. bin/train --root_dir=RUN --replay_crash names the '
        'first operation that was not finite.')
  return found
