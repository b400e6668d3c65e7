"""Environment steps until the goal of the grid is first reached.

  bin/python benchmarks/exploration/run.py

runs plan2explore and random over five seeds, one after another, and writes
first_goal.csv and first_goal.png; a run that ended, with its folder in
runs/exploration, is not repeated.
"""

import csv
import os
import pathlib
import subprocess
import sys

import matplotlib
import tensorflow as tf

from dreamerv2_tfa.experience import folder
from dreamerv2_tfa.experience import store

matplotlib.use('Agg')
from matplotlib import pyplot as plt

_HERE = pathlib.Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
_RUNS = _ROOT / 'runs' / 'exploration'
_BEHAVIOURS = ('plan2explore', 'random')
_SEEDS = 5
_OVERLAY = {
    # Ensemble and learning rate for a run of minutes.
    'plan2explore': ('Plan2Explore.learning_rate = 1e-3',
                     'Plan2Explore.reward_norm_momentum = 0.99'),
    # Only what it collects is looked at: one update in a thousand steps. The
    # replay memory must hold every row, the boundary ones too.
    'random': ('train.steps_per_update = 1000', 'train.pretrain = 0',
               'train.steps = 20000', 'train.replay_capacity = 3e4'),
}


def first_goal(root_dir):
  """Agent steps until the first reward, from a run's replay; None: never."""
  steps = 0
  replay_dir = root_dir / 'replay'
  columns = folder.survey(replay_dir).parts[0].columns
  rows = store.read(
      replay_dir, [tf.TensorSpec(shape, dtype) for dtype, shape in columns],
      at_least=sys.maxsize)
  # Fields in the order of a Trajectory: reward is the last but one.
  for reward, kind in zip(rows[-2][:, 0], rows[0][:, 0], strict=True):
    if kind == 2:  # the row between two episodes
      continue
    steps += 1
    if reward > 0:
      return steps
  return None


def main():
  """Runs, reads, writes."""
  rows = []
  for seed in range(_SEEDS):
    for behaviour in _BEHAVIOURS:
      root_dir = _RUNS / f'{behaviour}-{seed}'
      if not (root_dir / 'policies' / 'greedy').exists():  # made at its end
        subprocess.check_call(
            [_ROOT / 'bin' / 'train', f'--gin_file={_HERE / "grid.gin"}',
             f'--gin_file={behaviour}.gin', f'--seed={seed}',
             f'--root_dir={root_dir}',
             *(f'--gin_bindings={b}' for b in _OVERLAY[behaviour])],
            cwd=_ROOT, env={**os.environ, 'TF_NUM_INTRAOP_THREADS': '1'},
            stdout=subprocess.DEVNULL, stderr=sys.stderr,
        )
      rows.append((behaviour, seed, first_goal(root_dir)))
      print(*rows[-1], flush=True)
  with (_HERE / 'first_goal.csv').open('w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(('behaviour', 'seed', 'steps'))
    writer.writerows(rows)
  figure, axis = plt.subplots(figsize=(6, 2.2), layout='constrained')
  for i, behaviour in enumerate(_BEHAVIOURS):
    steps = [s for b, _, s in rows if b == behaviour]
    found = [s for s in steps if s]
    axis.scatter(found, [i] * len(found), label=behaviour)
    never = len(steps) - len(found)
    if never:
      axis.text(20000, i, f'{never} of {len(steps)}: not in 20,000',
                ha='right', va='bottom')
  axis.set(yticks=range(len(_BEHAVIOURS)), yticklabels=_BEHAVIOURS,
           ylim=(-0.5, 1.5), xlim=(0, 20500),
           xlabel='environment steps until the goal is first reached')
  figure.savefig(_HERE / 'first_goal.png', dpi=100)


if __name__ == '__main__':
  main()
