"""The server: an application, a port, and threads that wait in it."""

import gc

import numpy as np
import waitress

from dreamerv2_tfa import checks
from dreamerv2_tfa.export import loaded
from dreamerv2_tfa.serving import application
from dreamerv2_tfa.serving import batching

_THREADS = 2 * batching.ROWS  # so that a whole call can wait behind another


def make(
    path, *, host='127.0.0.1', port=8501, name='policy', max_sessions=1000,
    idle_seconds=600.0, max_bytes=16 * 2**20,
):
  """Loads a policy and listens.

  Args:
    path: Path of a folder that `bin/export` wrote.
    host: Address to listen at.
    port: int; 0 takes any that is free.
    name: Name of the model, in `/v1/models/<name>:predict`.
    max_sessions: int, sessions at once.
    idle_seconds: Seconds after which an unused session is forgotten.
    max_bytes: int, size of a request's body.

  Returns:
    The server, with `run()`, `close()` and `effective_port`.

  Raises:
    ValueError: If the path is no export or a number out of its range.
    OSError: If the port cannot be had.
  """
  port = checks.integer('--port', port, 0, 65535)
  max_sessions = checks.integer('--max_sessions', max_sessions)
  idle_seconds = checks.positive('--idle_seconds', idle_seconds)
  max_bytes = checks.integer('--max_bytes', max_bytes)
  policy = loaded.SavedPolicy(path)
  _warm_up(policy)
  app = application.Application(
      policy, name=name, max_sessions=max_sessions, idle_seconds=idle_seconds,
      max_bytes=max_bytes,
  )
  return waitress.create_server(
      app, host=host, port=port, threads=_THREADS, ident=None,
      max_request_body_size=max_bytes, connection_limit=8 * _THREADS,
  )


def _warm_up(policy):
  """The first call takes long; no client should wait for it."""
  inputs = {
      name: np.zeros([1, *spec['shape']], spec['dtype'])
      for name, spec in policy.inputs.items()
  }
  for _ in range(2):
    policy.step(inputs)
  # What is there now stays: else the many small lists of each request make the
  # collector look through all of TensorFlow, which takes ten times the parsing.
  gc.collect()
  gc.freeze()
