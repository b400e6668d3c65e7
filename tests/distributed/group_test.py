"""Which processes `--role=all` starts, and starts again: without any."""

import errno
import io
import sys

import pytest

from dreamerv2_tfa.distributed import group
from dreamerv2_tfa.distributed import invocation


class Role(group.Role):
  """A role whose process runs for some looks, and ends with a status."""

  refused = False
  ends = {}  # looks and status by name; others run until they are stopped
  made = {}

  def _start(self):
    self.looks = 0
    self.ready.set()
    Role.made[self.name] = self

  @property
  def arguments(self):
    return self._flags(self.restarts)

  @property
  def code(self):
    looks, status = self.ends.get(self.name, (10**9, None))
    self.looks += 1
    return None if self._due is not None or self.looks < looks else status

  def stop(self, noted):
    pass


@pytest.fixture
def run(monkeypatch):
  """Runs a group of two collectors: exit status, and `Role` by name."""
  monkeypatch.setattr(group, 'Role', Role)
  monkeypatch.setattr(group, '_POLL', 1e-3)
  monkeypatch.setattr(Role, 'made', {})

  def of(max_restarts=10, **ends):
    monkeypatch.setattr(
        Role, 'ends', {x.replace('_', ' '): y for x, y in ends.items()})
    made = group.Group(
        ['--task=catch'], 'runs/a', '127.0.0.1:1', 2, max_restarts)
    return made.run(), Role.made

  return of


def test_each_role_has_the_arguments_of_every_launcher(run):
  _, roles = run(learner=(1, 0), evaluator=(1, 0))
  of = lambda role, number=None: invocation.arguments(
      role, '127.0.0.1:1', 'runs/a', ['--task=catch'], number)
  assert {name: role.arguments for name, role in roles.items()} == {
      'replay': of('replay'), 'learner': of('learner'),
      'evaluator': of('evaluator'), 'collector 0': of('collector', 0),
      'collector 1': of('collector', 1)}


def test_a_collector_that_ends_with_the_run_stays_ended(run):
  code, roles = run(
      learner=(1, 0), collector_0=(2, 0), evaluator=(20, 0))
  assert code == 0
  assert [role.restarts for role in roles.values()] == [0] * 5


def test_a_collector_that_fails_is_started_again_with_another_number(run):
  code, roles = run(0, collector_1=(3, 1), learner=(10**6, 0))
  assert code == 1  # after no restarts
  code, roles = run(1, collector_1=(3, 1), learner=(10**6, 0))
  assert code == 1
  assert roles['collector 1'].restarts == 1
  assert roles['collector 1'].arguments[-1] == '--collector=3'


class _Child:
  """A process that has printed, and ended."""

  def __init__(self, said):
    self.stdout = io.StringIO(said)


@pytest.mark.parametrize('said, refused', [
    (['Error: no', 'Error: no'], True),
    (['Error: no', 'Error: another'], False),
    (['Error: no', 'killed', 'Error: no'], False),
    (['killed', 'killed'], False), (['Error: no'], False)])
def test_a_role_that_says_the_same_error_again_is_refused(
    monkeypatch, said, refused):
  given = iter(said)
  monkeypatch.setattr(
      group.children, 'start', lambda *_, **__: _Child(f'{next(given)}\n'))
  role = group.Role('learner', lambda restarts: [], lambda line: None)
  for _ in said[1:]:
    assert not role.refused
    role._start()
  assert role.refused == refused


def test_a_role_that_fails_after_hours_as_before_is_not_refused(monkeypatch):
  monkeypatch.setattr(group, '_REFUSES', -1.0)
  monkeypatch.setattr(
      group.children, 'start', lambda *_, **__: _Child('Error: no\n'))
  role = group.Role('learner', lambda restarts: [], lambda line: None)
  for _ in range(3):
    assert not role.refused
    role._start()


def test_a_run_stops_where_a_role_is_refused(run, monkeypatch):
  monkeypatch.setattr(Role, 'refused', property(lambda self: self.restarts > 0))
  code, roles = run(learner=(3, 1))
  assert (code, roles['learner'].restarts) == (1, 1)


def test_all_roles_are_stopped_when_nobody_reads_what_is_printed(
    run, monkeypatch):
  class Closed(io.StringIO):

    def write(self, text):
      raise BrokenPipeError(errno.EPIPE, 'Broken pipe')

  def stop(self, noted):
    self._say(f'{self.name} does not end')
    stopped.append(self.name)

  stopped = []
  monkeypatch.setattr(Role, 'stop', stop)
  monkeypatch.setattr(sys, 'stdout', Closed())
  code, _ = run(0, collector_1=(3, 1), learner=(10**6, 0))
  assert code == 1 and sorted(stopped) == [
      'collector 0', 'collector 1', 'evaluator', 'learner', 'replay']
