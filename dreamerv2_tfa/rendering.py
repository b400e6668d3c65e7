"""Which OpenGL draws MuJoCo's pictures where there is no display.

TF-Agents imports dm_control, and dm_control chooses once, as it is imported: it
would try a window first. So the package chooses before it imports TF-Agents.
"""

import ctypes
import os
import pathlib
import sys

_LIBRARIES = (
    ('egl', ('libEGL.so.1',)), ('osmesa', ('libOSMesa.so.8', 'libOSMesa.so.6')),
)
# Where a driver says that the EGL of Debian's libegl1 can load it.
_VENDORS = ('/usr/share/glvnd/egl_vendor.d', '/etc/glvnd/egl_vendor.d')
# The module by which TensorFlow shows its symbols.
_SHOWING = 'tensorflow.python.pywrap_dlopen_global_flags'
OFF = 'disable'
MEND = (
    'Install one that draws without a display: apt install libegl1 libopengl0 '
    'libgl1-mesa-dri (EGL), or: apt install libosmesa6 (OSMesa).'
)


def choose():
  """Names the OpenGL in MUJOCO_GL, unless the user has: EGL, else OSMesa.

  With neither, dm_control is told to draw nothing, so that it can be imported
  and tasks of joint positions work.

  TensorFlow 2.21 shows its symbols to every library, its LLVM among them. Mesa
  would then draw with that one in place of its own, and crash at a picture or
  at the end of the process. So a TensorFlow that is imported later keeps them
  to itself, as up to 2.15; beside one that was imported before, nothing draws.
  """
  if 'MUJOCO_GL' not in os.environ:
    os.environ['MUJOCO_GL'] = OFF if _shown() else _available()
  sys.modules.setdefault(_SHOWING, None)


def check():
  """Refuses to draw where nothing can.

  Raises:
    ValueError: If there is neither EGL nor OSMesa, with Debian's packages, or
      TensorFlow was imported too early.
  """
  if os.environ.get('MUJOCO_GL') != OFF:
    return
  if _shown():
    raise ValueError(
        'This TensorFlow was imported before dreamerv2_tfa, and pictures of '
        'MuJoCo can crash beside it. Import dreamerv2_tfa first.'
    )
  raise ValueError(f'There is no OpenGL for pictures of MuJoCo. {MEND}')


def _shown():
  """Whether a TensorFlow that shows its symbols has been imported."""
  return sys.modules.get(_SHOWING) is not None


def _available():
  for name, files in _LIBRARIES:
    if any(map(_loads, files)) and (name != 'egl' or _has_driver()):
      return name
  return OFF


def _loads(library):
  try:
    ctypes.CDLL(library)
  except OSError:
    return False
  return True


def _has_driver():
  return any(
      True for folder in _VENDORS for _ in pathlib.Path(folder).glob('*.json')
  )
