"""Environments in processes of their own, as one batch.

TF-Agents' ParallelPyEnvironment forks a process that TensorFlow has threads in,
leaves orphans when the trainer is killed and stops at the first failure, so
this is our own.
"""

from multiprocessing import connection
import os
import pickle
import socket
import subprocess
import sys
import time

import cloudpickle
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.trajectories import time_step as ts
import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import worker as worker_lib

_SILENT = (
    'Its process ended without a word: it was killed, or crashed in native '
    'code.')


class ProcessBatch(py_environment.PyEnvironment):
  """Steps one environment a process, all at once.

  A worker that fails is reported with its own traceback and restarted, and its
  unfinished episode is dropped: the next time step of its index is FIRST, with no
  LAST before it, so no sequence joins the two and no return is counted.
  """

  def __init__(self, construct, seeds):
    """Starts the processes and waits for their environments.

    Args:
      construct: Function from a seed to an unbatched `PyEnvironment`; it may
        be a lambda or a function of the main script.
      seeds: Python ints, one for each environment.

    Raises:
      UserError: If an environment cannot be used.
      EnvironmentFailed: If one cannot be made for another reason.
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
  def batched(self):
    """True."""
    return True

  @property
  def batch_size(self):
    """Number of environments."""
    return len(self._seeds)

  def action_spec(self):
    """Returns the spec of one environment's action."""
    return self._action_spec

  def observation_spec(self):
    """Returns the specs of one environment's observation."""
    return self._observation_spec

  def pop_outcomes(self):
    """Returns the outcomes of all environments; see `crafter`."""
    answers = self._ask('pop_outcomes', [()] * self.batch_size, lambda _: [])
    return [outcome for answer in answers for outcome in answer]

  def close(self):
    """Closes the environments and ends their processes, the first time."""
    self._end(range(len(self._workers)))
    self._workers = []

  def _end(self, indices):
    """Closes environments side by side and ends their processes."""
    for index in indices:
      _send(self._workers[index], 'close', ())
    deadline = time.monotonic() + worker_lib.CLOSE_SECONDS
    for index in indices:
      self._await_close(index, self._workers[index], deadline)

  def _await_close(self, index, worker, deadline):
    """Waits for the answer to `close`, after any that nobody has read."""
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

  def _step(self, action):
    """Plays the actions, `[B, ...]`."""
    steps = self._ask('step', [(index,) for index in action], self._restart)
    for index, (step_type, *_) in enumerate(steps):
      if step_type == ts.StepType.LAST:
        self._failures[index] = 0
    return _stack(steps)

  def _ask(self, name, arguments, otherwise):
    """Calls a method of all environments at once; `otherwise` of a failed index.

    Args:
      name: Name of the method.
      arguments: One tuple for each index.
      otherwise: Function of a index that has failed, reported and restarted, to
        the answer in its place.

    Returns:
      List of answers.
    """
    asked = [
        _send(worker, name, values)
        for worker, values in zip(self._workers, arguments, strict=True)]
    answers = []
    for index, sent in enumerate(asked):
      answer, failure = _receive(self._workers[index]) if sent else (None, _DEAD)
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
    """Returns the first time step of a fresh worker in place of a failed."""
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
    """Returns the pipe to a new worker, which makes its environment."""
    seed = self._seeds[index]
    if self._restarts[index]:  # what failed once would fail again
      seed = seeds_of([seed, self._restarts[index]], 1)[0]
    worker = _server().fork()
    _send(worker, 'make', (self._construct, seed, index, self.batch_size))
    return worker

  def _answer_of_make(self, index):
    specs, failure = _receive(self._workers[index])
    if failure:
      kind, message, trace = failure
      if kind == 'user':
        raise checks.UserError(message)
      raise faults.EnvironmentFailed(
          f'{self._name(index)} cannot be made: {message}', trace)
    return specs


def _server():
  """The server of this process, started where there is none."""
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
    """Returns a `Connection` to a new worker."""
    ours, theirs = socket.socketpair()
    with theirs:
      socket.send_fds(self._socket, [b'!'], [theirs.fileno()])
    return connection.Connection(ours.detach())

  @property
  def ended(self):
    """Whether it has been killed, its workers with it."""
    return self._process.poll() is not None


_DEAD = ('fault', 'it is gone', _SILENT)
_LATE = ('late', f'it took longer than {worker_lib.CLOSE_SECONDS} s', '')


def _send(worker, name, arguments):
  """Whether a request could be sent."""
  try:
    worker.send_bytes(pickle.dumps((name, arguments), 5))
  except OSError:
    return False
  return True


def _receive(worker):
  """Returns an answer and None, or None and its kind, message and trace."""
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


def seeds_of(seed, count):
  """Returns `count` independent seeds in [0, 2**31), from an int or ints."""
  words = np.random.SeedSequence(seed).generate_state(count)
  return [int(word) >> 1 for word in words]
