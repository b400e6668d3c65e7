"""Draws the evaluation returns of runs, a panel a task; see its README.md.

  bin/python benchmarks/gym_small/curves.py runs/cartpole-* runs/pendulum-*

writes curves.csv, curves.png and table.md beside this file.
"""

import csv
import itertools
import json
import pathlib
import sys

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

from dreamerv2_tfa.training import metrics

_HERE = pathlib.Path(__file__).resolve().parent
_AIMS = {'gymnasium_CartPole-v1': 450, 'gymnasium_Pendulum-v1': -200}


def evaluations(root_dir):
  """Rows (task, seed, frames, mean return) of a run's evaluations, a list."""
  root_dir = pathlib.Path(root_dir)
  facts = json.loads((root_dir / 'protocol.json').read_text())
  return [
      (facts['task'], facts['seed'], row['step'], round(row['eval_return'], 1))
      for row in metrics.read(root_dir / 'metrics.jsonl')
      if 'eval_return' in row
  ]


def table(rows):
  """Markdown, a line a run: best and last return, frames to reach the aim."""
  lines = [
      '| task | seed | aim | first evaluation there, frames | best | last |',
      '|---|---|---|---|---|---|']
  for (task, seed), run in itertools.groupby(rows, lambda row: row[:2]):
    run = list(run)
    returns = [row[3] for row in run]
    there = [row[2] for row in run if row[3] >= _AIMS[task]]
    lines.append(
        f'| {task} | {seed} | {_AIMS[task]} | '
        f'{f"{there[0]:,}" if there else "not reached"} | {max(returns)} | '
        f'{returns[-1]} |')
  return '\n'.join(lines) + '\n'


def plot(rows):
  """Draws every run in the panel of its task."""
  tasks = sorted({row[0] for row in rows})
  figure, axes = plt.subplots(
      1, len(tasks), figsize=(4.5 * len(tasks), 3.2), layout='constrained',
      squeeze=False)
  for axis, task in zip(axes[0], tasks, strict=True):
    runs = itertools.groupby(
        (row for row in rows if row[0] == task), lambda row: row[1])
    for seed, run in runs:
      frames, returns = zip(*(row[2:] for row in run), strict=True)
      axis.plot(frames, returns, marker='.', label=f'seed {seed}')
    axis.axhline(_AIMS[task], color='grey', linewidth=0.8, linestyle='--')
    axis.set(title=task, xlabel='environment frames', xlim=(0, None),
             ylabel='return (5 episodes)')
    axis.legend(loc='lower right')
  figure.savefig(_HERE / 'curves.png', dpi=110)


def main(root_dirs):
  """Writes the rows, the table and the picture of the runs in `root_dirs`."""
  rows = sorted(row for root_dir in root_dirs for row in evaluations(root_dir))
  with (_HERE / 'curves.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(('task', 'seed', 'frames', 'eval_return'))
    writer.writerows(rows)
  (_HERE / 'table.md').write_text(table(rows), encoding='utf-8')
  plot(rows)


if __name__ == '__main__':
  main(sys.argv[1:])
