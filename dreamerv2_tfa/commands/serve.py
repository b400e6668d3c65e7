"""`bin/serve`: answers over HTTP with the actions of an exported policy."""

import ipaddress
import pathlib
import signal
import sys

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

configuration.define('policy', 'trust')
_HOST = flags.DEFINE_string(
    'host', '127.0.0.1', 'Address; 0.0.0.0 is open to the network.'
)
_PORT = configuration.number('port', 8501, 'Port; 0: any that is free.')
_NAME = flags.DEFINE_string('name', 'policy', 'Name of the model.')
_MAX_SESSIONS = configuration.number(
    'max_sessions', 1000, 'Sessions at once.')
_IDLE_SECONDS = flags.DEFINE_float(
    'idle_seconds', 600.0, 'After which an unused session is forgotten.'
)
_MAX_BYTES = configuration.number(
    'max_bytes', 2**24, "Bytes of a request's body at most.")
_MAX_CONNECTIONS = configuration.number(
    'max_connections', None, 'Connections at once; at the limit the one that '
    'is idle the longest is closed. Without it: 1000, or as many as the system '
    'allows.'
)
_ALLOWED_HOST = flags.DEFINE_multi_string(
    'allowed_host', [], 'Name that clients call this server by, such as '
    'robot.example.org; repeatable. --host, localhost and addresses are '
    'allowed without it.'
)
_TOKEN = flags.DEFINE_string(
    'token', None, 'Text that clients must send as Authorization: Bearer '
    'TEXT. Other users of this machine see it in the list of processes; '
    '--token_file hides it.'
)
_TOKEN_FILE = flags.DEFINE_string(
    'token_file', None, 'File that holds the token and nothing else.'
)
PAGE = help_lib.Page(
    'serve', 'Answers over HTTP with the actions of an exported policy, until '
    'Ctrl-C.', '--policy=DIR [--flag=VALUE ...]',
    {
        'What to serve': ['policy=DIR', 'name=NAME', 'trust=SHA256'],
        'Where': ['host=ADDRESS', 'port=PORT'],
        'Who may ask': [
            'token_file=FILE', 'token=TEXT', 'allowed_host=NAME'],
        'Limits': ['max_sessions=N', 'idle_seconds=SECONDS', 'max_bytes=N',
                   'max_connections=N'],
        'Look, do not serve': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('--policy=exported', 'At http://127.0.0.1:8501, this machine alone.'),
        ('--policy=exported --host=0.0.0.0 --port=80 --token_file=token',
         'Open to those in the network who have the token.'),
        ('--policy=exported --max_sessions=8 --idle_seconds=60',
         'Eight sessions at most, each forgotten after a minute.'),
    ],
)


def run(unused_argv: list[str]) -> None:
  """Loads the policy and serves until it is told to end."""
  policy, trust = map(configuration.value, ('policy', 'trust'))
  if not policy:
    raise checks.UserError(
        f'Which policy? {help_lib.program(PAGE.name)} --policy=DIR, a folder '
        f'that {help_lib.program("export")} wrote.'
    )
  from dreamerv2_tfa.deployment import server  # slow to import

  token = _token()
  made = server.make(
      policy, host=_HOST.value, port=_PORT.value, name=_NAME.value,
      allowed_hosts=_ALLOWED_HOST.value, token=token,
      max_sessions=_MAX_SESSIONS.value, idle_seconds=_IDLE_SECONDS.value,
      max_bytes=_MAX_BYTES.value, max_connections=_MAX_CONNECTIONS.value,
      trust=trust,
  )
  if token is None and not _is_loopback(made.effective_host):
    print(
        f'Warning: without --token_file, whoever reaches {_HOST.value} can '
        'act.', file=sys.stderr,
    )
  received = []

  def stop(number, unused_frame):
    if received:
      sys.exit(128 + number)
    received.append(number)
    made.stop()

  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stop)
  print(
      f'Serving {policy} at http://{_HOST.value}:{made.effective_port}'
      f'/v1/models/{_NAME.value}:predict and /v1/sessions; Ctrl-C ends it.',
      flush=True,
  )
  made.run()
  sys.exit(128 + received[0])


def _token():
  """The token of the command line or of its file; None where there is none."""
  if _TOKEN_FILE.value is None:
    return _TOKEN.value
  if _TOKEN.value is not None:
    raise checks.UserError(
        'Got --token and --token_file. Give one of them: the file, so that the '
        'token is not in the list of processes.'
    )
  return pathlib.Path(_TOKEN_FILE.value).read_text().strip()


def _is_loopback(address):
  return ipaddress.ip_address(address.partition('%')[0]).is_loopback


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE)


if __name__ == '__main__':
  main()
