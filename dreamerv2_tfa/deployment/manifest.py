"""`policy.json`: what an exported policy is, and which files it consists of."""

from collections.abc import Iterable
import hashlib
import json
import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import specs as specs_lib
from dreamerv2_tfa.deployment import names

FILE = 'policy.json'
_VERSIONS = (1, 2)  # of the file, that can be read; the last one is written


def describe(functions: Any, outputs: Iterable[str]) -> dict[str, Any]:
  """What goes in and out: dict, as it stands in the file.

  Args:
    functions: `model.Functions`.
    outputs: Names of the tensors that a step gives.

  Returns:
    Dict. `observation`, `action` and `inputs` are the environment's, `parts`
    how its observation is read; under `agent` what the agent reads.
  """
  parts = functions.parts
  own = functions.observation_spec
  shown = own if parts is None else {part.key: part for part in parts}
  return {
      'signature': 'environment',
      'observation': _observation(shown),
      'parts': None if parts is None else [part.to_json() for part in parts],
      'by_client': [part.key for part in parts or () if part.shrinks],
      'state': _fields(functions.state_spec),
      'action': _field(functions.policy.action_spec),
      'inputs': _inputs(functions.step_inputs()),
      'outputs': sorted(outputs),
      'agent': {
          'signature': 'agent_action',
          'observation': _observation(own),
          'inputs': _inputs(functions.step_inputs(own)),
      },
  }


def _inputs(specs):
  return {
      name: {'shape': spec.shape[1:].as_list(), 'dtype': spec.dtype.name}
      for name, spec in specs.items()
  }


def _fields(specs):
  return {name: _field(spec) for name, spec in specs.items()}


def _observation(specs):
  """Fields of an observation, with the names of the inputs that take them."""
  inputs = names.observations(specs)
  return {
      key: {**field, 'input': inputs[key]}
      for key, field in _fields(specs).items()
  }


def _field(spec):
  """Shape, dtype and finite bounds of a spec, or of an `observations.Part`."""
  dtype = getattr(spec.dtype, 'name', spec.dtype)
  field = {'shape': list(spec.shape), 'dtype': dtype}
  low = getattr(spec, 'minimum', getattr(spec, 'low', None))
  high = getattr(spec, 'maximum', getattr(spec, 'high', None))
  if low is not None and np.isfinite([np.max(high), np.min(low)]).all():  # pyright: ignore[reportArgumentType, reportCallIssue]
    field['minimum'] = specs_lib.plain(low)
    field['maximum'] = specs_lib.plain(high)
  return field


def hashes(folder: str | os.PathLike) -> dict[str, str]:
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


def write(folder: str | os.PathLike, described: dict[str, Any]) -> None:
  """Writes `policy.json`, with the hashes of the files that are there.

  Args:
    folder: The export.
    described: Dict that JSON can hold.
  """
  described = {
      'version': _VERSIONS[-1], **described, 'tensorflow': tf.__version__,
      'files': hashes(folder),
  }
  path = pathlib.Path(folder) / FILE
  path.write_text(json.dumps(described, indent=2) + '\n', encoding='utf-8')


def read(folder: str | os.PathLike) -> dict[str, Any]:
  """Reads `policy.json`.

  Args:
    folder: The export.

  Returns:
    Dict. `signature` is 'environment', or 'agent' where an earlier version has
    exported: then observations are those that the agent reads.

  Raises:
    ValueError: If there is none, or one that a newer version has written.
  """
  path = pathlib.Path(folder) / FILE
  try:
    described = json.loads(path.read_text(encoding='utf-8'))
  except (OSError, json.JSONDecodeError) as error:
    raise ValueError(
        f'{folder} is no exported policy: {path} cannot be read '
        f'({getattr(error, "strerror", error)}). Make one with bin/export '
        '--root_dir=RUN --out=DIR.'
    ) from error
  version = described.get('version') if isinstance(described, dict) else None
  if version not in _VERSIONS:
    raise ValueError(
        f'{path} has version {version}; this package reads {_VERSIONS}. Take '
        'the package that wrote it, or export again.'
    )
  # Version 1 has the agent's form alone, whatever the environment's is.
  return {'signature': 'agent', 'parts': None, **described}


def check_files(folder: str | os.PathLike, described: dict[str, Any]) -> None:
  """Refuses files that are not those that were exported.

  Args:
    folder: The export.
    described: Dict from `read`.

  Raises:
    ValueError: If one is missing, new or changed.
  """
  there, wanted = hashes(folder), described['files']
  wrong = sorted(
      name for name in {*there, *wanted} if there.get(name) != wanted.get(name)
  )
  if wrong:
    raise ValueError(
        f'In {folder} these files are missing, new or changed since the '
        f'export: {", ".join(wrong)}. Export again, or copy them again.'
    )
