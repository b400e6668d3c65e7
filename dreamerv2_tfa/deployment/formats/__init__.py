"""The formats that a policy is exported in: each is one file here.

A file has, and the stand-alone player loads it without this package, so it
imports nothing of it at its top. It is EXACT if and only if PRECISION is None:

  FILES       pattern of the names of the files that are written
  EXACT       whether it acts as the agent does in every bit
  PRECISION   as train.precision: what it computes in; None: as the run does
  DRAWS       whether it samples latents; else it takes their mode
  PACKAGES    what it needs beside TensorFlow: names of modules, and the extra
  write(agent, policy, folder, parts)    writes; what `policy.json` says of it
  check(folder)                          refuses what does more than compute
  load(folder, signature, zeros)         functions that start and step it
"""

import importlib
import pkgutil
import types

from dreamerv2_tfa import checks


def names() -> tuple[str, ...]:
  """Names of the formats, SavedModel first."""
  found = sorted(module.name for module in pkgutil.iter_modules(__path__))
  return tuple(sorted(found, key=lambda name: name != 'saved_model'))


def get(name: str) -> types.ModuleType:
  """The file of a format.

  Raises:
    UserError: If there is none of this name.
  """
  checks.choice('--format', name, names())
  return importlib.import_module(f'{__name__}.{name}')
