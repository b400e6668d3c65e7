"""Seals data for this user: a run's folder cannot bring foreign data in.

A state goes back into the environment's own code. An emulator reads it in
native code without checks (ale-py's `M6532::load` writes as many bytes as the
state says), and a user's `set_state` may do anything with it. So a state from
somebody else's folder could run code. Each state carries an HMAC under a key
that never leaves the user's own folder, and no other one is restored.
"""

import contextlib
import hashlib
import hmac
import os
import pathlib
import secrets

_SIZE = 32  # bytes, of the key and of the seal


def seal(data: bytes) -> bytes:
  """Puts the seal of this user before the data.

  Raises:
    OSError: If there is no key and none can be written.
  """
  return _seal_of(data, _key(make=True)) + data


def opened(sealed: bytes) -> bytes:
  """The data that `seal` has sealed.

  Raises:
    ValueError: If this user has not sealed it on this machine, or it was
      changed since.
  """
  data = sealed[_SIZE:]
  try:
    key = _key(make=False)
  except OSError as error:
    raise ValueError(f'it cannot be checked: {error}') from error
  if not hmac.compare_digest(sealed[:_SIZE], _seal_of(data, key)):
    raise ValueError(
        'it is damaged, or was saved by another user or on another machine '
        f'(its seal is not of the key {path()})')
  return data


def path() -> pathlib.Path:
  """The file of the key, in the user's folder of program states."""
  state = os.environ.get('XDG_STATE_HOME') or '~/.local/state'
  return pathlib.Path(state).expanduser() / 'dreamerv2_tfa' / 'key'


def _seal_of(data, key):
  return hmac.new(key, data, hashlib.sha256).digest()


def _key(make):
  """Reads the key; a new one is made where there is none."""
  file = path()
  if make and not file.exists():
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f'key.{secrets.token_hex(8)}')
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, 'wb') as stream:
      stream.write(secrets.token_bytes(_SIZE))
      stream.flush()
      os.fsync(stream.fileno())
    with contextlib.suppress(FileExistsError):  # another process was first
      os.link(new, file)
    new.unlink()
  key = file.read_bytes()
  if len(key) != _SIZE:
    raise OSError(
        f'{file} has {len(key)} bytes, wanted {_SIZE}; delete it for a new one')
  return key
