"""Steps a second against the number of collectors: a child process.

    python points.py collector catch 1,2,4,8 SECONDS
    python points.py stub catch 1,2,4,8 SECONDS
    python points.py rows catch 1,2,4,8 SECONDS

`collector` is the real role, `stub` sends prepared rows, `rows` such without
tickets. This process is the learner without its updates: it counts steps, as
many at once as the preset has between two updates, and sends weights once a
second.
Prints a JSON object a line: measure, content, collectors, value, unit.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

import made as made_lib
import processes
from tf_agents.metrics import tf_metrics

from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import receiving
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.distributed import weights as weights_lib

_WARM = 3  # slices of a collector with the policy, before it counts
_EVERY = 1.0  # seconds between two pushes of weights
_POLL = 0.02


class Group:
  """A replay server, collectors that come one after another, a learner."""

  def __init__(self, kind, preset, folder):
    self._kind, self._preset, self._folder = kind, preset, folder
    self._port = address_lib.free_port()
    self._address = f'127.0.0.1:{self._port}'
    self._made = made_lib.make(preset)
    self.server = self._start_server()
    self.collectors = []
    self.server.until('The replay server is ready')
    self._connection = connection = connection_lib.Connection(
        self._address, 'learner', lambda line: None)
    self.weights = weights_lib.Weights(connection, self._made.parts)
    self.learner = receiving.Steps(
        connection, tf_metrics.EnvironmentSteps(), lambda line: None)
    self._pushed = -_EVERY

  def _start_server(self):
    if self._kind != 'collector':
      return processes.Child(
          'serve.py', self._preset, self._port, self._folder)
    return processes.Child(
        'role.py', self._folder / 'replay',
        *processes.flags(self._preset, self._address, self._folder),
        '--role=replay')

  def add(self, count):
    """Starts collectors until there are `count`, all of which send."""
    while len(self.collectors) < count:
      self.collectors.append(self._start_collector(len(self.collectors)))
    while not all(map(self._sends, range(count))):
      self.take()

  def _start_collector(self, number):
    if self._kind != 'collector':
      return processes.Child(
          'stub.py', self._preset, self._address, self._kind)
    return processes.Child(
        'role.py', self._folder / f'{number}',
        *processes.flags(self._preset, self._address, self._folder),
        '--role=collector', f'--collector={number}')

  def _sends(self, number):
    child = self.collectors[number]
    if child.process.poll() is not None:
      raise RuntimeError(''.join(child.said[-9:]))
    if self._kind != 'collector':
      return any(line.startswith('Sending.') for line in child.said)
    path = self._folder / f'{number}'
    return path.exists() and sum(
        line['arrived'] for line in processes.lines(path)) > _WARM

  @property
  def steps(self):
    """Steps that have reached the learner; rows, where there are no tickets."""
    if self._kind == 'rows':
      return self._connection.size(tables.SEQUENCES)
    return self.learner.steps

  def take(self):
    """What a learner does between two updates."""
    if time.monotonic() - self._pushed > _EVERY:
      self.weights._push()
      self._pushed = time.monotonic()
    if self._kind == 'rows':
      time.sleep(_POLL)
      return
    self.learner.collect(self._made.settings.timetable.steps_per_update)

  def measure(self, seconds):
    """Prints the rates and the processor time of the collectors that run."""
    names = {f'collector{i}': child.pid
             for i, child in enumerate(self.collectors)}
    span = processes.Span(
        learner=os.getpid(), server=self.server.pid, **names)
    before, end = self.steps, time.monotonic() + seconds
    while time.monotonic() < end:
      self.take()
    steps = self.steps - before
    span.end()
    self._tell('steps', steps / span.wall, 'steps/s')
    self._tell('free', span.free, 'cores')
    shares = {
        'learner': span.used['learner'], 'server': span.used['server'],
        'collectors': sum(span.used[name] for name in names)}
    for name, used in shares.items():
      self._tell(f'{name}_processor', used / span.wall, 'cores')
    self._tell('server_memory', processes.megabytes(self.server.pid), 'MB')
    self._tell(
        'collector_memory', processes.megabytes(self.collectors[0].pid), 'MB')

  def _tell(self, measure, value, unit):
    print(json.dumps(dict(
        measure=measure, content=self._kind, collectors=len(self.collectors),
        value=value, unit=unit)), flush=True)

  def stop(self):
    for child in (*self.collectors, self.server):
      child.process.kill()
    for child in (*self.collectors, self.server):
      child.stop()


def main():
  """Measures each number of collectors, the smallest first."""
  kind, preset, counts, seconds = sys.argv[1:]
  with tempfile.TemporaryDirectory() as folder:
    group = Group(kind, preset, pathlib.Path(folder))
    try:
      for count in map(int, counts.split(',')):
        group.add(count)
        group.measure(float(seconds))
    finally:
      group.stop()


if __name__ == '__main__':
  main()
