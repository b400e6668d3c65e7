"""The worker processes of environments, and the server that forks them.

    trainer ── socket ──▶ server ── fork ──▶ worker, worker, ...
       └──────────────── a pipe each ───────────┘

The server has imported the slow modules and has no threads, so a fork is quick
and safe, at a restart too. When the trainer ends for any reason, its socket
closes, the server ends, and the kernel kills the workers.

Not multiprocessing's forkserver: its workers import the user's main script, so
one without `if __name__ == '__main__'` would run again in them, and fail.
"""

import ctypes
import faulthandler
import os
import pickle
import signal
import socket
import sys
from typing import Any

from gym_notices import notices

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import door
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import layers
from dreamerv2_tfa.environments import tasks

CLOSE_SECONDS = 10  # time limit of an environment's `close`
CLOSED = 'closed'  # the answer to a request to close
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
  """Serves until the socket closes; the argument is its file descriptor."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's
  control = socket.socket(fileno=int(sys.argv[1]))
  # Forking an initialised OpenGL is not safe, so each worker imports it itself.
  # None refuses the import; typeshed admits modules alone.
  sys.modules['dm_control'] = None  # pyright: ignore[reportArgumentType]
  notices.notices.clear()  # Gym prints them when TF-Agents imports it
  import cloudpickle  # noqa: F401 - workers need it

  tasks.import_suites()
  del sys.modules['dm_control']
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
  control.send(b'!')
  while True:
    message, files, _, _ = socket.recv_fds(control, 1, 2)
    if not message:
      _let_end()
      os._exit(0)  # the kernel then kills the remaining workers
    if (process := os.fork()) == 0:
      control.close()
      _work(*files)
      os._exit(0)
    control.send(process.to_bytes(8, 'little'))
    for each in files:
      os.close(each)


def _let_end():
  """Waits for the workers, which close their environments at the same end."""
  signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
  signal.alarm(CLOSE_SECONDS)
  try:
    while True:
      os.wait()  # raises once there are none
  except ChildProcessError:
    pass


def _work(pipe, trace):
  """Answers requests on a pipe until it closes; closes the environment.

  Where native code crashes, or the trainer signals that it waits for too long,
  the traceback is written to the file `trace`.
  """
  from multiprocessing import connection

  import cv2

  ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  os.setpgid(0, 0)  # so that what the environment starts is killed with it
  faulthandler.enable(trace)
  faulthandler.register(signal.SIGUSR1, trace, all_threads=False)
  cv2.setNumThreads(0)  # the processes share the cores
  trainer = connection.Connection(pipe)
  host = _Host()
  while True:
    try:
      name, arguments = pickle.loads(trainer.recv_bytes())
    except (EOFError, OSError):
      with faults.closing('An environment'):
        host.close()
      return
    try:
      trainer.send_bytes(pickle.dumps((host.answer(name, arguments), None), 5))
    except BrokenPipeError:
      continue  # the next `recv_bytes` sees the end
    except BaseException as error:  # the environment may raise anything
      trainer.send_bytes(pickle.dumps((None, _failure(name, error))))


class _Host:
  """Makes, steps and closes a worker's environment."""

  def __init__(self):
    self._environment: Any = None
    self._door: Any = None

  def answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
    """Carries out a request; returns the answer for the trainer."""
    if name == 'make':
      pickled, seed, index, num_environments, restarted = arguments
      keep_to_share(index, num_environments)
      self._environment = _make(pickled, seed)
      self._door = door.Door(self._environment, proven=restarted)
      return (self._environment.observation_spec(),
              self._environment.action_spec())
    if name == 'close':
      self.close()
      return CLOSED
    if name == 'get_state':
      return self._state()
    if name == 'set_state':
      state, = arguments
      layers.put(self._environment, state['environment'])
      self._door.set_state(state['door'])
      return None
    if name == 'pop_metrics':
      return getattr(self._environment, 'pop_metrics', list)()
    step: Any = self._door.call(name, *arguments)
    # Plain numbers are quicker to pickle than arrays.
    return (int(step.step_type), float(step.reward), float(step.discount),
            step.observation)

  def _state(self):
    """The state of the environment; None if it cannot be saved."""
    try:
      return {'door': self._door.get_state(),
              'environment': layers.get(self._environment)}
    except NotImplementedError:
      return None

  def close(self) -> None:
    """Closes the environment, the first time."""
    environment, self._environment = self._environment, None
    if environment is not None:
      environment.close()


def _failure(name, error):
  """Kind, message and traceback of an error, for the trainer."""
  error = faults.failed('' if name == 'make' else f'{name}()', error)
  if not isinstance(error, faults.EnvironmentFailed):
    return 'user', str(error), ''
  return 'close' if name == 'close' else 'fault', error.said, error.trace


def keep_to_share(index: int, num_environments: int) -> None:
  """Binds this process to its share of the processors, at least one.

  Without it, the kernel wakes the workers one after another on the trainer's
  processor and leaves the others idle.
  """
  if hasattr(os, 'sched_setaffinity'):
    processors = sorted(os.sched_getaffinity(0))
    share = processors[index % len(processors)::num_environments]
    os.sched_setaffinity(0, share)


def _make(pickled, seed):
  import cloudpickle

  environment = cloudpickle.loads(pickled)(seed)
  if not hasattr(environment, 'batched') or environment.batched:
    raise checks.UserError(
        f'A worker process has one environment; got {environment!r},'
        ' a batch. Set train.processes = False.')
  return environment


if __name__ == '__main__':
  main()
