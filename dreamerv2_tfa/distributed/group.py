"""All processes of a distributed run on one machine: starts and watches them.

It imports no TensorFlow. Each child ends with it, however it ends.
"""

from collections.abc import Callable
import subprocess
import threading
import time

from dreamerv2_tfa import children
from dreamerv2_tfa.distributed import invocation
from dreamerv2_tfa.training import output

_POLL = 0.05  # seconds between two looks
_LONGEST = 10.0  # seconds between a role's end and its restart, at most
_REFUSES = 120.0  # seconds in which a role refuses to begin, at most
_NOISE = '[reverb/cc/'  # its log, which is no error of ours


class Role:
  """A child process, and what it prints, each line with its name.

  Attributes:
    name: Such as 'collector 0'.
    restarts: How often it was started again.
  """

  def __init__(
      self, name: str, flags: Callable[[int], list[str]], say: Callable,
  ):
    """Starts it.

    Args:
      name: As above.
      flags: Its arguments, of the number of restarts.
      say: Shows a line.
    """
    self.name, self.restarts = name, 0
    self._flags, self._say = flags, say
    self._due: float | None = None
    self.ready = threading.Event()
    self._error, self._error_before = None, None
    self._start()

  def _start(self):
    self._error, self._error_before = None, self._error
    self._began = time.monotonic()
    self._process = children.start(
        'dreamerv2_tfa.commands.train', self._flags(self.restarts),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors='replace')
    self._reader = threading.Thread(
        target=self._read, args=[self._process.stdout], daemon=True)
    self._reader.start()

  def _read(self, lines):
    for line in lines:
      if line.startswith('The replay server is ready'):
        self.ready.set()
      if line.startswith('Error: '):
        self._error = line
      if line.strip() and not line.startswith(_NOISE):
        self._say(f'{self.name:<11} | {line.rstrip()}')

  @property
  def code(self) -> int | None:
    """Exit status; None while it runs, or waits for its restart."""
    return None if self._due is not None else self._process.poll()

  @property
  def refused(self) -> bool:
    """Whether it has ended as the time before: another start would as well."""
    self._reader.join(5.0)
    if time.monotonic() - self._began > _REFUSES:  # what it has met is another
      self._error = None
    return self._error is not None and self._error == self._error_before

  def restart_later(self) -> None:
    """Starts it again after a while that doubles each time."""
    self._due = time.monotonic() + min(0.25 * 2**self.restarts, _LONGEST)
    self.restarts += 1

  def restart_if_due(self) -> None:
    """Starts it again if the while is over."""
    if self._due is not None and time.monotonic() >= self._due:
      self._due = None
      self._start()

  def stop(self, noted: children.Noted) -> None:
    """Tells it to save and end, waits, and kills it if it does not."""
    self._due = None
    if not children.stop([self._process], noted):
      self._say(f'{self.name} does not end within {children.PATIENCE:g} s: '
                'killed.')
    self._reader.join(5.0)


class Group:
  """The roles of a run, started in order; the learner's end is theirs."""

  def __init__(
      self, common: list[str], root_dir: str, address: str,
      num_collectors: int, max_restarts: int, replicas: int | None = None,
  ):
    """Starts nothing yet.

    Args:
      common: Arguments that all roles share.
      root_dir: The run's folder.
      address: Of the replay server, on this machine.
      num_collectors: How many.
      max_restarts: Of each role, at most.
      replicas: Devices of the learner; None: as it finds them.
    """
    self._replicas = replicas
    self._common, self._root_dir, self._address = common, root_dir, address
    self._collectors, self._most = num_collectors, max_restarts
    self._roles: dict[str, Role] = {}
    self._noted = children.Noted()
    self._lock = threading.Lock()

  def _say(self, line):
    with self._lock:
      print(line, flush=True)

  def run(self) -> int:
    """Runs until the learner's end; returns the exit status."""
    with output.unbroken(), self._noted:
      try:
        code = self._run()
      finally:
        for name in ('learner', 'evaluator', *(
            name for name in self._roles if name.startswith('collector')),
            'replay'):
          if name in self._roles:
            self._roles[name].stop(self._noted)
    return 128 + self._noted.signal if self._noted.signal else code

  def _add(self, name, role, *flags, seeds=None):
    made = lambda restarts: [*invocation.arguments(
        role, self._address, self._root_dir, self._common,
        None if seeds is None else seeds(restarts)), *flags]
    self._roles[name] = Role(name, made, self._say)

  def _run(self):
    self._add('replay', 'replay')
    replay = self._roles['replay']
    while not replay.ready.wait(_POLL):
      if self._noted.signal:
        return 1
      if replay.code is not None:  # it has said why
        return replay.code or 1
    self._add('learner', 'learner', *(
        [] if self._replicas is None else [f'--replicas={self._replicas}']))
    for index in range(self._collectors):
      # A restarted one plays other episodes.
      self._add(f'collector {index}', 'collector', seeds=(
          lambda restarts, index=index: index + restarts * self._collectors))
    self._add('evaluator', 'evaluator')
    finished = set()
    while not finished >= {'learner', 'evaluator'}:
      time.sleep(_POLL)
      if self._noted.signal:
        return 1
      for name, role in self._roles.items():
        role.restart_if_due()
        code = role.code  # once: it may end meanwhile
        if code == 0 and name != 'replay':  # at the run's end
          finished.add(name)
        elif code is not None and name not in finished:
          if not self._again(role):
            return 1
    return 0

  def _again(self, role):
    """Starts a role again that has ended; False at the bound."""
    ended = f'{role.name} has ended with status {role.code}'
    if role.restarts >= self._most or role.refused:
      self._say(f'{ended}, after {role.restarts} restarts: the run stops. Its '
                'lines above say why; the same command resumes the run.')
      return False
    self._say(f'{ended}: it is started again.')
    role.restart_later()
    return True
