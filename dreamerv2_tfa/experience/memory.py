"""Memory that this process may use: of the machine, container and ulimit."""

from collections.abc import Iterator
import pathlib
import resource

import psutil

_CGROUP = pathlib.Path('/sys/fs/cgroup')
_PROC = pathlib.Path('/proc')
# Files of a control group: limit, usage, and the line of memory.stat with the
# file cache in the usage. Linux drops that cache before it refuses memory.
_V1 = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
_V2 = ('memory.max', 'memory.current', 'inactive_file')
# Address space that TensorFlow's threads reserve in an update and hardly use:
# for walker_walk the addresses grew by 2.7 GB, the memory by 1.3 GB.
_RESERVED = 3 * 10**9 // 2


def total() -> int:
  """Bytes of memory of the machine, or of the container if that is less."""
  limits = [limit for limit, _ in _groups()]
  return min([psutil.virtual_memory().total, *limits])


def free() -> int:
  """Bytes that this process may still use, 0 or more.

  The least of:
    the memory that Linux calls available on the machine;
    limit - usage of each memory control group of the process, parents
      included, of cgroups 1 and 2;
    `ulimit -v` minus the address space in use and what threads reserve.
  """
  found = [psutil.virtual_memory().available]
  found += [limit - used for limit, used in _groups()]
  addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
  if addresses != resource.RLIM_INFINITY:
    used = psutil.Process().memory_info().vms + _RESERVED
    found.append(addresses - used)
  return max(min(found), 0)


def _groups() -> list[tuple[int, int]]:
  """Limit and usage in bytes of each control group that has a limit."""
  found = []
  for folder, names in _folders():
    limit, used = (_number(folder / name) for name in names[:2])
    if limit is not None and used is not None:
      found.append((limit, used - _cache(folder / 'memory.stat', names[2])))
  return found


def _folders() -> Iterator[tuple[pathlib.Path, tuple[str, str, str]]]:
  """The process's control groups for memory, with the names of their files.

  A line of /proc/self/cgroup is `number:controllers:path`; version 2 has no
  controllers. Inside a container the path may be the host's, while the
  container has its own group mounted at the root. So folders that do not exist
  are skipped, and the root is always tried.
  """
  try:
    lines = (_PROC / 'self' / 'cgroup').read_text().splitlines()
  except OSError:
    return
  for line in lines:
    _, controllers, path = line.split(':', 2)
    if 'memory' in controllers.split(','):
      roots, names = (_CGROUP / 'memory',), _V1
    elif not controllers:
      roots, names = (_CGROUP, _CGROUP / 'unified'), _V2
    else:
      continue
    for root in roots:
      group = root / path.lstrip('/')
      for folder in (group, *group.parents):
        if folder.is_relative_to(root):
          yield folder, names


def _number(path: pathlib.Path) -> int | None:
  """The number in a file; None if there is no file, or it says 'max'."""
  try:
    return int(path.read_text())
  except (OSError, ValueError):
    return None


def _cache(path: pathlib.Path, name: str) -> int:
  """The number in a file's line of this name; 0 without one."""
  try:
    lines = path.read_text().splitlines()
    return int(dict(line.split(' ', 1) for line in lines).get(name, 0))
  except (OSError, ValueError):
    return 0
