"""Reads learning curves: of our runs, of the published package, and of scores.

Where they are, below a folder of `--indir`:

  .../metrics.jsonl beside protocol.json   a run of ours, at any depth
  task/method/seed/metrics.jsonl           a run of the published package
  *.json                                   its `scores/`: a list of {task,
                                           method, seed, xs, ys}, or {task:
                                           {method: score}}, which is drawn as
                                           lines. The path of such a file may
                                           stand for the folder.
"""

from collections.abc import Sequence
import math
import os
import pathlib
import re
from typing import Any
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa import reading
from dreamerv2_tfa.reports import curves

_ALIASES = {'atari_jamesbond': 'atari_james_bond'}
_OURS = 'dreamerv2_tfa'  # and the presets, where no folder names the method
_LAYOUT = (
    'Wanted protocol.json beside it, as in a run of bin/train, or '
    'TASK/METHOD/SEED/metrics.jsonl below --indir, as the published package '
    'is told to write')


class Wanted(NamedTuple):
  """Which runs and numbers are read; as the flags of `bin/plot`."""

  xaxis: str = 'step'
  yaxis: str = 'eval_return'
  tasks: tuple[str, ...] = ('.*',)    # patterns, one of which is found
  methods: tuple[str, ...] = ('.*',)
  prefix: bool = False  # methods are named indir1_..., by their --indir
  xmult: float = 1.0
  maxval: float = 0.0   # largest |y|; infinite ones become it; 0: no limit


class Found(NamedTuple):
  """What was read."""

  runs: list[curves.Run]
  references: dict[str, dict[str, float]]  # scores by task and name
  notes: list[str]


class _Series(NamedTuple):
  """A run as its file has it; y is None where it is null or absent."""

  task: str
  method: str
  seed: str
  xs: list
  ys: list
  place: str


def read(places: Sequence[str | os.PathLike], wanted: Wanted) -> Found:
  """Reads all runs.

  Args:
    places: Folders, or JSON files of scores.
    wanted: `Wanted`.

  Raises:
    UserError: If a place is missing or has no run, a file holds something
      else, two runs have the same task, method and seed, or none has the
      axes.
  """
  found, references, keys = [], {}, set()
  for number, place in enumerate(places, 1):
    path = pathlib.Path(place).expanduser()
    prefix = f'indir{number}_' if wanted.prefix else ''
    series, scores, names = _place(path, wanted)
    keys |= names
    found += [each._replace(method=prefix + each.method) for each in series]
    for task, each in scores.items():
      references.setdefault(task, {}).update(each)
  kept = [each for each in found if matches(each.task, wanted.tasks)
          and matches(each.method, wanted.methods)]
  if found and not kept:
    names = sorted({f'{each.task}/{each.method}' for each in found})
    raise checks.UserError(
        f'None of {len(found)} runs matches --tasks and --methods. There are '
        f'{", ".join(names[:8])}.')
  _check_unique(kept)
  return _numbers(kept, wanted, keys, references)


def _named(task: str) -> str:
  """The task's name here."""
  return _ALIASES.get(task, task)


def matches(name: str, patterns: Sequence[str]) -> bool:
  """Whether one of the patterns is found in a name."""
  return any(re.search(pattern, name) for pattern in patterns)


def _place(path: pathlib.Path, wanted: Wanted) -> tuple[
    list[_Series], dict[str, dict[str, float]], set[str]]:
  """Series, scores and keys of one `--indir`."""
  if path.is_file():
    if path.suffix != '.json':
      raise checks.UserError(
          f'--indir {path} is a file; wanted a folder of runs, or a .json file '
          'of scores.')
    series, scores = _scores(path)
    return series, scores, set()
  if not path.is_dir():
    raise checks.UserError(f'--indir {path} does not exist.')
  series, scores, keys = [], {}, set()
  files = _files(path)
  for file in files:
    if file.suffix == '.json':
      more, known = _scores(file)
      series += more
      for task, each in known.items():
        scores.setdefault(task, {}).update(each)
    else:
      one, names = _run(file, path, wanted)
      series.append(one)
      keys |= names
  if not files:
    raise checks.UserError(
        f'--indir {path} has no run: no metrics.jsonl at any depth, and no '
        '*.json of scores in it. Give the folder that runs are in.')
  return series, scores, keys


def _files(root):
  """Files of runs and scores; what is beside a run is not looked at."""
  from dreamerv2_tfa.training import runs  # imports TensorFlow

  found = []
  for folder, folders, files in os.walk(root):
    folders.sort()
    run = runs.RunFolder(folder)
    if run.metrics.name in files:
      found.append(run.metrics)
      folders.clear()
    elif run.protocol.name in files:
      folders.clear()  # a run that has not written a metric yet
    elif folder == os.fspath(root):
      found += [pathlib.Path(folder, name) for name in sorted(files)
                if name.endswith('.json')]
  return found


