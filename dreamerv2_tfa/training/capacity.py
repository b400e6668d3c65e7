"""How much replay memory a run takes: as much as is asked for, if it fits."""

import pathlib

from dreamerv2_tfa import checks
from dreamerv2_tfa.experience import replay
from dreamerv2_tfa.experience import store
from dreamerv2_tfa.training import presets
from dreamerv2_tfa.training import protocol

_NAME = 'train.replay_capacity'


def take(
    parts, asked, root_dir, plan, batch_size, sequence_length, *, resumed
):
  """Decides and prints how many rows are taken; allocates nothing.

  Whoever binds a number of their own gets it or an error. A number out of a
  preset may not fit the machine: then what fits is taken. So it is for any
  number when a run is resumed, perhaps on a smaller machine than it began on.

  Args:
    parts: `Parts`.
    asked: The setting train.replay_capacity.
    root_dir: Path of the folder whose rows are read, which need not exist.
    plan: `Schedule`.
    batch_size: int B.
    sequence_length: int T.
    resumed: bool.

  Returns:
    `replay.Fit`.

  Raises:
    ValueError: If the rows do not fit, or hold no sequence.
  """
  asked = checks.integer(_NAME, asked)
  agent, environments = parts.agent, parts.environment.batch_size
  least = replay.check(asked, sequence_length, plan.prefill, environments)
  found = replay.fit(
      agent.collect_data_spec, asked, least=least,
      reserve=reserve(
          sum(protocol.parameter_counts(agent).values()),
          batch_size * sequence_length,
      ),
      shrink=resumed or asked in presets.numbers(_NAME),
  )
  stored = environments * store.rows(pathlib.Path(root_dir) / 'replay')
  print(replay.describe(found, stored), flush=True)
  return found


def reserve(parameters, batch_rows):
  """Bytes that a run takes beside replay once its agent is built: int.

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
    parameters: int, trainable numbers.
    batch_rows: int, B * T.
  """
  return 10**9 + 16 * parameters + 2 * 10**6 * batch_rows
