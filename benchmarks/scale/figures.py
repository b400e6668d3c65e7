"""The tables of README.md, from scale.csv and agreement.csv.

    bin/python benchmarks/scale/figures.py     # prints them
"""

import csv
import pathlib

import limits

PATH = pathlib.Path(__file__).with_name('scale.csv')
AGREEMENT = PATH.with_name('agreement.csv')
FIELDS = (
    'preset', 'content', 'collectors', 'measure', 'value', 'unit', 'load')
_NOTHING = limits.Cost(0.0, 0.0, 0.0)
KINDS = ('rows', 'stub', 'collector', 'training')
_STEPS = {'catch': 4, 'atari': 16}  # an update, K
_BATCH = 16
_H200 = 24.8e-3  # seconds of an Atari update in float16, docs/performance.md
_CORES, _BANDWIDTH = 16, 25e9 / 8  # assumed of a replay server: 25 Gbit/s


def read(path=PATH):
  """The rows of scale.csv, or of another file: list of dicts of str."""
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


def points(rows):
  """Measured points by (preset, kind, collectors): dicts of floats."""
  found = {}
  for row in rows:
    if row['collectors']:
      key = row['preset'], row['content'], int(row['collectors'])
      found.setdefault(key, {'load': float(row['load'])})[
          row['measure']] = float(row['value'])
  return found


def predicted(rows, preset, kind, collectors, free):
  """Part that saturates first and steps a second, of a measured point.

  Args:
    rows: Of scale.csv.
    preset: Of the point.
    kind: One of `KINDS`.
    collectors: How many.
    free: Processors that other work left to the point.
  """
  costs = limits.read(rows, preset)
  run = limits.Run(
      collectors, _STEPS[preset], _BATCH, machine_cores=free)
  if kind != 'training':
    costs = costs._replace(update=_NOTHING, window=_NOTHING, push=_NOTHING)
  if kind in ('rows', 'stub'):
    costs = costs._replace(random=costs.feed, act=costs.feed)
    run = run._replace(weights_share=0.0)
  if kind == 'rows':
    costs = costs._replace(put=costs.row, take=limits.Cost(1e-9, 0.0, 0.0))
  return limits.first(limits.limits(costs, run))


def check_table(rows):
  """Predicted beside measured steps a second, as Markdown."""
  lines = ['| preset | what sends | processes | free cores | predicted | '
           'by | measured | ratio |', '|---|---|---|---|---|---|---|---|']
  for (preset, kind, count), point in points(rows).items():
    if kind == 'training':
      measured = point['updates'] * _STEPS[preset]
    else:
      measured = point['steps']
    part, rate = predicted(rows, preset, kind, count, point['free'])
    lines.append(
        f'| {preset} | `{kind}` | {count} | {point["free"]:.1f} | {rate:,.0f} '
        f'| {part} | {measured:,.0f} | {rate / measured:.2f} |')
  return '\n'.join(lines)


def cost_table(rows):
  """Microseconds of each action, as Markdown."""
  lines = ['| microseconds | Catch: waits | client | server | Atari: waits | '
           'client | server |', '|---|---|---|---|---|---|---|']
  both = [limits.read(rows, preset) for preset in _STEPS]
  for name in limits.Costs._fields:
    if name.endswith('_bytes'):
      continue
    cells = [
        '' if seconds != seconds else f'{seconds * 1e6:,.0f}'
        for costs in both for seconds in getattr(costs, name)]
    lines.append(f'| `{name}` | {" | ".join(cells)} |')
  return '\n'.join(lines)


def bytes_table(rows):
  """Bytes of rows and windows, as Markdown."""
  found = {
      (row['preset'], row['measure'], row['content']): float(row['value'])
      for row in rows if not row['collectors']}
  lines = ['| bytes | Catch | Atari |', '|---|---|---|']
  for text, measure, content in (
      ('a row, before it is compressed', 'row', ''),
      ('a row with its window, sent, frames', 'row_wire', 'frames'),
      ('the same, noise', 'row_wire', 'noise'),
      ('the same in a checkpoint, frames', 'stored', 'frames'),
      ('the same, noise', 'stored', 'noise'),
      ('a window, fetched, frames', 'window_wire', 'frames'),
      ('the same, half of them noise', 'window_wire', 'both'),
      ('weights', 'weights', '')):
    cells = [f'{found[preset, measure, content]:,.0f}' for preset in _STEPS]
    lines.append(f'| {text} | {" | ".join(cells)} |')
  rates = [1 / (_BATCH * limits.read(rows, preset).window.wall)
           for preset in _STEPS]
  cells = ' | '.join(f'{rate:,.0f}' for rate in rates)
  lines.append(f'| batches a second, `Samples.fetch`, frames | {cells} |')
  return '\n'.join(lines)


