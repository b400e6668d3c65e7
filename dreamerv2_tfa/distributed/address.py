"""Where the replay server is."""

import socket

from dreamerv2_tfa import checks

LOOPBACK = ('localhost', '127.0.0.1', '::1')


def parse(address: str | None) -> tuple[str, int]:
  """Host and port of `--replay_address`.

  Raises:
    UserError: If it is something else.
  """
  host, _, port = (address or '').rpartition(':')
  if not host or not port.isdigit() or not 0 < int(port) < 2**16:
    raise checks.UserError(
        f'Got --replay_address={address}; wanted HOST:PORT of the replay '
        'server, such as --replay_address=127.0.0.1:8008. A host other than '
        'loopback lets other machines reach it: read SECURITY.md first.'
    )
  return host.strip('[]'), int(port)


def text(host: str, port: int) -> str:
  """An address as gRPC reads it, with brackets around an IPv6 host."""
  return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def free_port() -> int:
  """A port of loopback that nothing listens to."""
  with socket.socket() as found:
    found.bind((LOOPBACK[1], 0))
    return found.getsockname()[1]
