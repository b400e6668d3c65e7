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
import traceback

from gym_notices import notices

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PRELOADED = ('dreamerv2_tfa.environments.suites', 'cloudpickle')


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
      os._exit(0)  # at once: the kernel then kills the workers
    if os.fork() == 0:
      control.close()
      _work(pipes[0])
      os._exit(0)
    os.close(pipes[0])


def _work(pipe):
  """Answers requests on a pipe until it closes."""
  from multiprocessing import connection

  import cv2

  ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
  signal.signal(signal.SIGCHLD, signal.SIG_DFL)
  faulthandler.enable()  # a crash in native code leaves a traceback too
  cv2.setNumThreads(0)  # the processes share the cores
  trainer = connection.Connection(pipe)
  environment = None
  while True:
    try:
      name, arguments = pickle.loads(trainer.recv_bytes())
    except EOFError:
      return
    try:
      if name == 'make':
        keep_to_share(*arguments[2:])
        environment = _make(*arguments[:2])
        answer = (environment.observation_spec(), environment.action_spec())
      elif name == 'pop_outcomes':
        answer = getattr(environment, 'pop_outcomes', list)()
      else:
        step = getattr(environment, name)(*arguments)
        # Plain numbers: they are quicker to pickle than arrays.
        answer = (int(step.step_type), float(step.reward),
                  float(step.discount), step.observation)
      trainer.send_bytes(pickle.dumps((answer, None), 5))
    except Exception as error:  # whatever the environment raises
      kind = 'user' if isinstance(error, ValueError) else 'fault'
      failure = kind, str(error), traceback.format_exc()
      trainer.send_bytes(pickle.dumps((None, failure)))


def keep_to_share(row, rows):
  """Keeps to this row's share of the processors, or to one of them.

  The kernel would wake every worker on the processor of the trainer that asks,
  one after another, and leave the others idle.
  """
  if hasattr(os, 'sched_setaffinity'):
    processors = sorted(os.sched_getaffinity(0))
    share = processors[row % len(processors)::rows]
    os.sched_setaffinity(0, share)


def _make(pickled, seed):
  import cloudpickle

  return cloudpickle.loads(pickled)(seed)


if __name__ == '__main__':
  main()
