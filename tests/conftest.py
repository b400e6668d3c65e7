"""What all tests share.

It makes `small` importable: pytest's importlib mode leaves the path alone.
"""

import gc
import os
import pathlib
import signal
import sys

import dreamerv2_tfa  # noqa: F401 - before TensorFlow, as `rendering` wants

# isort: split
from absl import logging
import gin
import hypothesis
import pytest
import tensorflow as tf

# The same examples each time; a slow machine is no fault.
hypothesis.settings.register_profile(
    'tests', derandomize=True, database=None, deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck))
hypothesis.settings.load_profile('tests')
sys.path.insert(0, str(pathlib.Path(__file__).parent))
os.environ.pop('PYTHONUNBUFFERED', None)  # it hides lines that come too late
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  # A shell's `&` makes its program deaf to Ctrl-C, and all that this starts.
  signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
  """Files with slow tests come first: no worker ends alone with one of them."""
  slow = {item.path for item in items if item.get_closest_marker('slow')}
  items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope='module')
def _garbage_of_this_module_alone():
  """What earlier modules left is not looked through again: a sixth of a run."""
  yield
  gc.collect()
  gc.freeze()


@pytest.fixture(autouse=True)
def _no_module_of_another_test(tmp_path_factory):
  """Takes back what a test adds to the path, and its own modules.

  Programs add the working directory: a later test would import its `own`.
  """
  path, known = [*sys.path], {*sys.modules}
  yield
  sys.path[:] = path
  written = str(tmp_path_factory.getbasetemp())
  for name in {*sys.modules} - known:
    if (getattr(sys.modules[name], '__file__', None) or '').startswith(written):
      del sys.modules[name]


@pytest.fixture
def clean():
  """Leaves gin, eager execution and Keras' precision as they were."""
  gin.clear_config()
  yield
  gin.clear_config()
  tf.config.run_functions_eagerly(False)
  tf.keras.mixed_precision.set_global_policy('float32')


@pytest.fixture
def errors(monkeypatch):
  """What is reported to the log, instead of there."""
  lines = []
  monkeypatch.setattr(
      logging, 'error', lambda text, *values: lines.append(text % values))
  return lines
