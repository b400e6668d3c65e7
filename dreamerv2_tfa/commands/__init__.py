"""What `bin/` runs: flags, gin, one call.

Importing it comes before the libraries, which say too much, and which take
seconds to import, in which Ctrl-C is pressed as well.
"""

import sys


def _show(kind, error, trace):
  """Ctrl-C as one line, whenever it is pressed; other errors as Python does."""
  if issubclass(kind, KeyboardInterrupt):
    print(str(error) or 'Stopped.', file=sys.stderr)
  else:
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _show

# isort: split
from dreamerv2_tfa import quiet  # noqa: E402 - Ctrl-C is caught by now

quiet.process()
