"""What each process of a distributed run does, from start to end."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import math
import secrets
import time
from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import description
from dreamerv2_tfa.distributed import drawn
from dreamerv2_tfa.distributed import end as end_lib
from dreamerv2_tfa.distributed import evaluator
from dreamerv2_tfa.distributed import follower
from dreamerv2_tfa.distributed import loopback
from dreamerv2_tfa.distributed import receiving
from dreamerv2_tfa.distributed import replication as replication_lib
from dreamerv2_tfa.distributed import reverb as reverb_lib
from dreamerv2_tfa.distributed import saves
from dreamerv2_tfa.distributed import sending
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.distributed import weights as weights_lib
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.experience import collection
from dreamerv2_tfa.training import callbacks as callbacks_lib
from dreamerv2_tfa.training import capacity as capacity_lib
from dreamerv2_tfa.training import disk
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import lock
from dreamerv2_tfa.training import output
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import surroundings
from dreamerv2_tfa.training import train

NAMES = ('replay', 'learner', 'collector', 'evaluator')
READY = 'The replay server is ready'
_POLL = 0.05  # seconds between looks at a signal


def run(
    role: str, root_dir: str, address: str | None, presets: Sequence[str],
    index: int | None = None, replicas: int | None = None,
    callbacks: Sequence[callbacks_lib.Callback] = (),
) -> int | None:
  """Runs a process of a distributed run, with the settings bound with gin.

  Args:
    role: One of `NAMES`.
    root_dir: The run's folder; a collector does without.
    address: HOST:PORT of the replay server.
    presets: Names of the gin files, for the record.
    index: Moves a collector's seed; None: by chance.
    replicas: Devices of a learner, see `replication.make`.
    callbacks: Told by an evaluator of its evaluations.

  Returns:
    The signal that stopped it; None at its end.

  Raises:
    UserError: If a setting cannot be used, Reverb is missing, or the process
      does not fit the run of the replay server.
  """
  reverb_lib.load()
  host, port = address_lib.parse(address)
  address = address_lib.text(host, port)
  settings = check(settings_lib.read())
  if role == 'learner':
    replication = replication_lib.make(replicas)
    if replication is not None and replication.index:
      return follower.follow(address, settings, replication)
    return _learn(root_dir, presets, address, settings, replication)
  folder = runs.RunFolder(root_dir, '--root_dir')
  with (
      output.unbroken(), surroundings.kept(), disk.named(folder.root),
      interrupt.Interrupt() as stop,
  ):
    if role == 'replay':
      folder.check_writable()
      with lock.locked(folder.replay_lock):
        _replay(folder, settings, address, stop)
      return stop.signal
    connection = connection_lib.Connection(address, role)
    connection.stopped = lambda: stop.requested
    try:
      if role == 'collector':
        _collect(settings, connection, stop, index)
      else:
        _evaluate(folder, settings, connection, stop, callbacks)
    except faults.EnvironmentFailed:  # such as a wait that was interrupted
      if not stop.requested:
        raise
    finally:
      connection.rest()
    return stop.signal


def check(settings: settings_lib.Settings) -> settings_lib.Settings:
  """Returns the settings, if several processes can do what they say.

  Raises:
    UserError: If they cannot.
  """
  if settings.replay_from is not None:
    raise checks.UserError(
        'train.replay_from learns from stored rows, without collectors. Train '
        'in one process, without --role.')
  if settings.sampling != 'rows':
    raise checks.UserError(
        f"Got train.sampling = {settings.sampling!r}; the replay server draws "
        "windows uniformly, train.sampling = 'rows'. Bind that, or train in "
        'one process, without --role.')
  if settings.replay_storage == 'disk':
    raise checks.UserError(
        "Got train.replay_storage = 'disk'; a replay server has its rows in "
        "memory. Bind 'auto', or train in one process, without --role.")
  return settings


@contextlib.contextmanager
def _parts(settings: settings_lib.Settings) -> Iterator[parts_lib.Parts]:
  parts = parts_lib.build(settings)
  try:
    yield parts
  finally:
    parts_lib.close(parts)


def _learn(root_dir, presets, address, wanted, replication):
  """Trains as the learner; tells the collectors if that has ended."""
  connection = connection_lib.Connection(address, 'learner')
  end = end_lib.End(connection)

  def join(run: train.Built) -> train.Built:
    settings = check(run.settings)
    if any(run.folder.replay.glob('*.tfrecord')):
      raise checks.UserError(
          f'The run in {run.folder.root} was trained in one process: the '
          'replay server cannot read the rows in its replay/. Continue it '
          'without --role, or take another --root_dir.')
    connection.join(description.of(run.parts))
    end.withdraw()
    if replication is not None:
      settings = settings._replace(
          batch_size=replication.share(settings.batch_size))
    remote = receiving.Remote(
        connection, run.folder, run.parts, settings.batch_size,
        settings.sequence_length, replication)
    # Evaluations are the evaluator's.
    return run._replace(
        settings=settings._replace(
            eval_episodes=0, videos=False, diagnostics=False),
        capacity=run.capacity._replace(
            rows=connection.info()[tables.SEQUENCES].max_size),
        remote=remote)

  with replication.together() if replication else contextlib.nullcontext():
    try:
      stopped = train.train(
          root_dir, presets=presets, join=join,
          strategy=replication and replication.strategy)
    finally:
      connection.rest()
    if replication is not None:
      replication.tell(replication_lib.END, stopped or 0)
  if stopped is None:
    connection.stopped = lambda: False  # its own loop's: a signal ends it now
    end.tell(wanted.timetable.steps)
  return stopped


def _replay(folder, settings, address, stop):
  """Serves the tables until a signal; saves now and then, and at the end."""
  reverb = reverb_lib.load()
  host, port = address_lib.parse(address)
  with _parts(settings) as parts:
    mine = description.of(parts)
    rows = capacity_lib.serve(
        parts, settings, tables.row_overhead(parts.agent, settings),
        resumed=folder.replay_server.is_dir())
    made = tables.make(
        reverb, parts.agent, weights_lib.variables(parts), settings, rows,
        len(parts.task.metrics))
  folder.replay_server.mkdir(parents=True, exist_ok=True)
  checkpointer = reverb.platform.checkpointers_lib.DefaultCheckpointer(
      str(folder.replay_server))
  server = _serve(reverb, made, port, checkpointer)
  if host in address_lib.LOOPBACK:
    loopback.restrict(port)
  client = reverb.Client(f'127.0.0.1:{port}')
  stored = _begin(client, mine, _taken(folder))
  print(f'{READY} at {address}, with {stored:,} sequences.', flush=True)
  saved = saves.Saves(folder.replay_server, client)
  while not stop.requested:
    time.sleep(_POLL)
    saved.take()
  try:
    with stop.saving():
      saved.finish()
  finally:
    server.stop()


def _serve(reverb, made, port, checkpointer):
  try:
    return reverb.Server(made, port=port, checkpointer=checkpointer)
  except Exception as error:
    said = ' '.join(str(error).split())[:300]
    raise checks.UserError(
        f'The replay server cannot start at port {port} ({said}). Take another '
        'with --replay_address; if its checkpoint is of other specs, another '
        '--root_dir.') from error


def _taken(folder):
  """Agent steps of the run's last checkpoint; 0 where none can be read."""
  try:
    return folder.saved_steps()
  except ValueError:  # the learner tells of it
    return 0


