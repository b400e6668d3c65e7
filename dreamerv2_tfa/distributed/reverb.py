"""Reverb, where it is installed."""

import importlib.metadata
import sys
import types

from dreamerv2_tfa import checks
from dreamerv2_tfa.environments import extras

_TENSORFLOW = '2.15.'  # Reverb's binary is built for one minor version


def load() -> types.ModuleType:
  """Imports Reverb.

  Raises:
    UserError: As `check`.
  """
  check()
  try:
    return extras.load('reverb', 'reverb')
  except ValueError as error:
    raise checks.UserError(str(error)) from error


def check() -> None:
  """Refuses a stack without Reverb; imports no TensorFlow.

  Raises:
    UserError: If there is none for this stack, or it is not installed.
  """
  python = '.'.join(map(str, sys.version_info[:2]))
  tensorflow = _version('tensorflow')
  if sys.version_info >= (3, 12) or not (
      tensorflow or _TENSORFLOW).startswith(_TENSORFLOW):
    raise checks.UserError(
        '--role needs Reverb, which exists for Python 3.11 with TensorFlow '
        f'2.15; got Python {python} with TensorFlow {tensorflow}. Use Python '
        '3.11 and pip install \'dreamerv2_tfa[reverb]\'; or train in one '
        'process, without --role.'
    )
  if _version('dm-reverb') is None:
    raise checks.UserError(
        '--role needs Reverb, and the package dm-reverb is not installed. '
        f'Install it: {extras.install_line("reverb")}; or train in one '
        'process, without --role.'
    )


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
