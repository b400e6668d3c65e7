"""`bin/serve`: answers over HTTP with the actions of an exported policy."""

import signal
import sys

from absl import app
from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import configuration

_POLICY = flags.DEFINE_string('policy', None, 'Folder that bin/export wrote.')
_HOST = flags.DEFINE_string(
    'host', '127.0.0.1', 'Address; 0.0.0.0 is open to the network.'
)
_PORT = flags.DEFINE_integer('port', 8501, 'Port; 0: any that is free.')
_NAME = flags.DEFINE_string('name', 'policy', 'Name of the model.')
_MAX_SESSIONS = flags.DEFINE_integer('max_sessions', 1000, 'At once.')
_IDLE_SECONDS = flags.DEFINE_float(
    'idle_seconds', 600.0, 'After which an unused session is forgotten.'
)
_MAX_BYTES = flags.DEFINE_integer('max_bytes', 2**24, "Of a request's body.")


def run(unused_argv):
  """Loads the policy and serves until it is told to end."""
  from dreamerv2_tfa.serving import server  # after the flags: slow to import

  if not _POLICY.value:
    raise checks.UserError(
        'Which policy? bin/serve --policy=DIR, of bin/export.'
    )
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


def main():
  """Entry point of the console script."""
  app.run(configuration.guarded(run))


if __name__ == '__main__':
  main()
