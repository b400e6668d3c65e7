"""Silences what the libraries print, and nothing else.

TensorFlow, TF-Agents and their kin log and warn of what only their authors can
change, some thirty lines in a short run, and Gym prints a notice when TF-Agents
imports it. Hidden is what is said by a module of theirs below the level of an
error. Everything else is shown: errors, this package's notes, and what an
environment's own code says, through the same logs too.
"""

import contextlib
import logging
import re
import warnings

from absl import logging as absl_logging
from gym_notices import notices

_NAMES = (
    'tensorflow', 'tensorflow_probability', 'tf_agents', 'keras', 'tf_keras',
)
_FILES = re.compile(rf'[/\\]\w+-packages[/\\]({"|".join(_NAMES)})[/\\]')
_MODULES = rf'({"|".join(_NAMES)})(\.|$)'  # for `warnings`, which matches it
_LOGS = (None, 'absl', 'tensorflow')  # None: the root, for its own lines


@contextlib.contextmanager
def libraries():
  """Silences the libraries inside of a `with`, or of a decorated function.

  Filters are put back as they were. TensorFlow's C++ log is another matter: its
  level is read once, from TF_CPP_MIN_LOG_LEVEL, see `dreamerv2_tfa/__init__`.
  """
  hides = logging.Filter()
  hides.filter = _is_shown
  logs = [logging.getLogger(name) for name in _LOGS]
  noticed = dict(notices.notices)
  with warnings.catch_warnings():
    warnings.filterwarnings('ignore', module=_MODULES)
    for log in logs:
      log.addFilter(hides)
    notices.notices.clear()
    try:
      yield
    finally:
      notices.notices.update(noticed)
      for log in logs:
        log.removeFilter(hides)


def process():
  """Silences the libraries for good: for a program, whose process is its own.

  `--verbosity=0` shows what they log.
  """
  absl_logging.set_verbosity(absl_logging.ERROR)
  notices.notices.clear()
  warnings.filterwarnings('ignore', module=_MODULES)


def _is_shown(record):
  return record.levelno >= logging.ERROR or not _FILES.search(record.pathname)
