"""Methods compared at one number of frames, by rliable (Agarwal et al. 2021).

Scores are normalised, see `references.span`, as a matrix [runs, tasks] of each
method. Intervals are of 95%. Where each task has several runs of a method, runs
are drawn again; where it has one, tasks are.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import itertools
import math
from typing import Any
from typing import NamedTuple

import numpy as np

from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.reports import curves as curves_lib
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references as references_lib

_PUBLISHED_AT = 199e6  # from here on published scores are comparable
_RESAMPLES, _PROFILE_RESAMPLES = 2000, 500
_TAUS, _MOST = 101, 8.0  # of a profile, and the largest


class Estimate(NamedTuple):
  """A number, or one for each tau, with its interval."""

  value: np.ndarray
  low: np.ndarray
  high: np.ndarray


class Comparison(NamedTuple):
  """Methods on the same tasks, at the same x."""

  at: float
  tasks: tuple[str, ...]
  runs: dict[str, int]  # a task, by method
  interquartile_mean: dict[str, Estimate]
  taus: np.ndarray
  profiles: dict[str, Estimate]  # share of runs above tau, [taus]
  improvement: dict[tuple[str, str], Estimate]  # chance that one is above two


def compare(
    curves: Sequence[curves_lib.Curve],
    references: dict[str, dict[str, float]], names: Sequence[str],
    at: float | None = None,
) -> tuple[Comparison | None, list[str]]:
  """Compares methods; see `Comparison`.

  Args:
    curves: All that are drawn.
    references: Scores by task and name.
    names: Of references to compare with: of `published.METHODS`, and only from
      199 million frames on, since they are scores after 200 million.
    at: Frames; None is the largest number that all curves reach.

  Returns:
    The comparison, None where nothing can be compared, and notes on what is
    left out.
  """
  scores, tasks, at, notes = _matrices(curves, references, names, at)
  if not scores or (
      len(tasks) < 2 and max(map(len, scores.values())) < 2):
    return None, [*notes, 'No comparison by rliable: it needs two runs, or two '
                  'tasks whose scores can be normalised.']
  top = max(float(np.percentile(each, 90)) for each in scores.values())
  taus = np.linspace(0.0, min(max(1.0, math.ceil(top)), _MOST), _TAUS)
  mean = {name: interquartile_mean(each) for name, each in scores.items()}
  with _seeded(0):
    profiles = {name: _profile(each, taus) for name, each in scores.items()}
    improvement = {
        (one, two): _improvement(scores[one], scores[two])
        for one, two in itertools.combinations(scores, 2)}
  runs = {name: len(each) for name, each in scores.items()}
  return Comparison(
      at, tuple(tasks), runs, mean, taus, profiles, improvement), notes


def _matrices(curves, references, names, at):
  """Normalised scores [runs, tasks] by method, tasks, x, and notes."""
  notes = []
  spans = _spans({curve.task for curve in curves}, references)
  known = [curve for curve in curves if curve.task in spans]
  if at is None:
    at = min((float(curve.xs[-1]) for curve in known), default=0.0)
  by_method = {}
  for curve in known:
    values = curves_lib.at(curve, at)
    values = values[np.isfinite(values)]
    if len(values):
      by_method.setdefault(curve.method, {})[curve.task] = (
          references_lib.normalise(values, spans[curve.task]))
  notes += [
      f'{method} has no value at {at:,.0f} and is not compared there.'
      for method in dict.fromkeys(curve.method for curve in known)
      if method not in by_method]
  tasks = sorted(set.intersection(*map(set, by_method.values()))) if (
      by_method) else []
  every = {curve.task for curve in curves}
  if len(tasks) < len(every):
    notes.append(
        f'Compared on {len(tasks)} of {len(every)} tasks: those that all '
        'methods have, and whose scores can be normalised.')
  if not tasks:
    return {}, tasks, at, notes
  scores = {}
  for method, each in by_method.items():
    counts = [len(each[task]) for task in tasks]
    if min(counts) < max(counts):
      notes.append(
          f'{method} is compared with {min(counts)} runs a task; some have '
          f'{max(counts)}, and rliable takes as many of each.')
    scores[method] = np.stack(
        [each[task][:min(counts)] for task in tasks], axis=1)
  if at >= _PUBLISHED_AT:
    scores |= _finals(names, spans, tasks, references, scores)
  return scores, tasks, at, notes


def _spans(tasks, references):
  """`references.span` of the tasks that have one."""
  found = {task: references_lib.span(task, 'human_gamer', references)
           for task in tasks}
  return {task: span for task, span in found.items() if span}


def _finals(names, spans, tasks, references, scores):
  """Published final scores as one run a task."""
  again = {'dreamerv2'} if curves_lib.PUBLISHED in scores else set()
  return {
      references_lib.key(name): np.array([[float(references_lib.normalise(
          references[task][name], spans[task])) for task in tasks]])
      for name in names
      if name in published.METHODS and name not in again
      and all(name in references[task] for task in tasks)}


def _rliable(module):
  """A module of rliable."""
  extras.load('rliable', 'reports')
  return extras.load(f'rliable.{module}', 'reports')


@contextlib.contextmanager
def _seeded(seed):
  """rliable draws from NumPy's global stream: seeded, and restored after."""
  state = np.random.get_state()
  np.random.seed(seed)
  try:
    yield
  finally:
    np.random.set_state(state)


