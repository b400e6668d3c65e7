"""`policy.json`: what an exported policy is, and which files it consists of."""

import hashlib
import json
import pathlib

import numpy as np
import tensorflow as tf

FILE = 'policy.json'
_FORMATS = 1  # of the file; a reader refuses what is newer


def describe(functions, outputs):
  """What goes in and out: dict, as it stands in the file.

  Args:
    functions: `model.Functions`.
    outputs: Names of the tensors that a step gives.

  Returns:
    Dict.
  """
  inputs = functions.step_inputs()
  return {
      'observation': _fields(functions.observation_spec),
      'state': _fields(functions.state_spec),
      'action': _field(functions.policy.action_spec),
      'inputs': {
          name: {'shape': spec.shape[1:].as_list(), 'dtype': spec.dtype.name}
          for name, spec in inputs.items()
      },
      'outputs': sorted(outputs),
  }


def _fields(specs):
  return {name: _field(spec) for name, spec in specs.items()}


def _field(spec):
  field = {'shape': spec.shape.as_list(), 'dtype': spec.dtype.name}
  if hasattr(spec, 'minimum') and np.all(np.isfinite(
      [np.max(spec.maximum), np.min(spec.minimum)]
  )):
    field['minimum'] = np.asarray(spec.minimum).tolist()
    field['maximum'] = np.asarray(spec.maximum).tolist()
  return field


def hashes(folder):
  """SHA-256 of every file but `policy.json`: dict by path in the folder."""
  folder = pathlib.Path(folder)
  return {
      path.relative_to(folder).as_posix(): _sha256(path)
      for path in sorted(folder.rglob('*'))
      if path.is_file() and path.name != FILE
  }


def _sha256(path):
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def write(folder, facts):
  """Writes `policy.json`, with the hashes of the files that are there.

  Args:
    folder: Path of the export.
    facts: Dict that JSON can hold.
  """
  facts = {
      'version': _FORMATS, **facts, 'tensorflow': tf.__version__,
      'files': hashes(folder),
  }
  path = pathlib.Path(folder) / FILE
  path.write_text(json.dumps(facts, indent=2) + '\n', encoding='utf-8')


def read(folder):
  """Reads `policy.json`.

  Args:
    folder: Path of the export.

  Returns:
    Dict.

  Raises:
    ValueError: If there is none, or one that a newer version has written.
  """
  path = pathlib.Path(folder) / FILE
  try:
    facts = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, json.JSONDecodeError) as error:
    raise ValueError(
        f'{folder} is no exported policy: {path} cannot be read '
        f'({error}). Make one with bin/export --root_dir=RUN --out=DIR.'
    ) from error
  version = facts.get('version') if isinstance(facts, dict) else None
  if version != _FORMATS:
    raise ValueError(
        f'{path} has version {version}; this package reads {_FORMATS}. Take '
        'the package that wrote it, or export again.'
    )
  return facts


def check_files(folder, facts):
  """Refuses files that are not those that were exported.

  Args:
    folder: Path of the export.
    facts: Dict from `read`.

  Raises:
    ValueError: If one is missing, new or changed.
  """
  there, wanted = hashes(folder), facts['files']
  wrong = sorted(
      name for name in {*there, *wanted} if there.get(name) != wanted.get(name)
  )
  if wrong:
    raise ValueError(
        f'In {folder} these files are missing, new or changed since the '
        f'export: {", ".join(wrong)}. Export again, or copy them again.'
    )
