"""How much replay memory a run takes: as much as is asked for, if it fits."""

import shutil

from dreamerv2_tfa import checks
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import settings as settings_lib

_NAME = 'train.replay_capacity'


def take(
    parts: parts_lib.Parts, settings: settings_lib.Settings,
    folder: runs.RunFolder, *, resumed: bool,
) -> replay.Fit:
  """Decides and prints how many rows are taken, and where; allocates nothing.

  With `train.replay_storage = 'auto'`, rows that do not fit into memory are on
  disk, if it has the room for all of them, and for what replay/ will take.

  Whoever binds a number of their own gets it or an error. A number out of a
  preset may not fit the machine: then what fits is taken. So it is for any
  number when a run is resumed, perhaps on a smaller machine than it began on.

  Args:
    parts: Of the run.
    settings: Likewise; `replay_capacity` is what is asked for.
    folder: Likewise; it need not exist.
    resumed: Whether the run is resumed.

  Raises:
    ValueError: If the rows do not fit, or hold no sequence.
  """
  asked = checks.integer(_NAME, settings.replay_capacity)
  source = runs.RunFolder(settings.replay_from or folder.root)
  agent, environments = parts.agent, parts.environment.batch_size
  stored = store.rows(source.replay)
  grows = 0 if settings.replay_from else max(
      asked - environments * stored, 0)
  kept = reserve(
      sum(protocol.parameter_counts(agent).values()),
      settings.batch_size * settings.sequence_length,
  )
  found = _fit(
      parts, settings, resumed, kept, storage=settings.replay_storage,
      disk_free=_disk_free(folder.root) - grows * replay.required_bytes(
          agent.collect_data_spec, 1),
  )
  print(replay.describe(
      found, environments * stored, stores=settings.replay_from is None,
  ), flush=True)
  return found


def serve(
    parts: parts_lib.Parts, settings: settings_lib.Settings, overhead: int,
    *, resumed: bool,
) -> int:
  """As `take`, for a replay server: rows that it holds, all in memory.

  Args:
    parts: Of the run.
    settings: Likewise.
    overhead: Bytes of memory that a row takes beside its own.
    resumed: Whether the server is resumed.

  Raises:
    ValueError: As `take`.
  """
  found = _fit(parts, settings, resumed, reserve(0, 0), overhead=overhead)
  print(replay.describe(found, stores=False), flush=True)
  return found.rows


def elsewhere(settings: settings_lib.Settings) -> replay.Fit:
  """What is asked for, in another process: nothing is taken here."""
  asked = checks.integer(_NAME, settings.replay_capacity)
  return replay.Fit(asked, asked, 0, 0, 0, 0)


def _fit(parts, settings, resumed, kept, **where):
  """What `replay.fit` chooses; `kept` bytes are its `reserve`."""
  asked = checks.integer(_NAME, settings.replay_capacity)
  least = replay.check(
      asked, settings.sequence_length, settings.timetable.prefill,
      parts.environment.batch_size)
  return replay.fit(
      parts.agent.collect_data_spec, asked, least=least, reserve=kept,
      shrink=resumed or asked in presets.numbers(_NAME), **where)


def _disk_free(path):
  """Bytes that are free on the disk of a folder, which need not exist."""
  path = path.expanduser().absolute()
  while not path.exists():
    path = path.parent
  return shutil.disk_usage(path).free


def reserve(parameters: int, batch_rows: int) -> int:
  """Bytes that a run takes beside replay once its agent is built.

  Measured as peak less the use at this point, on a CPU, these add up to (see
  docs/sizes.md):

    1 GB             graphs and their compilation, evaluation, export, saves,
                     and room for what others start meanwhile
    16 B a number    moments of Adam, gradient, a copy
    2 MB a row       activations of a batch of B * T rows and of the rollouts
                     from each, at the published widths, in float32

  The environments, those in processes of their own and the one of evaluation
  too, run by then and are no part of it.

  Args:
    parameters: Trainable numbers.
    batch_rows: B * T.
  """
  return 10**9 + 16 * parameters + 2 * 10**6 * batch_rows


def check_rows(
    rows: int, settings: settings_lib.Settings, steps: int,
    folder: runs.RunFolder,
) -> None:
  """Refuses a run that needs stored rows and has none.

  Args:
    rows: That were loaded.
    settings: Of the run.
    steps: Agent steps that the run has taken.
    folder: Of the run.

  Raises:
    ValueError: If there are too few.
  """
  length = settings.sequence_length
  if rows > length:
    return
  if settings.replay_from is not None:
    raise ValueError(
        f'train.replay_from = {settings.replay_from!r} holds {rows} '
        f'stored rows; wanted more than train.sequence_length = {length}. '
        'Give the --root_dir of a run that has saved.'
    )
  if folder.replay_server.is_dir() and not rows:
    raise checks.UserError(
        f'The run in {folder.root} is one of several processes: its rows are '
        f'in {folder.replay_server.name}/. Add a role, such as --role=all.')
  if steps and steps >= settings.timetable.prefill:
    raise ValueError(
        f'{folder.replay} holds {rows} rows of a run that has taken '
        f'{steps:,} steps; a training sequence takes {length + 1}. Put '
        'its files back from a copy; or take another --root_dir, where '
        f'train.model_from = {str(folder.root)!r} takes the world model.'
    )
