"""Environments in processes of their own, as one batch.

TF-Agents' ParallelPyEnvironment forks a process in which TensorFlow has
threads, leaves orphans when the trainer is killed, and stops at the first
failure, so this is our own.
"""

from collections.abc import Callable
from collections.abc import Sequence
from multiprocessing import connection
import os
import pickle
import socket
import subprocess
import sys
import time
from typing import Any

import cloudpickle
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types
import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import worker as worker_lib

_SILENT = (
    'Its process ended without a word: it was killed, or crashed in native '
    'code.')


class ProcessBatch(py_environment.PyEnvironment):
  """Steps one environment a process, all at once.

  A failure of a worker is logged with its traceback, and the worker restarted.
  Its unfinished episode is dropped: its next time step is FIRST, with no LAST
  before it, so no sequence joins the two episodes and no return is counted.
  """

  def __init__(
      self, construct: Callable[[int], py_environment.PyEnvironment],
      seeds: Sequence[int]):
    """Starts the processes and waits for their environments.

    Args:
      construct: From a seed to an unbatched environment. It may be a lambda or
        a function of the main script.
      seeds: One for each environment.

    Raises:
      UserError: If an environment is refused.
      EnvironmentFailed: If an environment cannot be made for another reason.
    """
    super().__init__()
    self._construct = cloudpickle.dumps(construct)
    self._seeds = list(seeds)
    self._restarts = [0] * len(self._seeds)
    self._failures = [0] * len(self._seeds)  # since the last whole episode
    self._workers = []
    try:
      for index in range(len(self._seeds)):
        self._workers.append(self._start(index))
      specs = [self._answer_of_make(index) for index in range(len(self._seeds))]
      if any(spec != specs[0] for spec in specs):
        raise checks.UserError(
            f'The environments of a batch need equal specs; got {specs}.')
    except BaseException:
      self.close()
      raise
    self._observation_spec, self._action_spec = specs[0]

  @property
  def batched(self) -> bool:
    """True."""
    return True

  @property
  def batch_size(self) -> int:
    """Number of environments."""
    return len(self._seeds)

  def action_spec(self) -> types.NestedArraySpec:
    """Spec of one environment's action."""
    return self._action_spec

  def observation_spec(self) -> types.NestedArraySpec:
    """Specs of one environment's observation."""
    return self._observation_spec

  def pop_metrics(self) -> list[dict[str, float]]:
    """Metrics of the ended episodes of all environments; see `crafter`."""
    answers = self._ask('pop_metrics', [()] * self.batch_size, lambda _: [])
    return [metrics for answer in answers for metrics in answer]

  def close(self) -> None:
    """Closes the environments and ends their processes, the first time."""
    self._end(range(len(self._workers)))
    self._workers = []

  def _end(self, indices):
    """Closes environments at the same time and ends their processes."""
    for index in indices:
      _send(self._workers[index], 'close', ())
    deadline = time.monotonic() + worker_lib.CLOSE_SECONDS
    for index in indices:
      self._await_close(index, self._workers[index], deadline)

  def _await_close(self, index, worker, deadline):
    """Waits for the answer to `close`, after answers that were not read."""
    answer, failure = None, None
    try:
      while answer != worker_lib.CLOSED and failure not in (_DEAD, _LATE):
        if not worker.poll(max(deadline - time.monotonic(), 0)):
          failure = _LATE
        else:
          answer, failure = _receive(worker)
        if failure and failure[0] in ('close', 'late'):
          faults.report_close(self._name(index), *failure[1:])
          return
    finally:
      worker.close()

  def _reset(self):
    """Starts an episode in every environment."""
    return _stack(
        self._ask('reset', [()] * self.batch_size, self._restart))

  def _step(self, action: Any):
    """Plays the actions, `[B, ...]`."""
    steps = self._ask('step', [(each,) for each in action], self._restart)
    for index, (step_type, *_) in enumerate(steps):
      if step_type == ts.StepType.LAST:
        self._failures[index] = 0
    return _stack(steps)

  def _ask(self, name, arguments, otherwise):
    """Calls a method of all environments at once.

    Args:
      name: Name of the method.
      arguments: A tuple for each environment.
      otherwise: Called with the index of an environment that failed, after the
        failure was logged. Its result takes the place of the answer.

    Returns:
      List of answers.
    """
    asked = [
        _send(worker, name, values)
        for worker, values in zip(self._workers, arguments, strict=True)]
    answers = []
    for index, sent in enumerate(asked):
      answer, failure = (
          _receive(self._workers[index]) if sent else (None, _DEAD))
      if failure:
        try:
          self._report(index, failure)
          answer = otherwise(index)
        except Exception as error:
          raise faults.note(error)  # noqa: B904, the error itself
      answers.append(answer)
    return answers

  def _name(self, index):
    return f'Environment {index} of {self.batch_size}'

  def _report(self, index, failure):
    kind, said, trace = failure
    if kind == 'user':
      raise checks.UserError(said)
    self._failures[index] += 1
    if self._failures[index] >= faults.MOST_FAILURES:
      raise faults.gives_up(self._name(index), said, trace)
    faults.report(self._name(index), said, trace)

  def _restart(self, index):
    """Replaces a failed worker; returns the first time step of the new one."""
    self._end([index])
    self._restarts[index] += 1
    while True:
      self._workers[index] = self._start(index)
      self._answer_of_make(index)
      _send(self._workers[index], 'reset', ())
      time_step, failure = _receive(self._workers[index])
      if not failure:
        return time_step
      self._report(index, failure)
      self._end([index])

  def _start(self, index):
    """Starts a worker, which makes its environment; returns the pipe to it."""
    seed = self._seeds[index]
    if self._restarts[index]:  # with the same seed it would fail again
      seed = seeds_of([seed, self._restarts[index]], 1)[0]
    worker = _server().fork()
    _send(worker, 'make', (self._construct, seed, index, self.batch_size))
    return worker

  def _answer_of_make(self, index: int) -> Any:
    specs, failure = _receive(self._workers[index])
    if failure:
      kind, message, trace = failure
      if kind == 'user':
        raise checks.UserError(message)
      raise faults.EnvironmentFailed(
          f'{self._name(index)} cannot be made: {message}', trace)
    return specs


