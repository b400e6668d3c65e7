"""Draws the evaluation returns of runs; see README.md beside it.

  bin/python benchmarks/catch/curves.py runs/catch-0 runs/catch-1 runs/catch-2

writes curves.csv and curves.png beside this file.
"""

import csv
import json
import pathlib
import sys

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt

from dreamerv2_tfa.training import metrics

_HERE = pathlib.Path(__file__).resolve().parent


def evaluations(root_dir):
  """Rows (seed, frames, mean return) of a run's evaluations, a list."""
  root_dir = pathlib.Path(root_dir)
  seed = json.loads((root_dir / 'protocol.json').read_text())['seed']
  return [
      (seed, row['step'], round(row['eval_return'], 3))
      for row in metrics.read(root_dir / 'metrics.jsonl')
      if 'eval_return' in row
  ]


def main(root_dirs):
  """Writes the table and the picture of the runs in `root_dirs`."""
  runs = [evaluations(root_dir) for root_dir in root_dirs]
  with (_HERE / 'curves.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(('seed', 'frames', 'eval_return'))
    writer.writerows(row for run in runs for row in run)
  figure, axes = plt.subplots(figsize=(6.0, 3.2), layout='constrained')
  for run in runs:
    seeds, frames, returns = zip(*run, strict=True)
    axes.plot(frames, returns, marker='.', label=f'seed {seeds[0]}')
  axes.axhline(5, color='grey', linewidth=0.8, linestyle='--')
  axes.axhline(-3, color='grey', linewidth=0.8, linestyle=':')
  axes.text(0, 5.1, 'best', color='grey', fontsize=8)
  axes.text(0, -2.9, 'random play', color='grey', fontsize=8)
  axes.set(xlabel='environment frames', ylabel='return (20 episodes)',
           xlim=(0, None), ylim=(-5.5, 6))
  axes.legend(loc='lower right')
  figure.savefig(_HERE / 'curves.png', dpi=110)


if __name__ == '__main__':
  main(sys.argv[1:])
