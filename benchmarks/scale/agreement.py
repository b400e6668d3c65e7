"""Catch in one process and in several: the same updates, the same curve?

    bin/python benchmarks/scale/agreement.py --seeds=0,1,2,3,4
    bin/python benchmarks/scale/agreement.py --ways=several --seeds=5 --kills=20

Each seed is trained in one process, and with `--role=all`; with `--kills` roles
by chance are killed so often meanwhile. Prints a line a run, and adds it to
`agreement.csv` beside this file.
"""

import csv
import pathlib
import random
import tempfile
import time

from absl import app
from absl import flags
import psutil

from dreamerv2_tfa import children
from dreamerv2_tfa.training import metrics
from dreamerv2_tfa.training import runs

_SEEDS = flags.DEFINE_list('seeds', ['0', '1', '2', '3', '4'], 'Of the runs.')
_COLLECTORS = flags.DEFINE_integer('num_collectors', 1, 'In several processes.')
_KILLS = flags.DEFINE_integer('kills', 0, 'Of roles, in each of these runs.')
_EVERY = flags.DEFINE_float('every', 10.0, 'Seconds between two, on average.')
_WAYS = flags.DEFINE_list('ways', ['alone', 'several'], 'To train each seed.')

_FLAGS = ('catch', '--precision=32', '--gin_bindings=train.videos = False',
          '--gin_bindings=train.diagnostics = False')
_COLUMNS = ('how', 'seed', 'kills', 'frames', 'updates', 'returns')
_ROLES = ('replay', 'learner', 'collector', 'evaluator')


def main(unused_argv):
  """Trains, and writes what came of it."""
  path = pathlib.Path(__file__).with_name('agreement.csv')
  fresh = not path.exists()
  with path.open('a', newline='') as file, tempfile.TemporaryDirectory() as top:
    writer = csv.DictWriter(file, _COLUMNS)
    if fresh:
      writer.writeheader()
    for seed in _SEEDS.value:
      for how in _WAYS.value:
        row = _run(pathlib.Path(top) / f'{how}{seed}', how, seed)
        writer.writerow(row)
        file.flush()
        print(*(f'{name} {row[name]}' for name in _COLUMNS), sep=', ',
              flush=True)


def _run(root, how, seed):
  """Trains one run to its end; returns its row."""
  several = how == 'several'
  roles = (f'--num_collectors={_COLLECTORS.value}', '--role=all',
           f'--max_restarts={max(_KILLS.value, 10)}') if several else ()
  with (root.parent / f'{root.name}.log').open('wb') as log:
    process = children.start(
        'dreamerv2_tfa.commands.train',
        [*_FLAGS, *roles, f'--seed={seed}', f'--root_dir={root}'],
        stdout=log, stderr=log)
    kills = _kill(process, random.Random(int(seed))) if several else 0
    if process.wait():
      raise SystemExit(pathlib.Path(log.name).read_text()[-2000:])
  rows = metrics.of_run(runs.RunFolder(root))
  return {
      'how': _how(_COLLECTORS.value) if several else 'one process',
      'seed': seed, 'kills': kills, 'frames': rows[-1]['step'],
      'updates': int([row['updates'] for row in rows if 'updates' in row][-1]),
      'returns': ' '.join(
          f'{row["step"]}:{row["eval_return"]:.2f}' for row in rows
          if 'eval_return' in row)}


def _how(collectors):
  return f'{collectors} collector{"s" * (collectors > 1)}'


def _kill(process, rng):
  """Kills roles by chance until there were enough, or the run has ended."""
  kills = 0
  while kills < _KILLS.value and process.poll() is None:
    time.sleep(rng.uniform(0.5, 1.5) * _EVERY.value)
    role = rng.choice(_ROLES)
    try:
      victims = [
          child for child in psutil.Process(process.pid).children()
          if any(word == f'--role={role}' for word in child.cmdline())]
      if victims:
        rng.choice(victims).kill()
        kills += 1
    except psutil.NoSuchProcess:
      pass
  return kills


if __name__ == '__main__':
  app.run(main)
