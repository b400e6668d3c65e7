"""`bin/plot`: reads runs, draws them, and writes the numbers that are drawn."""

from collections.abc import Mapping
from collections.abc import Sequence
import json
import os
import pathlib
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import extras
from dreamerv2_tfa.reports import comparison_plot
from dreamerv2_tfa.reports import curve_files
from dreamerv2_tfa.reports import curves as curves_lib
from dreamerv2_tfa.reports import panels as panels_lib
from dreamerv2_tfa.reports import plots
from dreamerv2_tfa.reports import published
from dreamerv2_tfa.reports import references as references_lib
from dreamerv2_tfa.reports import reliable

BASELINES = ('^random$', '^human_gamer$', '^rainbow_sticky$')


class Options(NamedTuple):
  """What is drawn; as the flags of `bin/plot`."""

  wanted: curve_files.Wanted = curve_files.Wanted()
  baselines: tuple[str, ...] = BASELINES  # patterns of names of references
  bins: float = -1.0
  agg: str = 'std1'
  add: tuple[str, ...] = ('auto', 'seeds')
  at: float | None = None  # frames of the comparison; None: all reach them
  published: bool = True   # Atari over the published seeds
  look: plots.Look = plots.Look()


class _Drawn(NamedTuple):
  """All numbers of the figures."""

  runs: list
  sizes: dict
  curves: list
  panels: list
  references: dict
  names: list
  comparison: Any
  notes: list


def write(
    places: Sequence[str | os.PathLike], outdir: str | os.PathLike,
    options: Options | None = None,
) -> tuple[list[pathlib.Path], list[str]]:
  """Draws runs and writes `curves` and `comparison`, and `curves.json`.

  Args:
    places: Folders and files of runs; none draws the published seeds of all
      55 Atari games, or of those that the patterns of tasks name.
    outdir: Folder, made where it is missing; older figures in it are
      replaced. An older comparison is removed where there is none now.
    options: `Options`; None: the defaults.

  Returns:
    Paths that were written, and notes to print.

  Raises:
    UserError: If nothing can be drawn, or a file or an option is wrong.
  """
  options = _checked(options or Options())
  folder = pathlib.Path(outdir).expanduser()
  for place in places:
    if folder.resolve() == pathlib.Path(place).expanduser().resolve():
      raise checks.UserError(
          f'--outdir {folder} is a folder of --indir, whose .json files are '
          'read as scores. Write to another one.')
  for package in ('matplotlib', 'rliable'):
    extras.load(package, 'reports')
  drawn = _numbers(places, options)
  whole = {'curves': plots.figure(
      drawn.curves, drawn.panels, drawn.references, drawn.names, options.look,
      seeds_only=options.agg == 'none')}
  if drawn.comparison:
    whole['comparison'] = comparison_plot.figure(
        drawn.comparison, plots.styles(
            drawn.curves, drawn.names, options.look))
  return _save(folder, whole, _content(drawn, options), options), drawn.notes


def _checked(options):
  """The options, refused where one names nothing."""
  checks.choice('--agg', options.agg, curves_lib.AGGREGATIONS)
  for name in options.add:
    checks.choice('--add', name, ('auto', 'none', *panels_lib.NAMES))
  for name, patterns in (
      ('tasks', options.wanted.tasks), ('methods', options.wanted.methods),
      ('baselines', options.baselines)):
    for each in patterns:
      checks.pattern(f'--{name}', each)
  look = options.look._replace(
      dpi=checks.integer('--dpi', options.look.dpi, 10, 1000),
      **{name: checks.integer(f'--{name}', getattr(options.look, name), 1, 100)
         for name in ('cols', 'legendcols', 'xticks', 'yticks')})
  return options._replace(
      look=look,
      bins=-1.0 if options.bins == -1 else checks.number(
          '--bins', options.bins, 0, 1e12),
      at=None if options.at is None else checks.positive('--at', options.at),
      wanted=options.wanted._replace(
          xmult=checks.positive('--xmult', options.wanted.xmult),
          maxval=checks.number('--maxval', options.wanted.maxval)))


