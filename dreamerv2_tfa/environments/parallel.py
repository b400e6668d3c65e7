"""Environments in processes of their own, as one batch.

TF-Agents' ParallelPyEnvironment forks a process in which TensorFlow has
threads, leaves orphans when the trainer is killed, and stops at the first
failure, so this is our own.
"""

from collections.abc import Callable
from collections.abc import Sequence
import time
from typing import Any

import cloudpickle
import numpy as np
from tf_agents.environments import py_environment
from tf_agents.trajectories import time_step as ts
from tf_agents.typing import types
import tree

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import failures
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import server
from dreamerv2_tfa.environments import worker as worker_lib

_LATE = ('late', f'it took longer than {worker_lib.CLOSE_SECONDS} s', '')

class ProcessBatch(py_environment.PyEnvironment):
  """Steps one environment a process, all at once.

  A failure of a worker is logged with its traceback, and the worker restarted.
  One that gives no answer in time is killed first.
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
    reported = set()
    self._failures = [
        failures.Failures(self._name(index), reported)
        for index in range(len(self._seeds))]
    # Episode and step of each, counted since it was made, as in `Door`.
    self._places = [(0, 0)] * len(self._seeds)
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

  def get_state(self) -> dict[str, Any]:
    """The states of all environments, and the counters that seed a restart.

    Raises:
      NotImplementedError: If one of them cannot be saved.
    """
    answers = self._ask(
        'get_state', [()] * self.batch_size, lambda _: None)
    if None in answers:
      raise NotImplementedError('An environment has no get_state().')
    return {'failures': [each.get_state() for each in self._failures],
            'places': [list(each) for each in self._places],
            'environments': answers}

  def set_state(self, state: dict[str, Any]) -> None:
    """Restores a state of `get_state`.

    Raises:
      ValueError: If an environment does not take it.
    """
    for worker, each in zip(
        self._workers, state['environments'], strict=True):
      worker.send('set_state', (each,))
    for index in range(self.batch_size):
      _, failure = self._answer(index)
      if failure:
        raise ValueError(f'{self._name(index)}: {failure[1]}')
    for counts, each in zip(self._failures, state['failures'], strict=True):
      counts.set_state(each)
    self._places = [(episode, step) for episode, step in state['places']]

  @property
  def restarts(self) -> int:
    """How often an environment was restarted, all together."""
    return sum(each.restarts for each in self._failures)

  def close(self) -> None:
    """Closes the environments and ends their processes, the first time."""
    self._end(range(len(self._workers)))
    self._workers = []

  def _end(self, indices):
    """Closes environments at the same time and ends their processes."""
    for index in indices:
      self._workers[index].send('close', ())
    deadline = time.monotonic() + worker_lib.CLOSE_SECONDS
    for index in indices:
      self._await_close(index, self._workers[index], deadline)

  def _await_close(self, index, worker, deadline):
    """Waits for the answer to `close`, after answers that were not read."""
    answer, failure = None, None
    try:
      while answer != worker_lib.CLOSED:
        if not worker.ready(max(deadline - time.monotonic(), 0)):
          failure = _LATE
        else:
          answer, failure = worker.receive()
        if failure and failure[0] in ('close', 'late'):
          faults.report_close(self._name(index), *failure[1:])
          worker.kill()
          return
        if failure and failure[1] == server.GONE:
          return
    finally:
      worker.close()

  def _reset(self):
    """Starts an episode in every environment."""
    steps = self._ask('reset', [()] * self.batch_size, self._restart)
    self._places = [(episode + 1, 0) for episode, _ in self._places]
    return _stack(steps)

  def _step(self, action: Any):
    """Plays the actions, `[B, ...]`."""
    steps = self._ask('step', [(each,) for each in action], self._restart)
    for index, (step_type, *_) in enumerate(steps):
      episode, step = self._places[index]
      self._places[index] = (
          (episode + 1, 0) if step_type == ts.StepType.FIRST
          else (episode, step + 1))
      if step_type == ts.StepType.LAST:
        self._failures[index].finished()
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
    for worker, values in zip(self._workers, arguments, strict=True):
      worker.send(name, values)
    answers = []
    try:
      for index in range(self.batch_size):
        answer, failure = self._answer(index)
        if failure:
          kind, said, trace = failure
          if kind == server.ENDED:  # the worker itself says where it fails
            said = f'{self._where(index, name, arguments[index])}: {said}'
          self._report(index, (kind, said, trace))
          answer = otherwise(index)
        answers.append(answer)
    except Exception as error:
      raise faults.note(error)  # noqa: B904, the error itself
    return answers

  def _where(self, index, name, arguments):
    episode, step = self._places[index]
    return faults.describe(name, arguments, step, episode)

  def _answer(self, index):
    return self._workers[index].answer(self._name(index))

  def _name(self, index):
    return f'Environment {index} of {self.batch_size}' if (
        self.batch_size > 1) else 'The environment'

  def _report(self, index, failure):
    """Reports a failure and waits, or raises if it is one too many."""
    kind, said, trace = failure
    if kind == 'user':
      raise checks.UserError(said)
    self._failures[index].add(faults.EnvironmentFailed(said, trace))

  def _restart(self, index):
    """Replaces a failed worker; returns the first time step of the new one."""
    while True:
      self._end([index])
      self._workers[index] = self._start(index)
      _, failure = self._answer(index)  # to `make`
      if not failure:
        self._workers[index].send('reset', ())
        time_step, failure = self._answer(index)
      if not failure:
        self._places[index] = (0, 0)
        return time_step
      self._report(index, failure)

  def _start(self, index):
    """Starts a worker, which makes its environment; returns it."""
    seed, restarts = self._seeds[index], self._failures[index].restarts
    if restarts:  # with the same seed it would fail again
      seed, = seeds_of([seed, restarts], 1)
    worker = server.running().fork()
    worker.send('make', (
        self._construct, seed, index, self.batch_size, restarts > 0))
    return worker

  def _answer_of_make(self, index: int) -> Any:
    specs, failure = self._answer(index)
    if failure:
      kind, message, trace = failure
      if kind == 'user':
        raise checks.UserError(message)
      raise faults.EnvironmentFailed(
          f'{self._name(index)} cannot be made: {message}', trace)
    return specs


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
