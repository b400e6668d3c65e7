"""Plays a recording with an exported policy, in a process with no package.

    python -I player.py DIR RECORD.npz

DIR is the export; RECORD.npz is from `recording.record`. It is a program, which
imports nothing of this package and lets nobody else import it, TF-Agents or
TensorFlow Probability. It prints one object of JSON: the steps played, how many
of them differ in any bit of action or state, and by how much at most.
"""

import importlib.util
import json
import os
import pathlib
import sys
from typing import Any

import numpy as np

_FORMATS = pathlib.Path(__file__).with_name('formats')
FORBIDDEN = ('dreamerv2_tfa', 'tf_agents', 'tensorflow_probability')


class Absent:
  """Makes imports fail as if the packages were not installed."""

  def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
    """Raises `ModuleNotFoundError` for a forbidden name."""
    del path, target
    if name.partition('.')[0] in FORBIDDEN:
      raise ModuleNotFoundError(f'No module named {name!r}', name=name)


def load(
    folder: pathlib.Path, manifest: dict, signature: str, inputs: dict,
) -> tuple:
  """Loads a signature of the export by the file of its format."""
  states = {
      name: field for name, field in inputs.items()
      if name.startswith('state_')
  }

  def zeros(count, seed=0):
    del seed  # nothing is drawn
    return {
        name: np.zeros([count] + field['shape'], field['dtype'])
        for name, field in states.items()
    }

  path = _FORMATS / f'{manifest["format"]}.py'
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.load(folder, signature, zeros)


def forms(manifest: dict) -> list[tuple]:
  """Signature, its inputs, and how the recording names what it observes."""
  found = [('action', manifest['inputs'], '')]
  agent = manifest.get('agent')
  if agent is None:  # of version 1, whose `action` is the agent's
    found = [('action', manifest['inputs'], 'agent_')]
  elif manifest['parts'] is not None and agent['signature']:
    found.append((agent['signature'], agent['inputs'], 'agent_'))
  return found


def compare(got: np.ndarray, wanted: np.ndarray) -> tuple[bool, float]:
  """Whether all bits agree, and the largest difference of two arrays."""
  if got.dtype != wanted.dtype or got.shape != wanted.shape:
    return False, float('inf')
  difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
  largest = float(difference.max(initial=0.0))
  return got.tobytes() == wanted.tobytes(), largest


def play(
    start: Any, step: Any, inputs: dict, prefix: str, record: dict,
) -> tuple[int, float]:
  """Plays all streams side by side, a shorter one ends sooner.

  Returns:
    How many arrays differ, and by how much at most.
  """
  lengths = record['lengths']
  begins = np.cumsum(lengths) - lengths
  state, differ, largest = start(len(lengths)), 0, 0.0
  for t in range(max(lengths)):
    alive = np.flatnonzero(lengths > t)
    places = begins[alive] + t
    seen = lambda name: record[
        prefix + name if name.startswith('observation_') else name]
    given = {
        name: state[name][alive] if name in state
        else seen(name)[places].astype(field['dtype'])
        for name, field in inputs.items()
    }
    outputs = {
        name.removeprefix('next_'): x for name, x in step(given).items()
    }
    results = [
        compare(outputs[name][i], record[name][place])
        for i, place in enumerate(places) for name in ('action', *state)
    ]
    differ += sum(not same for same, _ in results)
    largest = max([largest, *(gap for _, gap in results)])
    for name in state:
      state[name][alive] = outputs[name]
  return differ, largest


def main(folder: Any, recording: Any) -> None:
  """Plays every signature and prints what was found."""
  folder = pathlib.Path(folder)
  manifest = json.loads((folder / 'policy.json').read_text(encoding='utf-8'))
  with np.load(recording) as file:
    record = dict(file)
  found = [
      play(start, step, inputs, prefix, record)
      for signature, inputs, prefix in forms(manifest)
      for start, step in [load(folder, manifest, signature, inputs)]
  ]
  print(json.dumps({
      'steps': int(record['lengths'].sum()),
      'episodes': int(record['is_first'].sum()),
      'differ': sum(differ for differ, _ in found),
      'largest': max(largest for _, largest in found),
      'imported': sorted(set(FORBIDDEN) & set(sys.modules)),
  }))


if __name__ == '__main__':
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  sys.meta_path.insert(0, Absent())
  main(*sys.argv[1:])
