"""`bin/serve`: answers over HTTP with the actions of an exported policy."""

import signal
import sys

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

_POLICY = flags.DEFINE_string('policy', None, 'Folder that bin/export wrote.')
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
PAGE = help_lib.Page(
    'serve', 'Answers over HTTP with the actions of an exported policy, until '
    'Ctrl-C.', '--policy=DIR [--flag=VALUE ...]',
    {
        'What to serve': ['policy=DIR', 'name=NAME'],
        'Where': ['host=ADDRESS', 'port=PORT'],
        'Limits': ['max_sessions=N', 'idle_seconds=SECONDS', 'max_bytes=N'],
        'Look, do not serve': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('--policy=exported', 'At http://127.0.0.1:8501, this machine alone.'),
        ('--policy=exported --host=0.0.0.0 --port=80',
         'Open to the network.'),
        ('--policy=exported --max_sessions=8 --idle_seconds=60',
         'Eight sessions at most, each forgotten after a minute.'),
    ],
)


def run(unused_argv: list[str]) -> None:
  """Loads the policy and serves until it is told to end."""
  if not _POLICY.value:
    raise checks.UserError(
        f'Which policy? {help_lib.program(PAGE.name)} --policy=DIR, a folder '
        f'that {help_lib.program("export")} wrote.'
    )
  from dreamerv2_tfa.deployment import server  # slow to import

  made = server.make(
      _POLICY.value, host=_HOST.value, port=_PORT.value, name=_NAME.value,
      max_sessions=_MAX_SESSIONS.value, idle_seconds=_IDLE_SECONDS.value,
      max_bytes=_MAX_BYTES.value,
  )
  signal.signal(signal.SIGTERM, lambda *unused: sys.exit(0))
  print(
      f'Serving {_POLICY.value} at http://{_HOST.value}:{made.effective_port}'
      f'/v1/models/{_NAME.value}:predict and /v1/sessions; Ctrl-C ends it.',
      flush=True,
  )
  made.run()


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE)


if __name__ == '__main__':
  main()
