"""How much memory this process may still take: machine, container, ulimit."""

import pathlib
import resource

import psutil

_CGROUP = pathlib.Path('/sys/fs/cgroup')
_PROC = pathlib.Path('/proc')
# Files of a control group: limit, use, and the share of the use that is file
# cache which Linux drops before it refuses anything (a line of memory.stat).
_V1 = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
_V2 = ('memory.max', 'memory.current', 'inactive_file')
# Addresses that TensorFlow's threads reserve in an update and hardly use:
# walker's grew by 2.7 GB, the memory by 1.3 GB.
_RESERVED = 3 * 10**9 // 2


def total():
  """Bytes of memory of the machine or, where it is less, the container: int."""
  limits = [limit for limit, _ in _groups()]
  return min([psutil.virtual_memory().total, *limits])


def free():
  """Bytes that this process may still take: int, 0 or more.

  The least of three: what Linux calls available on the machine; the limit
  minus the use of each memory control group that the process is in, its own
  and those above it, of either version of cgroups; and `ulimit -v` minus the
  addresses in use and those that threads reserve.
  """
  found = [psutil.virtual_memory().available]
  found += [limit - used for limit, used in _groups()]
  addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
  if addresses != resource.RLIM_INFINITY:
    used = psutil.Process().memory_info().vms + _RESERVED
    found.append(addresses - used)
  return max(min(found), 0)


def _groups():
  """Limit and use in bytes of each control group that has a limit: a list."""
  found = []
  for folder, names in _folders():
    limit, used = (_number(folder / name) for name in names[:2])
    if limit is not None and used is not None:
      found.append((limit, used - _cache(folder / 'memory.stat', names[2])))
  return found


def _folders():
  """The process's control groups for memory, with the names of their files.

  A line of /proc/self/cgroup is `number:controllers:path`; version 2 has no
  controllers. Inside a container the path may be the host's, of which the
  container sees the end alone, mounted at the root: a folder that does not
  exist is passed over, and the root is always among those above.
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


def _number(path):
  """The number in a file; None where there is none, or 'max'."""
  try:
    return int(path.read_text())
  except (OSError, ValueError):
    return None


def _cache(path, name):
  """The number in the line of `name`; 0 without one."""
  try:
    rows = dict(line.split(' ', 1) for line in path.read_text().splitlines())
    return int(rows.get(name, 0))
  except (OSError, ValueError):
    return 0