def _run(file, root, wanted):
  """A run's `_Series`, and the keys of its lines."""
  from dreamerv2_tfa.training import metrics  # imports TensorFlow
  from dreamerv2_tfa.training import runs

  task, method, seed = _identity(file, root)
  rows = metrics.of_run(runs.RunFolder(file.parent))
  keys = {key for row in rows for key in row}
  present = [row for row in rows if wanted.xaxis in row and wanted.yaxis in row]
  return _Series(
      _named(task), method, seed,
      [row[wanted.xaxis] for row in present],
      [row[wanted.yaxis] for row in present], os.fspath(file)), keys


def _identity(
    file: pathlib.Path, root: pathlib.Path) -> tuple[str, str, str]:
  """Task, method and seed of a run."""
  from dreamerv2_tfa.training import protocol  # imports TensorFlow
  from dreamerv2_tfa.training import runs

  parts = file.parent.relative_to(root).parts
  known = protocol.read(runs.RunFolder(file.parent).protocol)
  if known is None:
    if len(parts) != 3:
      raise checks.UserError(
          f'{file} lies {len(parts)} folders below --indir {root}. {_LAYOUT}.')
    return parts[0], parts[1], parts[2]
  if len(parts) == 3 and parts[0] == known['task']:
    return parts[0], parts[1], parts[2]
  method = ':'.join(filter(None, [_OURS, '+'.join(known['presets'])]))
  return known['task'], method, str(known['seed'])


def _scores(path: pathlib.Path) -> tuple[
    list[_Series], dict[str, dict[str, float]]]:
  """Series, and scores by task and method, of a file of `scores/`."""
  try:
    content = reading.parsed(reading.text(path, reading.LINES))
  except (OSError, ValueError) as error:
    raise checks.UserError(
        f'{path} cannot be read: {error}. Repair it, or move it out of '
        '--indir.') from error
  if isinstance(content, list):
    return [_entry(path, *each) for each in enumerate(content, 1)], {}
  if isinstance(content, dict) and all(
      isinstance(each, dict) and all(map(_is_finite, each.values()))
      for each in content.values()):
    return [], {_named(task): each for task, each in content.items()}
  raise checks.UserError(
      f'{path} is no file of scores: wanted a list of objects with task, '
      'method, seed, xs and ys, or an object of the form {task: {method: '
      'score}}. Move it out of --indir.')


def _entry(path, number, entry):
  """One run of such a list."""
  wanted = {'task': str, 'method': str, 'seed': str | int, 'xs': list,
            'ys': list}
  if not isinstance(entry, dict) or not all(
      isinstance(entry.get(name), kind) for name, kind in wanted.items()
  ) or len(entry['xs']) != len(entry['ys']):
    raise checks.UserError(
        f'{path}: entry {number} is no run; wanted an object with task and '
        'method in words, seed, and xs and ys, lists of as many numbers.')
  return _Series(
      _named(entry['task']), entry['method'], str(entry['seed']),
      entry['xs'], entry['ys'], f'{path}, entry {number}')


def _check_unique(series):
  seen = {}
  for each in series:
    key = each.task, each.method, each.seed
    if key in seen:
      raise checks.UserError(
          f'{each.place} and {seen[key]} are both {each.task}, method '
          f'{each.method}, seed {each.seed}. Leave one out; or put runs in '
          'TASK/METHOD/SEED/ to name their methods; or, of two --indir, give '
          '--prefix.')
    seen[key] = each.place


def _is_finite(value):
  return (isinstance(value, int | float) and not isinstance(value, bool)
          and math.isfinite(value))


def _numbers(series, wanted, keys, references):
  """Runs with finite numbers alone, and notes on the others."""
  runs, notes, skipped, total = [], [], 0, 0
  for each in series:
    pairs = [
        (_number(x, wanted.xaxis, each.place),
         _number(y, f'{wanted.yaxis} at {wanted.xaxis} {x}', each.place))
        for x, y in zip(each.xs, each.ys, strict=True)]
    if wanted.maxval:
      pairs = [(x, min(max(y, -wanted.maxval), wanted.maxval)
                if not math.isnan(y) else y) for x, y in pairs]
    good = sorted(
        (x * wanted.xmult, y) for x, y in pairs
        if math.isfinite(x) and x >= 0 and math.isfinite(y))
    total += len(pairs)
    skipped += len(pairs) - len(good)
    if good:
      xs, ys = np.array(good, np.float64).T
      runs.append(curves.Run(
          each.task, each.method, each.seed, xs, ys, each.place))
    else:
      notes.append(
          f'{each.place} has no {wanted.yaxis} and is left out.')
  if skipped:
    notes.append(
        f'Skipped {skipped:,} of {total:,} points, whose {wanted.xaxis} or '
        f'{wanted.yaxis} is null or not finite.')
  if series and not runs:
    name = wanted.yaxis if wanted.xaxis in keys or not keys else wanted.xaxis
    raise checks.UserError(
        f'No run has a finite {name}.{checks.did_you_mean(name, keys)}' + (
            f' There are {", ".join(sorted(keys)[:30])}.' if keys else ''))
  return Found(runs, references, notes)


def _number(value: Any, name: str, place: str) -> float:
  """A number, NaN for null."""
  if value is None:
    return math.nan
  if isinstance(value, int | float) and not isinstance(value, bool):
    return float(value) if abs(value) < 1e300 else math.inf
  raise checks.UserError(
      f'{place}: {name} is {value!r}; wanted a number or null.')
