"""What a row, a ticket, a window, a push and a pull cost: a child process.

    python costs.py catch SECONDS

prints a JSON object a line: measure, content, value, unit. Each is the mean of
many in SECONDS; the server is a process of its own, so its processor time is
told from the client's.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

import limits
import made as made_lib
import numpy as np
import processes
import tensorflow as tf
from tf_agents.metrics import tf_metrics
import wire as wire_lib

from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import receiving
from dreamerv2_tfa.distributed import sending
from dreamerv2_tfa.distributed import weights as weights_lib

_LEAST = 3  # calls of each, at least
_BATCHES = 10  # whose bytes are counted


class Costs:
  """Measures against one server."""

  def __init__(self, made, port, pid, seconds):
    self._made, self._port, self._seconds = made, port, seconds
    self._pids = {'server': pid, 'client': os.getpid()}
    self.connection = self.connect(f'127.0.0.1:{port}')
    self.connection.info()

  def connect(self, address):
    return connection_lib.Connection(address, 'benchmark', lambda line: None)

  def outbox(self, connection):
    return sending.Outbox(
        connection, self._made.spec, 1, self._made.settings.sequence_length)

  def feed(self, rows, connection=None, **options):
    outbox = self.outbox(connection or self.connection)
    return made_lib.Feed(
        self._made, rows, outbox, limits.SLICE, **options)

  def samples(self, connection=None):
    settings = self._made.settings
    return receiving.Samples(
        connection or self.connection, self._made.spec, settings.batch_size,
        settings.sequence_length, 0)

  def measure(self, name, function, each, content=''):
    """Microseconds of clock, server and client for one of `each` a call."""
    function()
    span, count = processes.Span(**self._pids), 0
    end = time.monotonic() + self._seconds
    while count < _LEAST or time.monotonic() < end:
      function()
      count += 1
    span.end()
    count *= each
    for part, spent in (('wall', span.wall), *span.used.items()):
      tell(f'{name}_{part}', spent / count * 1e6, 'us', content)


def tell(measure, value, unit, content=''):
  print(json.dumps(dict(
      measure=measure, content=content, value=value, unit=unit)), flush=True)


def rows_and_windows(costs, made, contents):
  """Rows with their windows, and batches of them, without tickets."""
  before = 0, 0
  for content, rows in contents.items():
    feed = costs.feed(rows, tickets=False)
    for _ in range(made.length // limits.SLICE + 2):
      feed.send()  # from here on each row has a window
    costs.measure('row', feed.send, limits.SLICE, content)
    after = stored(costs)
    tell('stored', (after[0] - before[0]) / (after[1] - before[1]), 'bytes',
         content)
    before = after
    # First windows of frames alone, then half of them of noise.
    there = content if content == 'frames' else 'both'
    samples = costs.samples()
    costs.measure('window', samples.fetch, made.settings.batch_size, there)
    windows_on_the_wire(costs, made, there)


def tickets(costs, made, rows):
  """Slices of rows with their tickets are put, and their steps counted."""
  every = made.settings.timetable.steps_per_update
  outbox = costs.outbox(costs.connection)
  feed = made_lib.Feed(made, rows, outbox, limits.SLICE)
  steps = receiving.Steps(
      costs.connection, tf_metrics.EnvironmentSteps(), lambda line: None)
  totals = {name: [0.0] * 3 for name in ('put', 'take')}

  def take():
    wanted = steps.steps + limits.SLICE
    while steps.steps < wanted:
      steps.collect(every)

  def timed(name, function):
    span = processes.Span(**costs._pids)
    function()
    span.end()
    found = span.wall, span.used['server'], span.used['client']
    totals[name] = [
        a + b for a, b in zip(totals[name], found, strict=True)]

  before = made_lib.Feed(made, rows, outbox, limits.SLICE, tickets=False)
  for _ in range(made.length // limits.SLICE + 2):
    before.send()  # from here on each slice has its ticket
  calls, end = 0, time.monotonic() + 2 * costs._seconds
  while calls < _LEAST or time.monotonic() < end:
    timed('put', feed.send)
    timed('take', take)
    calls += 1
  for name, values in totals.items():
    for part, value in zip(('wall', 'server', 'client'), values, strict=True):
      tell(f'{name}_{part}', value / calls / limits.SLICE * 1e6, 'us')


def weights(costs, made):
  """The weights of a collector, sent and fetched."""
  moved = weights_lib.Weights(costs.connection, made.parts)
  costs.measure('push', moved._push, 1)
  costs.measure('pull', moved._pull_new, 1)
  read = tf.nest.flatten(weights_lib.variables(made.parts))
  tell('weights', sum(
      x.shape.num_elements() * x.dtype.size for x in read), 'bytes')


def windows_on_the_wire(costs, made, content):
  """Bytes of a window, with all that goes with it."""
  wire = wire_lib.Wire(costs._port)
  connection = costs.connect(wire.address)
  connection.info()
  samples, before = costs.samples(connection), wire.received
  for _ in range(_BATCHES - 1):
    samples.fetch()
  connection.rest()  # another batch is drawn
  tell('window_wire', (wire.received - before) / _BATCHES
       / made.settings.batch_size, 'bytes', content)


def on_the_wire(costs, made, contents):
  """Bytes of a row and of the weights, with all that goes with them."""
  wire = wire_lib.Wire(costs._port)
  connection = costs.connect(wire.address)
  connection.info()
  for content, rows in contents.items():
    feed = costs.feed(rows, connection, tickets=False)
    for _ in range(made.length // limits.SLICE + 2):
      feed.send()
    before = wire.sent
    for _ in range(8):
      feed.send()
    tell('row_wire', (wire.sent - before) / 8 / limits.SLICE, 'bytes',
         content)
  moved = weights_lib.Weights(connection, made.parts)
  before = wire.sent, wire.received
  moved._push()
  tell('push_wire', wire.sent - before[0], 'bytes')
  moved._pull_new()
  tell('pull_wire', wire.received - before[1], 'bytes')


def play(costs, made, rows):
  """A step of a stub and of a collector, random or not, that is not sent."""
  feed = made_lib.Feed(made, rows, made_lib.Dropped(), limits.SLICE)
  costs.measure('feed', feed.send, limits.SLICE)
  collector = made_lib.collector(made, made_lib.Kept())
  for name, take in (('random', collector.prefill), ('act', collector.collect)):
    costs.measure(name, lambda take=take: take(limits.SLICE), limits.SLICE)


def update(costs, made):
  """An update of the agent on a batch."""
  rng = np.random.default_rng(0)
  outer = [made.settings.batch_size, made.length]

  def draw(spec):
    if spec.shape.rank:
      return tf.constant(
          rng.integers(0, 255, [*outer, *spec.shape]), spec.dtype)
    return tf.ones(outer, spec.dtype)

  batch = tf.nest.map_structure(draw, made.spec)
  train = tf.function(lambda: made.parts.agent.train(batch).loss)
  costs.measure('update', lambda: float(train()), 1)


def stored(costs):
  """Bytes of the server's checkpoint, and windows in it."""
  count = costs.connection.size('sequences')
  newest = pathlib.Path(costs.connection.client.checkpoint())
  return sum(
      path.stat().st_size for path in newest.rglob('*') if path.is_file()
  ), count


def main():
  """Measures one preset."""
  preset, seconds = sys.argv[1], float(sys.argv[2])
  port = address_lib.free_port()
  with tempfile.TemporaryDirectory() as folder, processes.Child(
      'serve.py', preset, port, folder) as server:
    made = made_lib.make(preset)
    contents = {'frames': made_lib.frames(made), 'noise': made_lib.noise(made)}
    server.until('The replay server is ready')
    costs = Costs(made, port, server.pid, seconds)
    tell('row', sum(leaf.nbytes for leaf in contents['noise'][0]), 'bytes')
    rows_and_windows(costs, made, contents)
    tickets(costs, made, contents['frames'])
    weights(costs, made)
    on_the_wire(costs, made, contents)
    play(costs, made, contents['frames'])
    if preset == 'catch':  # an update of Atari takes long without a GPU
      update(costs, made)


if __name__ == '__main__':
  main()
