"""An update on several devices: of the learner's process, or of several.

  one process        `MirroredStrategy`, over the devices of --replicas
  several processes  `MultiWorkerMirroredStrategy`, where TF_CONFIG names them

Each process takes windows of its own from the replay server, its share of the
batch, and each of its devices an equal share of it. `agent.train` makes means
of what the replicas have, so the update is that of the whole batch.

Process 0 is the chief: it has the run's folder, takes the tickets and decides
when an update runs. The others follow: before each update they are told so by a
sum over all, to which they add nothing.

    chief      [UPDATE, steps]  share of the batch  update  [END, steps]
    follower   [0, 0]           share of the batch  update  [0, 0]
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
from typing import Any

import tensorflow as tf
from tf_agents.agents import tf_agent
from tf_agents.trajectories import trajectory as trajectories
from tf_agents.utils import common

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import checks
from dreamerv2_tfa import replicas as replicas_lib

END, UPDATE, WEIGHTS = 0, 1, 2  # what the chief tells
FAILED = -1  # with END
_GONE = (  # of a sum over processes that one of them has left
    tf.errors.UnavailableError, tf.errors.AbortedError,
    tf.errors.CancelledError, tf.errors.DeadlineExceededError,
    tf.errors.InternalError)


def make(replicas: int | None) -> 'Replication | None':
  """The devices of this process, and the processes of TF_CONFIG.

  Must be called before TensorFlow has started its devices.

  Args:
    replicas: Devices of this process: GPUs, and where there are none parts of
      the CPU. None: one, and with TF_CONFIG all GPUs.

  Returns:
    None for one device of one process.

  Raises:
    UserError: If there are fewer GPUs, or TF_CONFIG cannot be used.
  """
  names, index = _cluster()
  workers = max(len(names), 1)
  gpus = tf.config.list_physical_devices('GPU')
  if gpus and replicas is not None and replicas > len(gpus):
    raise checks.UserError(
        f'Got --replicas={replicas}; there are {len(gpus)} GPUs here.')
  if workers > 1:
    if replicas not in (None, max(len(gpus), 1)):
      raise checks.UserError(
          f'Got --replicas={replicas}; with TF_CONFIG a process has all its '
          f'{max(len(gpus), 1)}. Hide GPUs with CUDA_VISIBLE_DEVICES.')
    print(f'Waiting for {workers} learners: {", ".join(names)}.', flush=True)
    strategy: Any = tf.distribute.MultiWorkerMirroredStrategy()
    return Replication(strategy, workers, index)
  if replicas in (None, 1):
    return None
  if not gpus:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices('CPU')[0],
        [tf.config.LogicalDeviceConfiguration()] * replicas)
  kind = 'GPU' if gpus else 'CPU'
  return Replication(tf.distribute.MirroredStrategy(
      [f'/{kind}:{i}' for i in range(replicas)]), 1, 0)


def _cluster():
  """Processes that TF_CONFIG names, and which of them this one is."""
  text = os.environ.get('TF_CONFIG')
  if not text:
    return [], 0
  try:
    found = json.loads(text)
    workers, task = found['cluster']['worker'], found['task']
    index, kinds = int(task['index']), set(found['cluster'])
  except (ValueError, TypeError, KeyError) as error:
    raise checks.UserError(
        f'TF_CONFIG cannot be read ({type(error).__name__}: {error}). Wanted '
        '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
        '"worker", "index": 0}}, or none.') from error
  if kinds != {'worker'} or task.get('type') != 'worker' or not (
      0 <= index < len(workers)):
    raise checks.UserError(
        'TF_CONFIG must name workers alone, and this process one of them; got '
        f'{", ".join(sorted(kinds))} and the task {task}.')
  return workers, index


class Replication:
  """Runs updates on the replicas of a strategy.

  Attributes:
    index: Of this process; 0 is the chief.
    processes: How many there are.
  """

  def __init__(
      self, strategy: tf.distribute.Strategy, processes: int, index: int,
  ):
    """Does nothing yet.

    Args:
      strategy: `MirroredStrategy` or `MultiWorkerMirroredStrategy`.
      processes: How many.
      index: Of this one.
    """
    self.strategy, self.processes, self.index = strategy, processes, index
    self._devices = len(strategy.extended.worker_devices)
    self._told = common.function(self._sum)
    self._begun = False

  def share(self, batch_size: int) -> int:
    """Windows of a batch that this process draws.

    Raises:
      UserError: If replicas would have different shares.
    """
    replicas = self.strategy.num_replicas_in_sync
    if batch_size % replicas:
      raise checks.UserError(
          f'train.batch_size = {batch_size} cannot be shared equally by '
          f'{replicas} replicas. Give fewer --replicas or processes, or bind a '
          f'multiple of {replicas}.')
    return batch_size // self.processes

  def train(
      self, agent: agent_lib.DreamerV2Agent, batch: trajectories.Trajectory,
  ) -> tf_agent.LossInfo:
    """Runs an update on all replicas; called in a graph, by all processes.

    Args:
      agent: Made under the strategy.
      batch: This process's share, `[B, T + 1, ...]`.

    Returns:
      Means over the whole batch, the same on all.
    """
    def each(batch):
      return agent.train(tf.nest.map_structure(
          lambda x: tf.split(x, self._devices)[replicas_lib.device()], batch))

    # Replicas are threads, and AutoGraph's are not of this function.
    each = tf.autograph.experimental.do_not_convert(each)
    info = self.strategy.run(each, args=(batch,))
    return tf.nest.map_structure(
        lambda x: self.strategy.reduce('SUM', x, axis=None), info)

  def _sum(self, value):
    """Sum of a tensor over processes; called in a graph."""
    def each():
      context: Any = tf.distribute.get_replica_context()
      mine = tf.identity(value)  # on the replica's device
      if replicas_lib.device():
        mine = tf.zeros_like(mine)
      return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

    each = tf.autograph.experimental.do_not_convert(each)
    return self.strategy.experimental_local_results(self.strategy.run(each))[0]

  def tell(self, what: int, steps: int) -> None:
    """Tells the followers what comes; by the chief.

    Args:
      what: `UPDATE`, `WEIGHTS` or `END`.
      steps: Agent steps of the run, which schedules read; with `END` the
        signal that has stopped it, 0: none, or `FAILED`.
    """
    if self.processes > 1:
      self._begun = True
      self._told(tf.constant([what, steps], tf.int64))

  @contextlib.contextmanager
  def together(self) -> Iterator[None]:
    """Where the chief fails the others are told; none continues alone.

    Raises:
      UserError: If another process has gone. An update may have been applied
        in part, so nothing is saved.
    """
    try:
      yield
    except _GONE as error:
      if self.processes == 1 or 'ollective' not in str(error):
        raise
      raise checks.UserError(
          f'Learner {self.index} of {self.processes} cannot continue without '
          f'the others ({" ".join(str(error).split())[:200]}). Start all of '
          'them again: the run resumes from its last save.') from error
    except BaseException:
      if self._begun:  # else the others are not where they are told
        self.tell(END, FAILED)
      raise

  def told(self) -> tuple[int, int]:
    """Waits for what the chief tells; by a follower."""
    what, steps = self._told(tf.constant([0, 0], tf.int64)).numpy().tolist()
    return what, steps

  def share_weights(self, variables: Sequence[tf.Variable]) -> None:
    """Gives all processes the chief's values; called by all.

    Args:
      variables: Made under the strategy, in the same order everywhere.
    """
    if self.processes == 1:
      return

    def share():
      for variable in variables:
        value = tf.convert_to_tensor(variable)
        mine = value if self.index == 0 else tf.zeros_like(value)
        variable.assign(self._sum(mine))

    common.function(share)()
