"""What the processes of a run must have in common, stored with its tables."""

from collections.abc import Sequence
import json
from typing import Any

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import protocol

# Settings in which a process may differ: where and how it computes, and how
# long the run is.
_OWN = (
    'train.steps', 'train.eval_every', 'train.eval_episodes',
    'train.eval_steps', 'train.save_every',
    'train.seed', 'train.environments', 'train.processes', 'train.overlap',
    'train.callbacks', 'train.loggers', 'train.videos', 'train.diagnostics',
    'train.environment_timeout',
    'train.keep_checkpoints', 'train.replay_storage', 'train.log_every',
    'DreamerV2Agent.jit',
)
ENDED = 'ended'  # beside them: agent steps at which the learner has ended
ROWS = 'task', 'action_repeat', 'observation', 'action'  # what rows depend on
_COMPARED = (
    *ROWS, 'precision', 'versions', 'parameters',
)


def of(parts: parts_lib.Parts) -> dict[str, Any]:
  """Version, task, specs, precision and settings: what JSON can express."""
  there = protocol.describe(parts, (), 0)
  settings = config.as_dict(config.operative())
  return json.loads(json.dumps({
      **{name: there[name] for name in _COMPARED},
      'settings': {
          name: value for name, value in settings.items()
          if name.partition('.')[0] != 'Run' and name not in _OWN},
  }))


def decoded(text: np.ndarray) -> dict[str, Any]:
  """A description as the replay server has it: JSON, in an array of one."""
  return json.loads(text.reshape(-1)[0])


def check(
    role: str, mine: dict[str, Any], theirs: dict[str, Any],
    names: Sequence[str] = (),
) -> None:
  """Refuses a process that is of another run than the replay server.

  Settings that one of them has not read are left out.

  Args:
    role: Of this process.
    mine: Its `of`.
    theirs: Of the replay server.
    names: What is compared; all, if there are none.

  Raises:
    UserError: If they differ; it names in what.
  """
  found = [
      _flat({name: x for name, x in each.items()
             if name != ENDED and (not names or name in names)})
      for each in (mine, theirs)]
  differ = [
      f'{name}: here {found[0].get(name)}, there {found[1].get(name)}'
      for name in sorted(set(found[0]) & set(found[1]))
      if found[0][name] != found[1][name]
  ]
  missing = sorted(
      name for name in set(found[0]) ^ set(found[1])
      if not name.startswith('settings.'))
  differ += [f'{name}: only {"here" if name in found[0] else "there"}'
             for name in missing]
  if differ:
    raise checks.UserError(
        f'The {role} does not fit the run of the replay server: '
        f'{"; ".join(differ)}. Start both with one version, one --task, the '
        'same --gin_file, --gin_bindings and --precision.'
    )


def _flat(tree, prefix=''):
  """The leaves of nested dicts by their dotted names."""
  found = {}
  for name, value in tree.items():
    if isinstance(value, dict):
      found.update(_flat(value, f'{prefix}{name}.'))
    else:
      found[f'{prefix}{name}'] = value
  return found
