"""Policies in the middle of an episode, by id; the idle are forgotten."""

import collections
from collections.abc import Callable
import math
import secrets
import threading
import time

import numpy as np

from dreamerv2_tfa.deployment import loaded

_SEEDS = 2**31


class Session:
  """One client's memory.

  Attributes:
    state: Dict of arrays `[1, ...]`, as `SavedPolicy.step` takes them.
    begins: bool, whether nothing has been seen yet.
    lock: Held while the session acts.
    used: float, seconds, when it was last asked for.
  """

  def __init__(self, state: dict[str, np.ndarray], used: float):
    self.state = state
    self.begins = True
    self.lock = threading.Lock()
    self.used = used


class Sessions:
  """All sessions of a server."""

  def __init__(
      self, policy: loaded.SavedPolicy, *, limit: int, idle_seconds: float,
      clock: Callable[[], float] = time.monotonic,
  ):
    """Makes room for sessions.

    Args:
      policy: `loaded.SavedPolicy`.
      limit: Sessions at once.
      idle_seconds: After which an unused one is forgotten.
      clock: Function that returns seconds.
    """
    self._policy = policy
    self._limit = limit
    self._idle = idle_seconds
    self._clock = clock
    self._lock = threading.Lock()
    self._sessions = collections.OrderedDict()  # the longest unused first

  def __len__(self):
    with self._lock:
      self._expire()
      return len(self._sessions)

  def create(self, seed: int | None = None) -> str | None:
    """Begins a session.

    Args:
      seed: int32 of its latents, or None for one of its own.

    Returns:
      Its id, str; or None where there are too many.
    """
    if seed is None:
      seed = secrets.randbelow(_SEEDS)
    if len(self) >= self._limit:  # costs less than a state
      return None
    state = self._policy.initial_state(1, seed)
    name = secrets.token_hex(16)
    with self._lock:
      self._expire()
      if len(self._sessions) >= self._limit:
        return None
      self._sessions[name] = Session(state, self._clock())
    return name

  def wait(self) -> int:
    """Seconds until the session that is unused the longest is forgotten."""
    with self._lock:
      self._expire()
      if not self._sessions:
        return 1
      used = next(iter(self._sessions.values())).used
    return max(1, math.ceil(used + self._idle - self._clock()))

  def get(self, name: str) -> Session | None:
    """The `Session` of an id, which counts as used; None if unknown."""
    with self._lock:
      self._expire()
      session = self._sessions.get(name)
      if session is not None:
        session.used = self._clock()
        self._sessions.move_to_end(name)
      return session

  def delete(self, name: str) -> bool:
    """Forgets a session: whether there was one."""
    with self._lock:
      self._expire()
      return self._sessions.pop(name, None) is not None

  def _expire(self):
    oldest = self._clock() - self._idle
    while self._sessions:
      name, session = next(iter(self._sessions.items()))
      if session.used > oldest:
        return
      del self._sessions[name]
