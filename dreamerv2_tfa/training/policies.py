"""SavedModels of a run's policies, for deployment."""

import json
import pathlib
import shutil

from tf_agents.policies import policy_saver

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import named

_NAMES = ('greedy', 'collect')
_EXPORTED = 'exported.json'


class Policies:
  """SavedModels of the agent's policies, replaced whole at each export."""

  def __init__(
      self, directory: pathlib.Path, agent: agent_lib.DreamerV2Agent,
  ):
    """Prepares the export; writes nothing.

    Args:
      directory: `policies/` of the run.
      agent: Whose policies they are.
    """
    self._directory = directory
    self._savers = {
        name: _saver(policy, agent.train_step_counter)
        for name, policy in zip(
            _NAMES, (agent.policy, agent.collect_policy), strict=True
        )
    }

  def save(self, steps: int) -> None:
    """Writes `policies/greedy` and `policies/collect`.

    Args:
      steps: Agent steps so far; `exported.json` has them.
    """
    for name, saver in self._savers.items():
      final = self._directory / name
      fresh = self._directory / f'{name}.new'
      shutil.rmtree(fresh, ignore_errors=True)
      saver.save(str(fresh))
      durable.replace(fresh, final)
    durable.write_text(
        self._directory / _EXPORTED, json.dumps({'steps': steps}) + '\n'
    )


def is_exported(directory: pathlib.Path, steps: int) -> bool:
  """Whether the policies of so many agent steps, or more, are there.

  An earlier version wrote no `exported.json`: then they are where any are.
  """
  path = directory / _EXPORTED
  if not path.exists():
    return (directory / 'greedy').is_dir()
  try:
    return reading.parsed(reading.text(path))['steps'] >= steps
  except (OSError, ValueError, TypeError, KeyError):
    return False  # they are exported again


def _saver(policy, train_step):
  own_names = named.needed(policy)
  return policy_saver.PolicySaver(
      named.NamedPolicy(policy) if own_names else policy, batch_size=None,
      train_step=train_step, use_nest_path_signatures=not own_names,
  )
