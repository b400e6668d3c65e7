"""Plays a recording with an exported policy, in a process with no package.

    python -I replay.py DIR RECORD.npz

DIR is the export; RECORD.npz is from `play.record`. It is a program, which
imports nothing of this package and lets nobody else import it, TF-Agents or
TensorFlow Probability. It prints one object of JSON: the steps played, how many
of them differ in any bit of action or state, and by how much at most.
"""

import json
import os
import pathlib
import sys

import numpy as np

FORBIDDEN = ('dreamerv2_tfa', 'tf_agents', 'tensorflow_probability')


class Absent:
  """Makes imports fail as if the packages were not installed."""

  def find_spec(self, name, path=None, target=None):
    """Raises `ModuleNotFoundError` for a forbidden name."""
    del path, target
    if name.partition('.')[0] in FORBIDDEN:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)


def load_saved_model(folder):
  """Functions from a number of rows to states, and from inputs to outputs."""
  import tensorflow as tf

  signatures = tf.saved_model.load(str(folder)).signatures
  initial, action = signatures['get_initial_state'], signatures['action']
  arrays = lambda tensors: {k: v.numpy() for k, v in tensors.items()}
  start = lambda rows: arrays(
      initial(batch_size=tf.constant(rows), seed=tf.constant(0))
  )
  step = lambda inputs: arrays(
      action(**{k: tf.constant(v) for k, v in inputs.items()})
  )
  return start, step


def load_tflite(folder, zeros):
  """The same of `policy.tflite`."""
  import tensorflow as tf

  interpreter = tf.lite.Interpreter(str(folder / 'policy.tflite'))
  action = interpreter.get_signature_runner('action')
  return zeros, lambda inputs: action(**inputs)


def load_onnx(folder, zeros):
  """The same of `policy.onnx`."""
  import onnxruntime

  session = onnxruntime.InferenceSession(
      str(folder / 'policy.onnx'), providers=['CPUExecutionProvider']
  )
  outputs = [output.name for output in session.get_outputs()]
  run = lambda inputs: dict(
      zip(outputs, session.run(outputs, inputs), strict=True)
  )
  return zeros, run


def load(folder):
  """Loads the export as its format wants."""
  facts = json.loads((folder / 'policy.json').read_text(encoding='utf-8'))
  states = {
      name: field for name, field in facts['inputs'].items()
      if name.startswith('state_')
  }
  zeros = lambda rows: {
      name: np.zeros([rows] + field['shape'], field['dtype'])
      for name, field in states.items()
  }
  if facts['format'] == 'saved_model':
    return facts, *load_saved_model(folder)
  loader = {'tflite': load_tflite, 'onnx': load_onnx}[facts['format']]
  return facts, *loader(folder, zeros)


def compare(got, wanted):
  """Whether all bits agree, and the largest difference of two arrays."""
  if got.dtype != wanted.dtype or got.shape != wanted.shape:
    return False, float('inf')
  difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
  largest = float(difference.max(initial=0.0))
  return got.tobytes() == wanted.tobytes(), largest


def main(folder, recording):
  """Plays all streams side by side, a shorter one ends sooner."""
  facts, start, step = load(pathlib.Path(folder))
  with np.load(recording) as file:
    record = dict(file)
  lengths = record.pop('lengths')
  begins = np.cumsum(lengths) - lengths
  state, differ, largest = start(len(lengths)), 0, 0.0
  for t in range(max(lengths)):
    alive = np.flatnonzero(lengths > t)
    rows = begins[alive] + t
    inputs = {
        name: state[name][alive] if name in state else record[name][rows]
        for name in facts['inputs']
    }
    outputs = {
        name.removeprefix('next_'): x for name, x in step(inputs).items()
    }
    results = [
        compare(outputs[name][i], record[name][row])
        for i, row in enumerate(rows) for name in ('action', *state)
    ]
    differ += sum(not same for same, _ in results)
    largest = max([largest, *(gap for _, gap in results)])
    for name in state:
      state[name][alive] = outputs[name]
  print(json.dumps({
      'steps': int(lengths.sum()), 'episodes': int(record['is_first'].sum()),
      'differ': differ, 'largest': largest,
      'imported': sorted(set(FORBIDDEN) & set(sys.modules)),
  }))


if __name__ == '__main__':
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  sys.meta_path.insert(0, Absent())
  main(*sys.argv[1:])
