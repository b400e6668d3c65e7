"""A client of the replay server that waits, reconnects and says so."""

from collections.abc import Callable
import queue
import threading
import time
from typing import Any
from typing import NamedTuple

from dreamerv2_tfa.distributed import address as address_lib
from dreamerv2_tfa.distributed import description
from dreamerv2_tfa.distributed import reverb as reverb_lib
from dreamerv2_tfa.distributed import tables
from dreamerv2_tfa.environments import faults

_FIRST, _LONGEST = 0.1, 5.0  # seconds between two tries
_ANSWER = 2  # seconds that the server may take to answer
_SILENT = 3.0  # seconds of waiting before it is told
_POLL = 0.02  # seconds between two looks at a call


class Call(NamedTuple):
  """A function that the thread of a connection calls."""

  result: list[Any]  # empty until it has ended; then (value, error)
  done: threading.Event


class Connection:
  """Calls the replay server until it answers, or the process is to stop.

  Reverb's own clients reconnect once the server is back, but their calls wait
  inside of C++ meanwhile, where Python answers no signal. So calls that may
  wait run in a thread of their own.

  Attributes:
    address: HOST:PORT.
    client: `reverb.Client`.
    deadline: The exception of a call of it that has run out of time.
    stopped: Whether the process is to stop: a function.
  """

  def __init__(
      self, address: str, role: str, say: Callable[[str], None] = print,
  ):
    """Contacts nobody yet.

    Args:
      address: HOST:PORT.
      role: Of this process, for messages.
      say: Shows a line.
    """
    self._reverb = reverb_lib.load()
    self.address = address_lib.text(*address_lib.parse(address))
    self.client = self._reverb.Client(self.address)
    self.deadline: Any = self._reverb.errors.DeadlineExceededError
    self._role, self._say = role, say
    self.stopped: Callable[[], bool] = lambda: False
    self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=self._serve, daemon=True).start()

  def _serve(self):
    while True:
      function, result, done = self._work.get()
      try:
        result.append((function(), None))
      except BaseException as error:  # it is raised where it is waited for
        result.append((None, error))
      done.set()

  def begin(self, function: Callable[[], Any]) -> Call:
    """Begins a call of a function of no arguments, after those begun before."""
    call = Call([], threading.Event())
    self._work.put((function, *call))
    return call

  def wait(self, call: Call, what: str) -> Any:
    """Waits for the end of a call that may wait for the server.

    Args:
      call: Of `begin`.
      what: What is waited for, in words.

    Raises:
      EnvironmentFailed: If the process is to stop meanwhile.
      Exception: What the function raises.
    """
    start, told = time.monotonic(), False
    while not call.done.wait(_POLL):  # a signal is answered between two waits
      if not told and time.monotonic() - start > _SILENT:
        told = True
        self._say(f'Waiting for {what} of the replay server {self.address}.')
      if self.stopped() and time.monotonic() - start > _SILENT:
        raise self.interrupted(what)
    if told:
      self._say(f'The replay server {self.address} has given {what}.')
    value, error = call.result[0]
    if error is not None:
      raise error
    return value

  def run(self, function: Callable[[], Any], what: str) -> Any:
    """Calls a function and waits for its end, see `wait`."""
    return self.wait(self.begin(function), what)

  def rest(self) -> None:
    """Waits for the end of what was begun, but no longer than for an answer.

    Python cannot end while a thread comes back to it from C++.
    """
    self.begin(lambda: None).done.wait(_ANSWER)

  def interrupted(self, what: str) -> faults.EnvironmentFailed:
    """The error of a wait that is ended by a signal."""
    return faults.EnvironmentFailed(
        f'The replay server {self.address} had not given {what} when the '
        f'{self._role} was interrupted', '')

  def info(self) -> dict[str, Any]:
    """What the server says of its tables; waits until it answers.

    Raises:
      EnvironmentFailed: If the process is to stop meanwhile.
    """
    wait, start, told = _FIRST, time.monotonic(), False
    while True:
      try:
        found = self.client.server_info(timeout=_ANSWER)
        break
      except (self._reverb.errors.ReverbError, RuntimeError):
        pass
      if not told and time.monotonic() - start > _SILENT:
        told = True
        self._say(
            f'No answer of the replay server {self.address}: trying again, '
            f'up to {_LONGEST:g} s apart.')
      if self.stopped():
        raise self.interrupted('an answer')
      time.sleep(wait)
      wait = min(2 * wait, _LONGEST)
    if told:
      self._say(f'The replay server {self.address} answers.')
    return found

  def size(self, table: str) -> int:
    """Items in a table."""
    return self.info()[table].current_size

  def sample(self, table: str, count: int, what: str) -> list[list[Any]]:
    """Takes items, each a list of arrays; waits until there are so many."""
    return self.wait(self.begin_sample(table, count), what)

  def begin_sample(self, table: str, count: int) -> Call:
    """Begins to take items, see `sample`; `wait` gives them."""
    return self.begin(lambda: [
        item.data for item in self.client.sample(
            table, count, emit_timesteps=False)])

  def join(self, mine: dict[str, Any]) -> None:
    """Compares this process with the server, once that has its description.

    Args:
      mine: Of `description.of`.

    Raises:
      UserError: If they are of different runs.
    """
    start = time.monotonic()
    while not self.size(tables.DESCRIPTION):
      if self.stopped():
        raise self.interrupted('its description')
      if time.monotonic() - start > _SILENT:
        self._say('Waiting for the description of the replay server.')
        start = time.monotonic() + 60
      time.sleep(_POLL)
    description.check(self._role, mine, self.description())

  def description(self) -> dict[str, Any]:
    """What the server says of the run; waits for it."""
    return description.decoded(
        self.sample(tables.DESCRIPTION, 1, 'the description')[0][0])


class Sparing:
  """Lets something be done so often that it takes a tenth of the time."""

  _SHARE = 0.1

  def __init__(self, least: float = 0.0):
    """Has measured nothing yet.

    Args:
      least: Seconds between two times, at least.
    """
    self._least, self._next = least, 0.0

  @property
  def due(self) -> bool:
    """Whether it may be done again."""
    return time.monotonic() >= self._next

  def take(self, function: Callable[[], Any]) -> None:
    """Does it, and measures how long that takes."""
    start = time.monotonic()
    function()
    now = time.monotonic()
    self._next = now + max((now - start) / self._SHARE, self._least)
