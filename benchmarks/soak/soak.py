"""Trains for an hour and looks at memory, files and threads all the while.

    bin/python benchmarks/soak/soak.py --seconds=3600

Pong with the model of `debug`, compiled, in the settings of a long run: the
replay memory is full after a tenth of the time, and the run reports, saves,
evaluates and exports every few seconds. Writes `soak.csv` beside this file, and
prints the least-squares slope of each column over the last three quarters.
"""

import csv
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from absl import app
from absl import flags
import numpy as np
import psutil

_SECONDS = flags.DEFINE_float('seconds', 3600, 'How long to train.')
_EVERY = flags.DEFINE_float('every', 30, 'Seconds between two looks.')

_SETTINGS = (
    'eager = False', 'steps = 1e9', 'prefill = 1000', 'steps_per_update = 4',
    'batch_size = 4', 'sequence_length = 10', 'replay_capacity = 10000',
    'log_every = 200', 'save_every = 1000', 'eval_every = 5000',
    'eval_episodes = 1', 'eval_steps = 200')
_COLUMNS = ('seconds', 'frames', 'megabytes', 'files', 'threads', 'processes')


def main(unused_argv):
  """Starts the run, looks at it, stops it, prints what has grown."""
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder) / 'run'
    run = subprocess.Popen(
        [sys.executable, '-m', 'dreamerv2_tfa.commands.train', 'atari_pong',
         '--gin_file=debug', '--precision=32', f'--root_dir={root}', *(
             f'--gin_bindings=train.{each}' for each in _SETTINGS)],
        stdout=subprocess.DEVNULL)
    rows = list(_watch(run, root))
    run.send_signal(signal.SIGTERM)
    status = run.wait()
  path = pathlib.Path(__file__).with_name('soak.csv')
  with path.open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
  _tell(np.array(rows), status)


def _watch(run, root):
  """Yields a row of `_COLUMNS` every so often, until the time is up."""
  process, start = psutil.Process(run.pid), time.monotonic()
  while time.monotonic() - start < _SECONDS.value:
    time.sleep(_EVERY.value)
    if run.poll() is not None:
      raise RuntimeError(f'The run ended with exit status {run.returncode}.')
    yield (
        round(time.monotonic() - start), _frames(root),
        round(process.memory_info().rss / 1e6, 1), process.num_fds(),
        process.num_threads(), 1 + len(process.children(recursive=True)))


def _frames(root):
  """Environment frames at the last line of metrics.jsonl."""
  path = root / 'metrics.jsonl'
  lines = path.read_text().splitlines() if path.exists() else []
  return int(lines[-1].partition('"step": ')[2].split(',')[0]) if lines else 0


def _tell(rows, status):
  print(f'Exit status {status} after SIGTERM; {rows[-1][1]:,.0f} frames.')
  late = rows[len(rows) // 4:]
  hours = late[:, 0] / 3600
  for number, name in list(enumerate(_COLUMNS))[2:]:
    slope, _ = np.polyfit(hours, late[:, number], 1)
    print(f'{name}: {late[0, number]:g} to {late[-1, number]:g}, '
          f'{slope:+.2f} an hour')


if __name__ == '__main__':
  app.run(main)