def _numbers(places, options):
  """Reads and computes."""
  wanted = options.wanted
  found = curve_files.read(places, wanted)
  is_return = 'return' in wanted.yaxis and wanted.xaxis == 'step'
  tasks = sorted({run.task for run in found.runs})
  if not places:
    tasks = [f'atari_{game}' for game in published.games()
             if curve_files.matches(f'atari_{game}', wanted.tasks)]
  elif not tasks:
    raise checks.UserError(
        '--indir has scores, but no run to draw over them. Give runs as well.')
  sizes = curves_lib.bin_sizes(found.runs, options.bins)
  grouped = {}
  for run in found.runs:
    grouped.setdefault((run.task, run.method), []).append(run)
  curves = [
      curves_lib.over_seeds(each, sizes[curves_lib.suite(task)], options.agg)
      for (task, _), each in sorted(grouped.items())]
  if is_return and options.published:
    curves += curves_lib.published(tasks, published.curves())
  if not curves:
    raise checks.UserError(
        'Nothing to draw: give folders of runs with --indir, or --tasks that '
        'match Atari games, whose published seeds are drawn without runs.')
  references = references_lib.of_tasks(tasks, found.references)
  names = references_lib.matching(
      options.baselines, references) if is_return else []
  panels, notes = [], found.notes + curves_lib.short(found.runs)
  for name in panels_lib.chosen(options.add, tasks):
    panel, note = panels_lib.build(name, curves, references, names)
    panels += [panel] if panel else []
    notes += [note] if note else []
  comparison = None
  if is_return:
    comparison, more = reliable.compare(curves, references, names, options.at)
    notes += more
  return _Drawn(found.runs, sizes, curves, panels, references, names,
                comparison, notes)


def _content(drawn, options):
  """`curves.json`: everything that is drawn."""
  number = plots.masked
  comparison = drawn.comparison
  return {
      'xaxis': options.wanted.xaxis, 'yaxis': options.wanted.yaxis,
      'agg': options.agg, 'bins': drawn.sizes, 'notes': drawn.notes,
      'runs': [
          {'task': curve.task, 'method': curve.method, 'seed': seed,
           'xs': number(curve.xs), 'ys': number(ys)}
          for curve in drawn.curves if curve.method != curves_lib.PUBLISHED
          for seed, ys in zip(curve.seeds, curve.ys, strict=True)],
      'curves': [
          {'task': curve.task, 'method': curve.method, **{
              name: number(getattr(curve, name))
              for name in ('xs', 'middle', 'low', 'high', 'count')}}
          for curve in drawn.curves],
      'baselines': {
          task: {name: each[name] for name in drawn.names if name in each}
          for task, each in drawn.references.items()},
      'panels': {
          panel.name: {
              'tasks': panel.tasks, 'baselines': panel.references,
              'methods': {
                  method: {'last': panels_lib.last(line), **{
                      name: number(each)
                      for name, each in line._asdict().items()}}
                  for method, line in panel.lines.items()}}
          for panel in drawn.panels},
      'comparison': comparison and {
          'at': comparison.at, 'tasks': comparison.tasks,
          'runs_a_task': comparison.runs,
          'interquartile_mean': _estimates(comparison.interquartile_mean),
          'profiles': {
              'taus': number(comparison.taus),
              'methods': _estimates(comparison.profiles)},
          'probability_of_improvement': [
              {'method': one, 'over': two, **_estimates({'': each})['']}
              for (one, two), each in comparison.improvement.items()]},
  }


def _estimates(estimates: Mapping[str, reliable.Estimate]) -> dict[str, Any]:
  """Estimates as JSON has them; those of one number as numbers."""
  plain = lambda x: plots.masked(x) if len(x) > 1 else plots.masked(x)[0]
  return {
      method: {name: plain(x) for name, x in each._asdict().items()}
      for method, each in estimates.items()}


def _save(folder, whole, content, options):
  """Writes the files; returns their paths."""
  folder.mkdir(parents=True, exist_ok=True)
  paths = []
  for name in ('curves', 'comparison'):
    for kind in ('png', 'pdf'):
      path = folder / f'{name}.{kind}'
      if name in whole:
        date = {'CreationDate': None} if kind == 'pdf' else None
        whole[name].savefig(path, dpi=options.look.dpi, metadata=date)
        paths.append(path)
      else:
        path.unlink(missing_ok=True)
  path = folder / 'curves.json'
  path.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
  return [*paths, path]
