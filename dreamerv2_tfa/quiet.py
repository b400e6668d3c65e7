"""Silences the libraries' logs and warnings, and nothing else.

TensorFlow, TF-Agents and Keras log and warn of things that only their authors
can change, some thirty lines in a short run. Gym prints a notice when TF-Agents
imports it. What a module of these libraries logs below the level of an error is
hidden. Everything else is shown: errors, this package's notes, and what an
environment's code logs, even through the same loggers.
"""

from collections.abc import Iterator
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
_MODULES = rf'({"|".join(_NAMES)})(\.|$)'  # of a module's name
_LOGS = (None, 'absl', 'tensorflow')  # None: the root logger


@contextlib.contextmanager
def libraries() -> Iterator[None]:
  """Silences the libraries inside of a `with`, or of a decorated function.

  Filters are restored afterwards. TensorFlow's C++ log is not concerned: its
  level is read once from TF_CPP_MIN_LOG_LEVEL, which `dreamerv2_tfa` sets.
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


def process() -> None:
  """Silences the libraries for the rest of the process: for programs.

  `--verbosity=0` shows what they log.
  """
  absl_logging.set_verbosity(absl_logging.ERROR)
  notices.notices.clear()
  warnings.filterwarnings('ignore', module=_MODULES)


def _is_shown(record: logging.LogRecord) -> bool:
  return record.levelno >= logging.ERROR or not _FILES.search(record.pathname)
