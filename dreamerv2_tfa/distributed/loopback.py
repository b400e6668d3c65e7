"""Keeps a port of this process to its own machine."""

from collections.abc import Iterator
import contextlib
import os
import re
import socket

from dreamerv2_tfa import checks

_LISTENS = '0A'  # of /proc/net/tcp
_TABLES = ('/proc/net/tcp', '/proc/net/tcp6')
_SOCKET = re.compile(r'socket:\[(\d+)\]')


def restrict(port: int) -> None:
  """Lets connections to a listening port come from this machine alone.

  Reverb always listens on all interfaces. So its socket is bound to the
  loopback device, which Linux lets any user do, after it has begun to listen:
  what comes by another device is then refused.

  Args:
    port: That this process listens to.

  Raises:
    UserError: If that is not possible.
  """
  restricted = 0
  try:
    for listening in sockets(port):
      listening.setsockopt(
          socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'lo\0')
      restricted += 1
  except OSError as error:
    raise _refusal(port, error.strerror) from error
  if not restricted:
    raise _refusal(port, 'its socket was not found')


def sockets(port: int) -> Iterator[socket.socket]:
  """The sockets with which this process listens to a port."""
  wanted = set()
  for path in filter(os.path.exists, _TABLES):
    with open(path, encoding='ascii') as lines:
      next(lines)  # the heading
      for fields in map(str.split, lines):
        local, state, inode = fields[1], fields[3], fields[9]
        if state == _LISTENS and int(local.rpartition(':')[2], 16) == port:
          wanted.add(inode)
  for name in os.listdir('/proc/self/fd'):
    with contextlib.suppress(OSError):
      target = _SOCKET.fullmatch(os.readlink(f'/proc/self/fd/{name}'))
      if target and target[1] in wanted:
        with socket.socket(fileno=os.dup(int(name))) as found:
          yield found


def _refusal(port, reason):
  return checks.UserError(
      f'Port {port} of the replay server cannot be kept to this machine '
      f'({reason}), and it has no authentication. Give a host other than '
      'loopback with --replay_address if a firewall keeps others away.')
