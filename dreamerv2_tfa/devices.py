"""What is there to compute on, and the switches that depend on it."""

from importlib import metadata
import os
import pathlib
import re

import psutil
import tensorflow as tf

from dreamerv2_tfa import checks

_SWITCH = ('auto', 'on', 'off')
_DRIVER = pathlib.Path('/proc/driver/nvidia/version')
_OLDEST = 525  # NVIDIA's first driver for CUDA 12


def has_gpu() -> bool:
  """Whether there is a GPU that updates run on."""
  return bool(tf.config.list_physical_devices('GPU'))


def resolve(name: str, switch: str) -> bool:
  """Whether a switch is on: 'auto' is where there is a GPU.

  Args:
    name: Of the setting.
    switch: 'auto', 'on' or 'off'.

  Raises:
    ValueError: If it is none of these.
  """
  checks.choice(name, switch, _SWITCH)
  return has_gpu() if switch == 'auto' else switch == 'on'


def memory() -> dict[str, float]:
  """Memory in GB (1e9 bytes).

  Returns:
    `memory/process`: resident memory of this process, without those of its
    environments. `memory/gpu`: the most that the first GPU has held so far,
    where there is one.
  """
  found = {'memory/process': psutil.Process().memory_info().rss / 1e9}
  if has_gpu():
    peak = tf.config.experimental.get_memory_info('GPU:0')['peak']
    found['memory/gpu'] = peak / 1e9
  return found


def unused_gpu() -> str | None:
  """Why TensorFlow does not use the NVIDIA GPU of this machine.

  Such a run is many times slower, and without a word of it nobody knows why.

  Returns:
    A sentence with the way out; None where a GPU is used, none is there, or it
    was hidden by CUDA_VISIBLE_DEVICES.
  """
  hidden = os.environ.get('CUDA_VISIBLE_DEVICES') in ('', '-1')
  if has_gpu() or hidden or not _DRIVER.exists():
    return None
  driver = _DRIVER.read_text(encoding='utf-8')
  found = re.search(r'NVRM.*\s(\d{3,})\.\d', driver)
  cuda = tf.sysconfig.get_build_info().get('cuda_version')
  return (f'There is an NVIDIA GPU, and TensorFlow {tf.__version__} does not '
          f'use it: {_reason(cuda, int(found.group(1)) if found else None)}')


def _reason(cuda, driver):
  """What is missing between TensorFlow and a GPU, by what is known of both."""
  if not cuda:
    return 'it was built without CUDA. Install the package tensorflow.'
  if driver is not None and driver < _OLDEST:
    return (f'its driver is {driver}, and CUDA {cuda} needs {_OLDEST} or '
            f'newer. Install a newer driver.')
  try:
    metadata.version('nvidia-cudnn-cu12')
  except metadata.PackageNotFoundError:
    return (f'the libraries of CUDA {cuda} are not installed. Install them: '
            f"pip install 'dreamerv2_tfa[gpu]' (bin/python does so where it "
            f'finds a driver).')
  return ('it could not be opened. TF_CPP_MIN_LOG_LEVEL=0 in the environment '
          'shows what TensorFlow says of it.')