def training_table(rows):
  """Ages of weights, and what a learner's time goes to, as Markdown."""
  lines = ['| collectors | updates/s | age acting: half, 90 % | counted: half, '
           '90 % | predicted | fetch | push | MB: replay, learner, collector |',
           '|---|---|---|---|---|---|---|---|']
  for (preset, kind, count), point in points(rows).items():
    if kind == 'training':
      ages = [f'{point[f"staleness_{name}_p50"]:.0f}, '
              f'{point[f"staleness_{name}_p90"]:.0f}'
              for name in ('acting', 'counted')]
      memory = ', '.join(f'{point[f"{role}_memory"]:,.0f}' for role in (
          'replay', 'learner', 'collector'))
      run = limits.Run(count, _STEPS[preset], _BATCH)
      shares = ' | '.join(
          f'{point[f"{name}_share"]:.0%}' for name in ('fetch', 'push'))
      lines.append(
          f'| {count} | {point["updates"]:.1f} | {" | ".join(ages)} | '
          f'{limits.age(run):.0f} | {shares} | {memory} |')
  return '\n'.join(lines)


def scenarios(rows):
  """Atari runs that nobody has made: (name, costs, run)."""
  costs = limits.read(rows, 'atari')
  costs = costs._replace(update=limits.Cost(_H200, 0.0, 0.0))
  run = limits.Run(
      256, _STEPS['atari'], _BATCH, learners=8, server_cores=_CORES,
      bandwidth=_BANDWIDTH)
  return (
      ('one collector, one learner', costs, run._replace(
          collectors=1, learners=1)),
      ('16 collectors, one learner', costs, run._replace(
          collectors=16, learners=1)),
      ('256 collectors, 8 learners', costs, run),
      ('256 collectors, 16 learners', costs, run._replace(learners=16)),
  )


def scenario_table(rows):
  """Where each of them saturates, as Markdown."""
  lines = ['| Atari, predicted | collectors | learner | server | wire | first: '
           'steps/s | updates/s | server: cores, MB/s | pulls: cores, MB/s |',
           '|---|---|---|---|---|---|---|---|---|']
  for name, costs, run in scenarios(rows):
    parts = limits.limits(costs, run)
    part, rate = limits.first(parts)
    pulls = limits.pulls(costs, run)
    cells = [f'{parts[each]:,.0f}' for each in (
        'collectors', 'learner', 'server', 'wire')]
    cells += [
        f'{part}: {rate:,.0f}', f'{rate / run.steps_per_update:.0f}',
        f'{rate / parts["server"] * run.server_cores:.1f}, '
        f'{rate * limits.step_bytes(costs, run) / 1e6:,.0f}',
        f'{pulls * costs.pull.server:.1f}, '
        f'{pulls * costs.weights_bytes / 1e6:,.0f}']
    lines.append(f'| {name} | {" | ".join(cells)} |')
  return '\n'.join(lines)


def agreement_table():
  """Catch in one process and in several, from agreement.csv, as Markdown."""
  rows = [{**row, **dict(each.split(':') for each in row['returns'].split())}
          for row in read(AGREEMENT)]
  frames = sorted({int(name) for row in rows for name in row if name.isdigit()})
  lines = [f'| how | seed | kills | updates | return at {frames[0]:,} frames | '
           f'{" | ".join(f"{each:,}" for each in frames[1:])} |',
           '|---|---|---|---|' + '---|' * len(frames)]
  for row in sorted(rows, key=lambda row: (row['kills'], row['how'])):
    cells = [row['how'], row['seed'], row['kills'],
             f'{int(row["updates"]):,}',
             *(row.get(str(each), '') for each in frames)]
    lines.append(f'| {" | ".join(cells)} |')
  return '\n'.join(lines)


def tables(rows):
  """All of them: list of str."""
  return [
      cost_table(rows), bytes_table(rows), check_table(rows),
      training_table(rows), scenario_table(rows), agreement_table()]


if __name__ == '__main__':
  print('\n\n'.join(tables(read())))
