"""Seconds, bytes and limits of the machine, for what `bin/bench` measures."""

import datetime
import pathlib
import platform
import re
import time

import numpy as np
import protocol
import tensorflow as tf

from dreamerv2_tfa import devices

_MATRICES = (2048, 4096)  # sides of the products that stand for the peak
_MATRICES_OF_A_GPU = (4096, 8192)
_LINE = 20  # products that a GPU is given at once
_COPY = 2**28  # bytes of the copy that stands for the memory's


def seconds(function):
  """Seconds of a call that returns only when its work is done."""
  begun = time.perf_counter()
  function()
  return time.perf_counter() - begun


def spread(samples):
  """Median and quartiles of some seconds: dict of floats."""
  low, middle, high = np.percentile(samples, [25, 50, 75])
  return {'median': float(middle), 'quartiles': [float(low), float(high)],
          'count': len(samples)}


def peak_rss_mb():
  """The most memory that this process has had, in 10**6 bytes: a float."""
  return protocol.peak_rss_mb()


def peak_gpu_mb():
  """The most memory of the first GPU, in 10**6 bytes: dict; empty without."""
  if not devices.has_gpu():
    return {}
  used = tf.config.experimental.get_memory_info('GPU:0')
  return {'peak_gpu_mb': used['peak'] / 1e6}


class MatrixPeak:
  """Measures the speed of large matrix products, in the compute dtype.

  The machine may be busy, so `sample` is called between the measurements that
  it is the limit of. On a GPU many products wait in line, for one that is
  waited for by itself takes as long to start as to run.
  """

  def __init__(self):
    gpu = devices.has_gpu()
    self._line = _LINE if gpu else 1
    sides = _MATRICES_OF_A_GPU if gpu else _MATRICES
    self._products = {side: _product(side) for side in sides}
    self._samples = {side: [] for side in sides}

  def sample(self):
    """Measures once more."""
    for side, product in self._products.items():
      def line(product=product):
        *_, last = [product() for _ in range(self._line)]
        return float(last)

      taken = seconds(line) / self._line
      self._samples[side].append(2 * side**3 / taken / 1e9)

  @property
  def gflops(self):
    """The better size's median so far, 10**9 operations a second."""
    return float(max(map(np.median, self._samples.values())))


def _product(side):
  """A function that multiplies two matrices, once it has been traced."""
  dtype = tf.keras.mixed_precision.global_policy().compute_dtype
  matrix = tf.cast(tf.random.normal([side, side]), dtype)
  # One number comes back, so that a GPU is waited for too.
  product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
  product()
  return product


def copy_bytes_per_second():
  """Bytes that the memory copies in a second, each counted once: a float."""
  source = np.ones(_COPY, np.uint8)
  target = np.empty_like(source)
  copy = lambda: np.copyto(target, source)
  copy()
  return _COPY / float(np.median([seconds(copy) for _ in range(5)]))


def machine():
  """What the figures belong to: dict of strings."""
  gpus = tf.config.list_physical_devices('GPU')
  details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
  return {
      'date': datetime.date.today().isoformat(),
      'device': ', '.join(d.get('device_name', 'GPU') for d in details)
                or f'CPU, {_processor()}',
      **({'driver': _driver()} if gpus else {}),
      'tensorflow': tf.__version__,
      'python': platform.python_version(),
  }


def _driver():
  """Version of NVIDIA's driver, as the kernel has it."""
  path = pathlib.Path('/proc/driver/nvidia/version')
  text = path.read_text(encoding='utf-8') if path.exists() else ''
  match = re.search(r'Module.*?\s(\d+\.[\d.]+)', text)
  return match[1] if match else 'unknown'


def _processor():
  """Its name and the widest vectors that it has."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as file:
      lines = dict(line.split(':', 1) for line in file if ':' in line)
  except OSError:
    return platform.processor()
  known = {key.strip(): value.strip() for key, value in lines.items()}
  flags = known.get('flags', '').split()
  widest = next((name for name in ('avx512_bf16', 'avx512f', 'avx2')
                 if name in flags), 'no AVX')
  return f'{known.get("model name", "unknown")} ({widest})'
