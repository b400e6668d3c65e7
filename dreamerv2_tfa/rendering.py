"""Chooses the OpenGL library that renders MuJoCo without a display.

dm_control chooses one at its import, and tries a window first. TF-Agents
imports dm_control, so this package chooses before it imports TF-Agents.
"""

import ctypes
import os
import pathlib
import sys

_LIBRARIES = (
    ('egl', ('libEGL.so.1',)), ('osmesa', ('libOSMesa.so.8', 'libOSMesa.so.6')),
)
# Drivers that the EGL of Debian's libegl1 can load have a file here.
_VENDORS = ('/usr/share/glvnd/egl_vendor.d', '/etc/glvnd/egl_vendor.d')
# The module that makes TensorFlow load its libraries with RTLD_GLOBAL.
_GLOBAL = 'tensorflow.python.pywrap_dlopen_global_flags'
OFF = 'disable'
INSTALL = (
    'Install one that draws without a display: apt install libegl1 libopengl0 '
    'libgl1-mesa-dri (EGL), or: apt install libosmesa6 (OSMesa).'
)


def choose() -> None:
  """Sets MUJOCO_GL, unless the user has: EGL, else OSMesa, else 'disable'.

  With 'disable', dm_control can be imported and tasks of joint positions work.

  TensorFlow 2.21 loads its libraries with RTLD_GLOBAL, so Mesa resolves LLVM
  symbols to TensorFlow's copy and crashes, when it renders or at the end of the
  process. So this function keeps a TensorFlow that is imported later from using
  RTLD_GLOBAL, as up to 2.15. If TensorFlow was imported before, rendering is
  disabled.
  """
  if 'MUJOCO_GL' not in os.environ:
    os.environ['MUJOCO_GL'] = OFF if _is_global() else _available()
  # None refuses the import; typeshed admits modules alone.
  sys.modules.setdefault(_GLOBAL, None)  # pyright: ignore[reportArgumentType]


def check() -> None:
  """Refuses to render if there is no OpenGL library.

  Raises:
    ValueError: If there is neither EGL nor OSMesa, with Debian's packages, or
      TensorFlow was imported too early.
  """
  if os.environ.get('MUJOCO_GL') != OFF:
    return
  if _is_global():
    raise ValueError(
        'This TensorFlow was imported before dreamerv2_tfa, and pictures of '
        'MuJoCo can crash beside it. Import dreamerv2_tfa first.'
    )
  raise ValueError(f'There is no OpenGL for pictures of MuJoCo. {INSTALL}')


def _is_global() -> bool:
  """Whether a TensorFlow with RTLD_GLOBAL has been imported."""
  return sys.modules.get(_GLOBAL) is not None


def _available() -> str:
  for name, files in _LIBRARIES:
    if any(map(_loads, files)) and (name != 'egl' or _has_driver()):
      return name
  return OFF


def _loads(library: str) -> bool:
  try:
    ctypes.CDLL(library)
  except OSError:
    return False
  return True


def _has_driver() -> bool:
  return any(
      True for folder in _VENDORS for _ in pathlib.Path(folder).glob('*.json')
  )
