"""Updates a second, and the age of the weights of collectors: a child process.

    python whole.py catch 1,4 SECONDS

runs all roles but the evaluator, with a short prefill. Prints a JSON object a
line: measure, content, collectors, value, unit.
"""

import bisect
import json
import pathlib
import sys
import tempfile
import time

import numpy as np
import processes

from dreamerv2_tfa.distributed import address as address_lib

_SETTINGS = (
    'prefill = 200', 'pretrain = 0', 'steps = 1e7', 'eval_every = 1e7',
    'save_every = 1e7', 'log_every = 1e7')
_WARM = 5  # updates and slices before it counts
_POLL = 0.05


class Run:
  """A distributed run, which collectors join one after another."""

  def __init__(self, preset, folder):
    self._folder = folder
    address = f'127.0.0.1:{address_lib.free_port()}'
    self._flags = processes.flags(preset, address, folder, *_SETTINGS)
    self.roles = {'replay': self._start('replay', '--role=replay')}
    self.roles['replay'].until('The replay server is ready')
    self.roles['learner'] = self._start('learner', '--role=learner')
    self.collectors = []

  def _start(self, name, *flags):
    return processes.Child(
        'role.py', self._folder / name, *self._flags, *flags)

  def noted(self, name):
    path = self._folder / name
    return processes.lines(path) if path.exists() else []

  def add(self, count):
    """Starts collectors until there are `count`, and all act with weights."""
    while (index := len(self.collectors)) < count:
      name = f'collector{index}'
      self.roles[name] = self._start(
          name, '--role=collector', f'--collector={index}')
      self.collectors.append(name)
    while len(self.noted('learner')) < _WARM or not all(
        sum(line['arrived'] for line in self.noted(name)) > _WARM
        for name in self.collectors):
      for role in self.roles.values():
        if role.process.poll() is not None:
          raise RuntimeError(''.join(role.said[-9:]))
      time.sleep(_POLL)

  def measure(self, seconds):
    """Prints what happens in so many seconds."""
    start = time.monotonic()
    span = processes.Span(
        **{name: role.pid for name, role in self.roles.items()})
    time.sleep(seconds)
    span.end()
    end = time.monotonic()
    updates = self.noted('learner')
    within = [line for line in updates if start <= line['time'] < end]
    self._tell('updates', (len(within) - 1) / (
        within[-1]['time'] - within[0]['time']), 'updates/s')
    for part in ('_push', 'fetch'):
      name = part.strip('_')
      self._tell(f'{name}_share', sum(
          line.get(name, 0.0) for line in within) / span.wall, 'of the time')
    self._tell('pushes', sum(
        'push' in line for line in within) / span.wall, '1/s')
    slices, found = [], ([], [])
    for collector in self.collectors:
      of_it = [line for line in self.noted(collector)
               if start <= line['time'] < end]
      slices += of_it
      found = [
          before + after for before, after in zip(
              found, staleness(updates, of_it), strict=True)]
    self._tell('pulls', sum(
        'pull_new' in line for line in slices) / span.wall, '1/s')
    self._tell('slices', len(slices) / span.wall, '1/s')
    for name, ages in zip(('acting', 'counted'), found, strict=True):
      for percent in (50, 90):
        self._tell(
            f'staleness_{name}_p{percent}', np.percentile(ages, percent),
            'updates')
    self._tell('free', span.free, 'cores')
    for name in ('replay', 'learner', self.collectors[0]):
      role = name.rstrip('0')
      self._tell(f'{role}_processor', span.used[name] / span.wall, 'cores')
      self._tell(
          f'{role}_memory', processes.megabytes(self.roles[name].pid), 'MB')

  def _tell(self, measure, value, unit):
    print(json.dumps(dict(
        measure=measure, content='training',
        collectors=len(self.collectors), value=float(value), unit=unit)),
          flush=True)

  def stop(self):
    for role in self.roles.values():
      role.process.kill()
    for role in self.roles.values():
      role.stop()


def staleness(
    updates: list[dict], slices: list[dict],
) -> tuple[list[int], list[int]]:
  """The age of the weights of a collector's slices, in updates.

  Args:
    updates: Lines of a learner, each before the update `number`, from 1;
      `steps` and `push` tell which weights were sent then.
    slices: Lines of one collector; `steps` tells which weights they have.

  Returns:
    Updates done since those in the weights: when the slice begins, and when
    its last step has been counted, which is when the next slice begins.
  """
  times = [line['time'] for line in updates]
  sent = {line['steps']: line['number'] - 1
          for line in updates if 'push' in line}
  done = lambda line: bisect.bisect_right(times, line['time']) - 1
  pairs = [
      (line, after) for line, after in zip(slices, slices[1:], strict=False)
      if line['arrived'] and line['steps'] in sent]
  # The clock of a push is that of its end: a collector may be faster.
  return (
      [max(0, done(line) - sent[line['steps']]) for line, _ in pairs],
      [max(0, done(after) - sent[line['steps']]) for line, after in pairs])


def main():
  """Measures each number of collectors, the smallest first."""
  preset, counts, seconds = sys.argv[1:]
  with tempfile.TemporaryDirectory() as folder:
    run = Run(preset, pathlib.Path(folder))
    try:
      for count in map(int, counts.split(',')):
        run.add(count)
        run.measure(float(seconds))
    finally:
      run.stop()


if __name__ == '__main__':
  main()
