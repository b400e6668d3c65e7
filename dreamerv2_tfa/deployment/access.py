"""Who may ask: the Host that a request names, its token, its content type.

A web page in a browser on a machine that reaches the server may send requests
to it. Two things keep it from acting:

  DNS rebinding: the page's own name resolves to the server's address. Its
  requests then carry that name as their Host. Only names that the server was
  told, localhost, and addresses are answered; no page can rebind an address.

  Simple requests: what an HTML form can send, a page can send to any server
  without asking that server first. A form cannot send JSON or DELETE. So every
  POST must say that it is JSON, also one without a body.
"""

from collections.abc import Iterable
import hmac
import ipaddress
import re

import werkzeug
from werkzeug import datastructures
from werkzeug import exceptions

from dreamerv2_tfa import checks

_HOST = re.compile(r'(?:\[([0-9A-Fa-f:.]+)\]|([^\s/\\?#@:,\[\]]+))(?::\d*)?')
_SHORTEST = 16  # characters of a token; a shorter one can be guessed
_OPEN = '/healthz'  # needs no token


class Access:
  """Decides whether a request may be answered."""

  def __init__(self, hosts: Iterable[str] = (), token: str | None = None):
    """Checks names and token.

    Args:
      hosts: Names that a request's Host may be, beside localhost and any
        address.
      token: That requests must carry, or None where none is needed.

    Raises:
      UserError: If a name is none, or the token is too short to be safe or
        cannot stand in a header.
    """
    self._hosts = {'localhost', *map(_checked, hosts)}
    self._token = token
    if token is not None and not re.fullmatch(
        rf'[!-~]{{{_SHORTEST},}}', token):
      raise checks.UserError(
          f'--token must have {_SHORTEST} ASCII characters or more and no '
          f'space; got {len(token)} characters. Make one with: openssl rand '
          '-hex 16'
      )

  def check(self, request: werkzeug.Request) -> None:
    """Refuses a request that may not be answered.

    Args:
      request: Of which the headers alone are read.

    Raises:
      HTTPException: 421 for another Host, 401 for a wrong token, 415 for a
        POST that does not say that it is JSON, or that is encoded.
    """
    self._check_host(request.headers.get('Host'))
    if self._token is not None and request.path != _OPEN:
      self._check_token(
          self._token, request.headers.get('Authorization', ''))
    if request.method == 'POST' and request.mimetype != 'application/json':
      raise exceptions.UnsupportedMediaType(
          f'A POST must have Content-Type: application/json; got '
          f'{request.mimetype[:80]!r}. With curl: -H "Content-Type: '
          'application/json".'
      )
    encoding = request.headers.get('Content-Encoding', 'identity')
    if encoding.lower() != 'identity':
      raise exceptions.UnsupportedMediaType(
          f'Got Content-Encoding: {encoding[:80]!r}; wanted none. Send the '
          'body uncompressed.'
      )

  def _check_host(self, host):
    if host is None:  # HTTP/1.0; browsers send one
      return
    name = _name(host)
    if name is None:
      raise exceptions.BadRequest(f'The Host {host[:80]!r} is no host.')
    if name not in self._hosts and not _is_address(name):
      raise exceptions.MisdirectedRequest(
          f'This server does not answer to the Host {name[:80]!r}, only to '
          f'addresses and {sorted(self._hosts)}. If that name is yours, start '
          f'the server with --allowed_host={name[:80]}.'
      )

  def _check_token(self, token, authorization):
    scheme, _, given = authorization.partition(' ')
    right = hmac.compare_digest(
        given.strip().encode('utf-8', 'replace'), token.encode())
    if scheme.lower() != 'bearer' or not right:
      raise exceptions.Unauthorized(
          'The server wants its --token, in the header Authorization: Bearer '
          'TOKEN.', www_authenticate=datastructures.WWWAuthenticate(
              'bearer', {'realm': 'dreamerv2_tfa'})
      )


def _name(host):
  """The name or address of a Host header without its port; None: malformed."""
  found = _HOST.fullmatch(host)
  return found and (found[1] or found[2]).lower().rstrip('.')


def _is_address(name):
  try:
    ipaddress.ip_address(name)
  except ValueError:
    return False
  return True


def _checked(name):
  """A name of --allowed_host as a Host header has it."""
  if _is_address(name):
    return name.lower()
  if _name(name) != name.lower().rstrip('.'):
    raise checks.UserError(
        f'--allowed_host must be a name without scheme and port, such as '
        f'robot.example.org; got {name!r}. Give that.'
    )
  return name.lower().rstrip('.')
