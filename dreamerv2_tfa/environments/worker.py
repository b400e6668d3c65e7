"""The processes that environments live in; see `parallel`.

    trainer ── socket ──▶ server ── fork ──▶ worker, worker, ...
       └──────────────── a pipe each ───────────┘

The server has imported what is slow to import and has no threads, so forking it
is quick and safe, at a restart too. When the trainer ends, however it ends, its
socket closes, the server ends, and the kernel kills the workers.
"""

import ctypes
import faulthandler
import importlib
import os
import pickle
import signal
import socket
import sys

from gym_notices import notices

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import faults

CLOSE_SECONDS = 10  # that an environment has for it
CLOSED = 'closed'  # the answer to that request
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PRELOADED = ('dreamerv2_tfa.environments.tasks', 'cloudpickle')


def main():
  """Serves until the socket closes whose descriptor is the argument."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's
  control = socket.socket(fileno=int(sys.argv[1]))
  # Forking an initialised OpenGL is not safe: each worker imports it anew.
  sys.modules['dm_control'] = None
  notices.notices.clear()  # Gym's, which TF-Agents sets off
  for name in _PRELOADED:
    importlib.import_module(name)
  del sys.modules['dm_control']
  signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers
  control.send(b'!')
  while True:
    message, pipes, _, _ = socket.recv_fds(control, 1, 1)
    if not message:
      _let_end()
      os._exit(0)  # at once: the kernel then kills the workers that are left
    if os.fork() == 0:
      control.close()
      _work(pipes[0])
      os._exit(0)
    os.close(pipes[0])


def _let_end():
  """Waits while workers close their environments, which see the end as well."""
  signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
  signal.alarm(CLOSE_SECONDS)
  try:
    while True:
      os.wait()  # until there are none
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
  environment = _Environment()
  while True:
    try:
      name, arguments = pickle.loads(trainer.recv_bytes())
    except (EOFError, OSError):
      with faults.closing('An environment'):
        environment.close()
      return
    try:
      trainer.send_bytes(pickle.dumps((environment.answer(name, arguments), None), 5))
    except BrokenPipeError:
      continue  # the end comes next
    except Exception as error:  # whatever the environment raises
      trainer.send_bytes(pickle.dumps((None, _failure(name, error))))


class _Environment:
  """A worker's environment."""

  def __init__(self):
    self._environment, self._steps = None, 0

  def answer(self, name, arguments):
    """What the trainer is told of a request."""
    if name == 'make':
      keep_to_share(*arguments[2:])
      self._environment = _make(*arguments[:2])
      return (self._environment.observation_spec(),
              self._environment.action_spec())
    if name == 'close':
      self.close()
      return CLOSED
    if name == 'pop_outcomes':
      return getattr(self._environment, 'pop_outcomes', list)()
    step = faults.call(self._environment, name, arguments, self._steps)
    self._steps += step.step_type != 0  # FIRST
    # Plain numbers: they are quicker to pickle than arrays.
    return (int(step.step_type), float(step.reward), float(step.discount),
            step.observation)

  def close(self):
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


def keep_to_share(index, count):
  """Keeps to the share of the processors of one of several environments, or to one of them.

  The kernel would wake every worker on the processor of the trainer that asks,
  one after another, and leave the others idle.
  """
  if hasattr(os, 'sched_setaffinity'):
    processors = sorted(os.sched_getaffinity(0))
    share = processors[index % len(processors)::count]
    os.sched_setaffinity(0, share)


def _make(pickled, seed):
  import cloudpickle

  environment = cloudpickle.loads(pickled)(seed)
  if not hasattr(environment, 'batched') or environment.batched:
    raise checks.UserError(
        f'In a process of its own belongs one environment; got {environment!r},'
        ' a batch. Set train.processes = False.')
  return environment


if __name__ == '__main__':
  main()
