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
from dreamerv2_tfa.environments import faults
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
    message, pipes, _, _ = socket.recv_fds(control, 1, 1)
    if not message:
      _let_end()
      os._exit(0)  # the kernel then kills the remaining workers
    if os.fork() == 0:
      control.close()
      _work(pipes[0])
      os._exit(0)
    os.close(pipes[0])


def _let_end():
  """Waits for the workers, which close their environments at the same end."""
  signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
  signal.alarm(CLOSE_SECONDS)
  try:
    while True:
      os.wait()  # raises once there are none
  except ChildProcessError:
    pass


def _work(pipe):
  """Answers requests on a pipe until it closes; closes the environment."""
  from multiprocessing import connection

  import cv2

  ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  faulthandler.enable()  # a crash in native code leaves a traceback too
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
    except Exception as error:  # the environment may raise anything
      trainer.send_bytes(pickle.dumps((None, _failure(name, error))))


class _Host:
  """Makes, steps and closes a worker's environment."""

  def __init__(self):
    self._environment: Any = None
    self._steps: int = 0  # since it was made

  def answer(self, name: str, arguments: tuple[Any, ...]) -> Any:
    """Carries out a request; returns the answer for the trainer."""
    if name == 'make':
      keep_to_share(*arguments[2:])
      self._environment = _make(*arguments[:2])
      return (self._environment.observation_spec(),
              self._environment.action_spec())
    if name == 'close':
      self.close()
      return CLOSED
    if name == 'pop_metrics':
      return getattr(self._environment, 'pop_metrics', list)()
    step: Any = faults.call(self._environment, name, arguments, self._steps)
    self._steps += step.step_type != 0  # FIRST
    # Plain numbers are quicker to pickle than arrays.
    return (int(step.step_type), float(step.reward), float(step.discount),
            step.observation)

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
