"""The weights that collectors act with, on their way from the learner."""

import contextlib
from typing import Any

import tensorflow as tf
from tf_agents.experimental.distributed import reverb_variable_container

from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.training import parts as parts_lib

_DIED = (  # what TF-Agents' container raises where the server dies meanwhile
    tf.errors.InternalError, tf.errors.UnavailableError,
    tf.errors.CancelledError, tf.errors.DeadlineExceededError)


def variables(parts: parts_lib.Parts) -> dict[str, Any]:
  """What a step of the collect policy reads: weights, and steps of the run.

  Random state is left out: each collector draws numbers of its own.
  """
  policy, model = parts.agent.collect_policy, parts.agent.world_model
  read = {id(x) for x in model.filter_variables}
  other = {id(x) for x in model.variables if id(x) not in read}
  steps = parts.steps.environment_steps
  return {
      'steps': steps,
      'weights': [
          x for x in policy.variables()
          if x.dtype.is_floating and id(x) not in other],
  }


class Weights:
  """The variables of a run in the replay server, pushed or pulled."""

  def __init__(
      self, connection: connection_lib.Connection, parts: parts_lib.Parts,
  ):
    """Opens TF-Agents' container; the server must answer.

    Args:
      connection: Of this process.
      parts: Of this process.
    """
    self._connection, self._pulled = connection, -1
    self._variables = variables(parts)
    self._sparing = connection_lib.Sparing()
    connection.info()
    self._container = connection.run(
        lambda: reverb_variable_container.ReverbVariableContainer(
            connection.address, [tables.VARIABLES]), 'its tables')

  @property
  def arrived(self) -> bool:
    """Whether some have been pulled."""
    return self._pulled >= 0

  def push(self) -> None:
    """Sends the variables, unless that would take much of the time."""
    if self._sparing.due:
      self._sparing.take(self._push)

  def _push(self):
    with self._missed():
      self._push_new()

  @contextlib.contextmanager
  def _missed(self):
    """Waits for a server that has died meanwhile; newer weights come soon."""
    try:
      yield
    except _DIED as error:
      print('Weights could not be moved, and will be again: '
            f'{" ".join(str(error).split())[:200]}', flush=True)
      self._connection.info()

  def _push_new(self):
    values = tf.nest.map_structure(lambda x: x.read_value(), self._variables)
    self._connection.run(
        lambda: self._container.push(values, tables.VARIABLES),
        'room for weights')

  def pull(self) -> None:
    """Takes the newest variables, where there are any and it is due."""
    if self._sparing.due:
      self._sparing.take(self._pull)

  def _pull(self):
    table = self._connection.info()[tables.VARIABLES]
    pushed = table.rate_limiter_info.insert_stats.completed
    if not table.current_size or pushed == self._pulled:
      return
    with self._missed():
      self._pull_new()
      # Or more, if others came meanwhile; a restarted server counts from 0.
      self._pulled = pushed

  def _pull_new(self):
    values = self._connection.run(
        lambda: self._container.pull(tables.VARIABLES), 'weights')
    for variable, value in zip(
        tf.nest.flatten(self._variables), tf.nest.flatten(values), strict=True):
      variable.assign(value)
