"""The server: an application, a port, and threads that wait in it."""

from collections.abc import Iterable
import contextlib
import gc
import logging
import os
import socket

import numpy as np

from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import access
from dreamerv2_tfa.deployment import application
from dreamerv2_tfa.deployment import batching
from dreamerv2_tfa.deployment import connections
from dreamerv2_tfa.deployment import loaded

_THREADS = 2 * batching.MOST  # so that a whole call can wait behind another


def make(
    path: str | os.PathLike, *, host: str = '127.0.0.1', port: int = 8501,
    name: str = 'policy', allowed_hosts: Iterable[str] = (),
    token: str | None = None, max_sessions: int = 1000,
    idle_seconds: float = 600.0, max_bytes: int = 16 * 2**20,
    max_connections: int | None = None, trust: str | None = None,
) -> connections.Server:
  """Loads a policy and listens.

  Args:
    path: A folder that `bin/export` wrote.
    host: Address to listen at.
    port: 0 takes any that is free.
    name: Name of the model, in `/v1/models/<name>:predict`.
    allowed_hosts: Names that a request's Host may be, beside `host`, localhost
      and any address.
    token: That requests must carry; None: none.
    max_sessions: Sessions at once.
    idle_seconds: Seconds after which an unused session is forgotten.
    max_bytes: Size of a request's body.
    max_connections: Connections at once; None: 1000, or as many as the system
      allows.
    trust: See `trust.check`.

  Returns:
    The server, with `run()`, `stop()`, `close()` and `effective_port`.

  Raises:
    ValueError: If the path is no export, a number out of its range, or the
      address is in use or none of this machine.
  """
  port = checks.integer('--port', port, 0, 65535)
  max_sessions = checks.integer('--max_sessions', max_sessions)
  idle_seconds = checks.positive('--idle_seconds', idle_seconds)
  max_bytes = checks.integer('--max_bytes', max_bytes)
  if max_connections is not None:
    max_connections = checks.integer('--max_connections', max_connections)
  max_connections = connections.limit(max_connections)
  with contextlib.ExitStack() as stack:  # where something raises
    bound = stack.enter_context(_bound(host, port))
    gate = access.Access((host, *allowed_hosts), token)
    policy = loaded.SavedPolicy(path, trust)
    _warm_up(policy)
    app = application.Application(
        policy, name=name, access=gate, max_sessions=max_sessions,
        idle_seconds=idle_seconds, max_bytes=max_bytes,
    )
    # It has a line for each client that leaves early.
    logging.getLogger('waitress').setLevel(logging.ERROR)
    made = connections.Server(
        app, bound, threads=_THREADS, max_bytes=max_bytes,
        max_connections=max_connections, count=app.count,
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
