"""Seconds, bytes and limits of the machine, for all that `bin/bench` measures."""

import datetime
import platform
import time

import numpy as np
import protocol
import tensorflow as tf

_MATRIX = 4096  # side of the product that stands for the peak
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


class MatrixPeak:
  """Measures the speed of a large matrix product, in the compute dtype.

  The machine may be busy, so `sample` is called between the measurements that
  it is the limit of.
  """

  def __init__(self):
    dtype = tf.keras.mixed_precision.global_policy().compute_dtype
    matrix = tf.cast(tf.random.normal([_MATRIX, _MATRIX]), dtype)
    # One number comes back, so that a GPU is waited for too.
    self._product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
    self._product()
    self._samples = []

  def sample(self):
    """Measures once more."""
    taken = seconds(lambda: float(self._product()))
    self._samples.append(2 * _MATRIX**3 / taken / 1e9)

  @property
  def gflops(self):
    """The median so far, 10**9 operations a second."""
    return float(np.median(self._samples))


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
      'tensorflow': tf.__version__,
      'python': platform.python_version(),
  }


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
