"""Tests of how much memory is free: of machine, container and ulimit."""

import resource

import psutil
import pytest

from dreamerv2_tfa.experience import memory

_TOTAL, _AVAILABLE = 24_000, 9_100  # bytes, of the machine


class Machine:
  """A machine whose /proc and /sys/fs/cgroup are files of the test."""

  def __init__(self, folder):
    self.proc, self.groups = folder / 'proc', folder / 'cgroup'
    (self.proc / 'self').mkdir(parents=True)
    self.groups.mkdir()

  def belongs_to(self, *lines):
    """What /proc/self/cgroup says."""
    (self.proc / 'self' / 'cgroup').write_text(''.join(f'{x}\n' for x in lines))

  def group(self, path, **files):
    """Writes files of a control group; `_` in a name stands for a dot."""
    folder = self.groups / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
      (folder / name.replace('memory_', 'memory.', 1)).write_text(f'{value}\n')


@pytest.fixture(name='machine')
def fixture_machine(tmp_path, monkeypatch):
  made = Machine(tmp_path)
  monkeypatch.setattr(memory, '_PROC', made.proc)
  monkeypatch.setattr(memory, '_CGROUP', made.groups)
  there = psutil.virtual_memory()._replace(total=_TOTAL, available=_AVAILABLE)
  monkeypatch.setattr(psutil, 'virtual_memory', lambda: there)
  unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
  monkeypatch.setattr(resource, 'getrlimit', lambda unused: unlimited)
  return made


def test_without_control_groups_the_machine_counts(machine):
  assert (memory.free(), memory.total()) == (_AVAILABLE, _TOTAL)
  machine.belongs_to()
  assert (memory.free(), memory.total()) == (_AVAILABLE, _TOTAL)


def test_the_limit_of_a_container_counts_where_it_is_lower(machine):
  machine.belongs_to('0::/')
  machine.group('', memory_max=8000, memory_current=3000)
  assert (memory.free(), memory.total()) == (5000, 8000)


def test_the_machine_counts_where_it_has_less_than_the_limit(machine):
  machine.belongs_to('0::/')
  machine.group('', memory_max=20_000, memory_current=3000)
  assert (memory.free(), memory.total()) == (_AVAILABLE, 20_000)


def test_file_cache_that_nobody_uses_is_free(machine):
  machine.belongs_to('0::/')
  machine.group(
      '', memory_max=8000, memory_current=7000,
      memory_stat='anon 10\ninactive_file 2500\nactive_file 90')
  assert memory.free() == 8000 - (7000 - 2500)


def test_a_group_without_limit_does_not_count(machine):
  machine.belongs_to('0::/job')
  machine.group('job', memory_max='max', memory_current=8000)
  assert (memory.free(), memory.total()) == (_AVAILABLE, _TOTAL)


@pytest.mark.parametrize('place, free', [
    ('a/b/c', 700), ('a/b', 1700), ('a', 2700), ('', 3700)])
def test_a_limit_of_any_group_above_counts(machine, place, free):
  machine.belongs_to('0::/a/b/c')
  for path in ('', 'a', 'a/b', 'a/b/c'):
    machine.group(path, memory_max='max', memory_current=300)
  machine.group(place, memory_max=free + 300)
  assert memory.free() == free


def test_the_group_with_the_least_left_counts(machine):
  machine.belongs_to('0::/a/b')
  machine.group('a/b', memory_max=6000, memory_current=1000)
  machine.group('a', memory_max=7000, memory_current=5500)  # b's neighbours
  assert (memory.free(), memory.total()) == (1500, 6000)


def test_another_processes_group_does_not_count(machine):
  machine.belongs_to('0::/a')
  machine.group('a', memory_max='max', memory_current=10)
  machine.group('other', memory_max=100, memory_current=10)
  assert memory.free() == _AVAILABLE


def test_the_first_version_of_control_groups_counts_as_well(machine):
  machine.belongs_to('5:cpu,cpuacct:/x', '4:cpuset,memory:/docker/f00', '0::/')
  machine.group('memory', memory_limit_in_bytes=2**63 - 4096,
                memory_usage_in_bytes=9000)
  machine.group('memory/docker/f00', memory_limit_in_bytes=6000,
                memory_usage_in_bytes=4000,
                memory_stat='inactive_file 1\ntotal_inactive_file 1500')
  assert (memory.free(), memory.total()) == (3500, 6000)


@pytest.mark.parametrize('line, root, limit, use', [
    ('4:memory:/docker/f00', 'memory', 'limit_in_bytes', 'usage_in_bytes'),
    ('0::/system.slice/docker-f00.scope', '', 'max', 'current')])
def test_in_a_container_that_is_told_the_hosts_path_the_root_counts(
    machine, line, root, limit, use):
  machine.belongs_to(line)
  machine.group(root, **{f'memory_{limit}': 5000, f'memory_{use}': 4000})
  assert memory.free() == 1000


def test_the_second_version_beside_the_first_is_found(machine):
  machine.belongs_to('4:cpu:/', '0::/job')
  machine.group('unified/job', memory_max=5000, memory_current=4000)
  assert memory.free() == 1000


def test_a_group_that_is_over_its_limit_leaves_nothing(machine):
  machine.belongs_to('0::/')
  machine.group('', memory_max=1000, memory_current=1100)
  assert memory.free() == 0


def test_ulimit_counts_less_the_addresses_in_use_and_reserved(
    machine, monkeypatch):
  used = psutil.Process().memory_info()._replace(vms=3000)
  monkeypatch.setattr(psutil.Process, 'memory_info', lambda self: used)
  monkeypatch.setattr(
      resource, 'getrlimit',
      lambda which: (7000 if which == resource.RLIMIT_AS else 1, 8000))
  monkeypatch.setattr(memory, '_RESERVED', 500)
  assert memory.free() == 7000 - 3000 - 500


def test_this_machine_says_something_sensible():
  assert 0 < memory.free() <= memory.total() <= psutil.virtual_memory().total