def _server():
  """The server of this process, started if there is none."""
  if not _servers or _servers[0].ended:
    _servers[:] = [_Server()]
  return _servers[0]


_servers = []


class _Server:
  """The trainer's side of `worker.main`; it ends with the trainer."""

  def __init__(self):
    self._socket, theirs = socket.socketpair()
    with theirs:
      self._process = subprocess.Popen(
          [sys.executable, '-m', 'dreamerv2_tfa.environments.worker',
           str(theirs.fileno())],
          pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
          start_new_session=True,  # Ctrl-C goes to the trainer alone
          env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})
    if not self._socket.recv(1):
      raise RuntimeError('The server of environments did not start.')

  def fork(self):
    """Starts a worker; returns the `Connection` to it."""
    ours, theirs = socket.socketpair()
    with theirs:
      socket.send_fds(self._socket, [b'!'], [theirs.fileno()])
    return connection.Connection(ours.detach())

  @property
  def ended(self):
    """Whether it was killed, and its workers with it."""
    return self._process.poll() is not None


_DEAD = ('fault', 'it is gone', _SILENT)
_LATE = ('late', f'it took longer than {worker_lib.CLOSE_SECONDS} s', '')


def _send(worker, name, arguments):
  """Sends a request; returns whether that was possible."""
  try:
    worker.send_bytes(pickle.dumps((name, arguments), 5))
  except OSError:
    return False
  return True


def _receive(worker):
  """An answer and None; or None and a failure: kind, message and trace."""
  try:
    return pickle.loads(worker.recv_bytes())
  except (EOFError, OSError):
    return None, _DEAD


def _stack(steps):
  """One `TimeStep` `[B, ...]` of the workers' plain tuples."""
  types, rewards, discount, observations = zip(*steps, strict=True)
  return ts.TimeStep(
      np.array(types, np.int32), np.array(rewards, np.float32),
      np.array(discount, np.float32),
      tree.map_structure(lambda *each: np.stack(each), *observations))


def seeds_of(seed: int | Sequence[int], count: int) -> list[int]:
  """Derives `count` independent seeds in [0, 2**31)."""
  words = np.random.SeedSequence(seed).generate_state(count)
  return [int(word) >> 1 for word in words]
