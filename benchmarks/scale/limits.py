"""A model on paper of a run in several processes: what saturates first.

Each part of a run can take so many agent steps a second, by the measured cost
of what it does for each; the run takes as many as the least of them.

    collectors  C * 0.9 / (environment + policy / E + put)
    learner     K / (max(update, B * window) / L + K * take + weights)
    server      S * cores / (put + take + B / K * window)    its processor time
    wire        S * bandwidth / (row + B / K * window)       bytes
    machine     cores / all processor time of a step, where all share a machine

for C collectors of E environments, L replicas of the learner, S replay servers,
B windows an update, drawn beside the update before it, and an update every K
steps. Weights take a tenth of a
collector's time (hence 0.9), and at most a tenth of the learner's. That L
replicas share an update and its batch evenly, and S servers the traffic, is
assumed: the first was not timed, and a run has one server.
"""

import math
from typing import NamedTuple

from dreamerv2_tfa.distributed import tables

SLICE = tables.SLICE  # steps of a collector between two sends


class Cost(NamedTuple):
  """Seconds of one action."""

  wall: float  # of the clock, in the process that waits for it
  client: float  # of that process's processor
  server: float  # of the replay server's processor


class Costs(NamedTuple):
  """What was measured of a preset."""

  random: Cost  # a step of the environment, with a random action
  act: Cost  # a step of the environment, with the policy
  feed: Cost  # a step of a stub, which has neither
  row: Cost  # a row that is sent with its window
  put: Cost  # a row that is sent with its window and its ticket
  take: Cost  # a step that is counted, a ticket of a slice at once
  window: Cost  # a window that is sampled
  push: Cost  # the weights that are sent
  pull: Cost  # the weights that are fetched
  update: Cost  # on one device
  row_bytes: float
  window_bytes: float
  weights_bytes: float


class Run(NamedTuple):
  """What a run consists of."""

  collectors: int
  steps_per_update: int  # K
  batch_size: int  # B
  environments: int = 1  # of a collector
  learners: int = 1
  servers: int = 1
  machine_cores: float = math.inf  # that all processes share
  server_cores: float = math.inf  # of each server
  bandwidth: float = math.inf  # bytes a second, in and out of each server
  weights_share: float = 0.1  # of its time that a process moves weights


def read(rows: list[dict[str, str]], preset: str) -> Costs:
  """The costs among the rows of scale.csv."""
  found = {
      (row['measure'], row['content']): float(row['value'])
      for row in rows if row['preset'] == preset and not row['collectors']}

  def cost(name, content=''):
    return Cost(*(
        found.get((f'{name}_{part}', content), math.nan) * 1e-6
        for part in Cost._fields))

  feed = cost('feed')
  # Rows were measured with what prepares them.
  sent = lambda *names: Cost(*(
      max(0.0, x - y) for x, y in zip(cost(*names), feed, strict=True)))
  return Costs(
      cost('random'), cost('act'), feed, sent('row', 'frames'), sent('put'),
      cost('take'), cost('window', 'frames'), cost('push'), cost('pull'),
      cost('update'), found['row_wire', 'frames'],
      found['window_wire', 'frames'], found['weights', ''])


def collect(costs: Costs, run: Run) -> float:
  """Steps a second that the collectors take."""
  policy = costs.act.wall - costs.random.wall
  step = costs.random.wall + policy / run.environments + costs.put.wall
  return run.collectors * (1 - run.weights_share) / step


def learn(costs: Costs, run: Run) -> float:
  """Steps a second that the learner keeps up with."""
  # A batch is drawn while the update before it runs.
  windows = run.batch_size * costs.window.wall
  tickets = run.steps_per_update * costs.take.wall
  seconds = max(costs.update.wall, windows) / run.learners + tickets
  # Weights are sent once an update, and for that share of the time at most.
  seconds += min(costs.push.wall, run.weights_share * seconds)
  return run.steps_per_update / seconds


def serve(costs: Costs, run: Run) -> float:
  """Steps a second that the servers' processors keep up with."""
  windows = run.batch_size / run.steps_per_update * costs.window.server
  step = costs.put.server + costs.take.server + windows
  return run.servers * run.server_cores / step


def step_bytes(costs: Costs, run: Run) -> float:
  """Bytes that pass through the servers for a step, apart from weights."""
  windows = run.batch_size / run.steps_per_update
  return costs.row_bytes + windows * costs.window_bytes


def pulls(costs: Costs, run: Run) -> float:
  """Times a second that the collectors fetch weights, as often as they may."""
  return run.collectors * run.weights_share / costs.pull.wall


def age(run: Run) -> float:
  """Updates from the weights of a step to its being counted.

  That is where collectors wait for the learner: each has a slice of `SLICE`
  steps, acted with the weights of its beginning, and they take turns.
  """
  return run.collectors * SLICE / run.steps_per_update


def share(costs: Costs, run: Run) -> float:
  """Steps a second where all processes share the processors of a machine."""
  policy = costs.act.client - costs.random.client
  step = (
      costs.random.client + policy / run.environments
      + costs.put.client + costs.put.server
      + costs.take.client + costs.take.server)
  windows = run.batch_size * (costs.window.client + costs.window.server)
  step += (windows + costs.update.client) / run.steps_per_update
  return run.machine_cores / step


def limits(costs: Costs, run: Run) -> dict[str, float]:
  """Steps a second that each part can take."""
  return {
      'collectors': collect(costs, run), 'learner': learn(costs, run),
      'server': serve(costs, run),
      'wire': run.servers * run.bandwidth / step_bytes(costs, run),
      'machine': share(costs, run)}


def first(parts: dict[str, float]) -> tuple[str, float]:
  """The part that saturates first, and the steps a second of the run."""
  return min(parts.items(), key=lambda part: part[1])
