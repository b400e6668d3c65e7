"""How many kernels a GPU runs for a call, by TensorFlow's own profiler."""

import pathlib
import tempfile

import tensorflow as tf

from dreamerv2_tfa import devices

_CALLS = 5


def counted(function):
  """Kernels and seconds on the device, a call.

  Args:
    function: Called without arguments; it waits for the device.

  Returns:
    Dict of `kernels_per_update` and `device_seconds_per_update`; empty where no
    GPU is.
  """
  if not devices.has_gpu():
    return {}
  with tempfile.TemporaryDirectory() as folder:
    tf.profiler.experimental.start(folder)
    for _ in range(_CALLS):
      function()
    tf.profiler.experimental.stop()
    path, = pathlib.Path(folder).rglob('*.xplane.pb')
    return totals(path.read_bytes(), _CALLS)


def totals(data, calls):
  """Of a profile: dict, as `counted` returns it.

  Args:
    data: A serialised `XSpace`.
    calls: How many it holds.
  """
  from tensorflow.tsl.profiler.protobuf import xplane_pb2

  events = [
      event for plane in xplane_pb2.XSpace.FromString(data).planes
      if plane.name.startswith('/device:GPU')
      for line in plane.lines if line.name.startswith('Stream')
      for event in line.events
  ]
  return {
      'kernels_per_update': len(events) / calls,
      'device_seconds_per_update': sum(
          event.duration_ps for event in events) * 1e-12 / calls,
  }
