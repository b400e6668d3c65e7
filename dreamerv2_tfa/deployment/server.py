"""The server: an application, a port, and threads that wait in it."""

import contextlib
import gc
import os
import socket
from typing import Any

import numpy as np
import waitress

from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import application
from dreamerv2_tfa.deployment import batching
from dreamerv2_tfa.deployment import loaded

_THREADS = 2 * batching.MOST  # so that a whole call can wait behind another


def make(
    path: str | os.PathLike, *, host: str = '127.0.0.1', port: int = 8501,
    name: str = 'policy', max_sessions: int = 1000, idle_seconds: float = 600.0,
    max_bytes: int = 16 * 2**20,
) -> Any:
  """Loads a policy and listens.

  Args:
    path: A folder that `bin/export` wrote.
    host: Address to listen at.
    port: 0 takes any that is free.
    name: Name of the model, in `/v1/models/<name>:predict`.
    max_sessions: Sessions at once.
    idle_seconds: Seconds after which an unused session is forgotten.
    max_bytes: Size of a request's body.

  Returns:
    The server, with `run()`, `close()` and `effective_port`.

  Raises:
    ValueError: If the path is no export, a number out of its range, or the
      address is in use or none of this machine.
  """
  port = checks.integer('--port', port, 0, 65535)
  max_sessions = checks.integer('--max_sessions', max_sessions)
  idle_seconds = checks.positive('--idle_seconds', idle_seconds)
  max_bytes = checks.integer('--max_bytes', max_bytes)
  with contextlib.ExitStack() as stack:  # where something raises
    bound = stack.enter_context(_bound(host, port))
    policy = loaded.SavedPolicy(path)
    _warm_up(policy)
    app = application.Application(
        policy, name=name, max_sessions=max_sessions,
        idle_seconds=idle_seconds, max_bytes=max_bytes,
    )
    made = waitress.create_server(  # pyright: ignore[reportAttributeAccessIssue]
        app, sockets=[bound], threads=_THREADS, ident=None,
        max_request_body_size=max_bytes, connection_limit=8 * _THREADS,
    )
    stack.pop_all()
  return made


def _bound(host, port):
  """A socket at an address: had before the policy is loaded, or refused."""
  try:
    family, *_, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    # TCP sockets that are closing do not hold a port.
    return socket.create_server(address[:2], family=family)
  except OSError as error:
    raise ValueError(
        f'Cannot listen at --host={host} --port={port}: '
        f'{error.strerror or error}. Take another port, such as '
        '--port=0 for any that is free, or stop what listens there.'
    ) from error


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
