"""TensorBoard's event files of a run: no step is in them twice."""

import pathlib
import time
from typing import Any

from google.protobuf import message
import tensorflow as tf
from tensorflow.core.util import event_pb2 as event_lib

from dreamerv2_tfa import durable

_event_pb2: Any = event_lib  # its names are made at import
_FILES = 'events.out.tfevents.*'
_PARTIAL = 'events.part'  # no name that TensorBoard reads


def writer(directory: pathlib.Path, step: int) -> tf.summary.SummaryWriter:
  """Opens a new event file for what comes after a step.

  What earlier sessions have written beyond the step is removed from their
  files. A TensorBoard that has read it drops it when it reads that a session
  has started. The first start that it sees is none to it: hence two.

  Args:
    directory: Of the event files; it need not exist.
    step: Environment frames that the run resumes at.
  """
  (directory / _PARTIAL).unlink(missing_ok=True)
  earlier = sorted(directory.glob(_FILES))
  for path in earlier:
    _cut(path, step)
  opened = tf.summary.create_file_writer(str(directory))
  begins = _event_pb2.SessionLog(status=_event_pb2.SessionLog.START)
  start = _event_pb2.Event(
      wall_time=time.time(), step=step + 1, session_log=begins
  ).SerializeToString()
  for _ in range(2 if earlier else 0):
    # The public ways to write take summaries alone.
    tf.raw_ops.ImportEvent(writer=opened._resource, event=start)
  return opened


def _cut(path, step):
  """Removes the events beyond a step, and a record that a kill cut short."""
  whole, kept = [], []
  try:
    records = tf.data.TFRecordDataset(str(path))
    for record in records.as_numpy_iterator():
      whole.append(record)
      event = _event_pb2.Event.FromString(record)
      if not event.HasField('summary') or event.step <= step:
        kept.append(record)
    torn = False
  except (tf.errors.OpError, message.DecodeError):  # unreadable from here on
    torn = True
  if not torn and len(kept) == len(whole):
    return
  partial = path.with_name(_PARTIAL)
  with tf.io.TFRecordWriter(str(partial)) as file:
    for record in kept:
      file.write(record)
  durable.replace(partial, path)