def _interval(scores: Any, function: Callable, **options: Any) -> Estimate:
  """rliable's estimate of a function of scores, with 95%."""
  library = _rliable('library')
  value, interval = library.get_interval_estimates(
      {'all': scores}, function, **options)
  return Estimate(np.asarray(value['all']), *interval['all'])


def interquartile_mean(
    scores: np.ndarray, *, resamples: int = _RESAMPLES, seed: int = 0,
) -> Estimate:
  """Mean of the scores between the quarters.

  Args:
    scores: float64 `[runs, tasks]`, normalised.
    resamples: Of the bootstrap.
    seed: The same one gives the same interval.

  Returns:
    `Estimate`, of `[1]` each.

  Raises:
    ValueError: If rliable is not installed, with the command to do so.
  """
  metrics = _rliable('metrics')
  with _seeded(seed):
    return _interval(
        scores, lambda x: np.array([metrics.aggregate_iqm(x)]),
        task_bootstrap=len(scores) == 1, reps=resamples)


def _profile(scores, taus):
  """Share of the runs of all tasks whose score is above each tau."""
  library = _rliable('library')
  values, intervals = library.create_performance_profile(
      {'all': scores}, taus, task_bootstrap=len(scores) == 1,
      reps=_PROFILE_RESAMPLES)
  return Estimate(values['all'], *intervals['all'])


def _improvement(one, two):
  """Chance that a run of one is above a run of two, mean over tasks.

  rliable's own function is called for the value; in the resamples the same
  number is computed without SciPy's test, which takes a minute.
  """
  metrics = _rliable('metrics')
  value = np.array([metrics.probability_of_improvement(one, two)])
  if len(one) == len(two) == 1:
    pairs = np.stack([one, two], axis=-1)  # [1, tasks, 2]
    found = _interval(
        pairs, lambda x: chance_above(x[..., 0], x[..., 1]),
        task_bootstrap=True, reps=_RESAMPLES)
  else:
    found = _interval([one, two], chance_above, reps=_RESAMPLES)
  return found._replace(value=value)


def chance_above(one: np.ndarray, two: np.ndarray) -> np.ndarray:
  """P(one > two) + P(one = two) / 2 over pairs of runs, mean over tasks.

  Args:
    one: float64 `[runs, tasks]`.
    two: float64 `[other runs, tasks]`.

  Returns:
    float64 `[1]`.
  """
  difference = one[:, None] - two[None]
  return np.array([np.mean(0.5 + 0.5 * np.sign(difference))])