def _begin(client, mine, taken):
  """Prepares tables that may be those of a checkpoint; counts sequences.

  Tickets of the checkpoint may have been taken since, so they are dropped: no
  step is counted twice. So is an end that a callback has made, before all steps
  were taken: the learner that is started with this server continues the run.
  """
  found = client.server_info()
  if count := found[tables.STEPS].current_size:
    list(client.sample(tables.STEPS, count, emit_timesteps=False))
  if found[tables.DESCRIPTION].current_size:
    item = next(iter(client.sample(
        tables.DESCRIPTION, 1, emit_timesteps=False)))
    theirs = description.decoded(item.data[0])
    if taken >= theirs.get(description.ENDED, math.inf):
      mine = {**mine, description.ENDED: theirs[description.ENDED]}
    # As a run that is resumed, it may have other settings now.
    description.check('replay server', mine, theirs, description.ROWS)
  client.insert([json.dumps(mine)], {tables.DESCRIPTION: 1.0})
  return found[tables.SEQUENCES].current_size


def _evaluate(folder, settings, connection, stop, callbacks):
  """Evaluates the learner's checkpoints until the run's end."""
  with _parts(settings) as parts:
    connection.join(description.of(parts))
    end = end_lib.End(connection)
    evaluator.follow(
        folder, settings, parts, stop,
        lambda: end.reached(settings.timetable.steps),
        drawn.Drawn(connection.address, parts.agent.collect_data_spec,
                    settings.sequence_length), callbacks)


def _collect(settings, connection, stop, index):
  """Collects until the run's end, with the newest weights that have come."""
  if index is None:
    index = secrets.randbelow(2**30)
  # Apart from the seeds of the other collectors, and of the learner.
  seed = (settings.seed + 7919 * (index + 1)) % 2**31
  with _parts(settings._replace(seed=seed)) as parts, faults.surfaced():
    connection.join(description.of(parts))
    weights = weights_lib.Weights(connection, parts)
    outbox = sending.Outbox(
        connection, parts.agent.collect_data_spec,
        parts.environment.batch_size, settings.sequence_length,
        parts.task.metrics)
    collector = _collector(parts, outbox, seed)
    end, last = end_lib.End(connection), settings.timetable.steps
    ends = lambda: stop.requested or end.reached(last)
    print('Collecting.', flush=True)
    while not ends():
      weights.pull()
      take = collector.collect if weights.arrived else collector.prefill
      take(tables.at_once(settings))
      outbox.send(ends, batch.pop_metrics(parts.environment))
    if not stop.requested:
      print('The run has ended.', flush=True)
    print(f'Collected {collector.steps:,} steps.', flush=True)


def _collector(parts: parts_lib.Parts, outbox: Any, seed: int):
  """A `Collector` with a count of its own: schedules read the run's steps."""
  from tf_agents.metrics import tf_metrics

  from dreamerv2_tfa.behaviour import fused_policy

  agent = parts.agent
  return collection.Collector(
      parts.environment, fused_policy.of(agent.collect_policy, agent.jit),
      outbox, tf_metrics.EnvironmentSteps(), seed=seed)
