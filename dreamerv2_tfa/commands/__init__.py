"""What `bin/` runs: flags, gin, one call.

Importing it comes before the libraries, which say too much: TensorFlow's own
log and Gym's notice, which TF-Agents sets off, are silenced here. They also take
seconds to import, in which Ctrl-C is pressed as well.
"""

import os
import sys
import warnings


def _show(kind, error, trace):
  """Ctrl-C as one line, whenever it is pressed; other errors as Python does."""
  if issubclass(kind, KeyboardInterrupt):
    print(str(error) or 'Stopped.', file=sys.stderr)
  else:
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _show

# isort: split
from absl import logging
from gym_notices import notices

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
logging.set_verbosity(logging.ERROR)  # --verbosity=0 shows the rest
notices.notices.clear()
warnings.filterwarnings('ignore', module='tensorflow')
