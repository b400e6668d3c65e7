"""Steps that are asked for at once, taken in one call of the model."""

from concurrent import futures
import queue
import threading

import numpy as np

from dreamerv2_tfa.deployment import loaded

MOST = 64  # at most, in one call
_WAITING = 16 * MOST  # elements that may wait, those under way included
_NOTHING = ()  # waits; None would end the thread


class Batcher:
  """Takes steps for many threads; elements that wait together go together.

  Nobody waits for company: while the model is busy, the next elements gather.

  Attributes:
    calls: int, calls of the model so far.
    elements: int, elements in them.
  """

  def __init__(self, policy: loaded.SavedPolicy):
    """Starts the thread that calls the model.

    Args:
      policy: `loaded.SavedPolicy`.
    """
    self._policy = policy
    self._waiting = queue.SimpleQueue()
    self.calls = self.elements = 0
    self._asked = 0  # elements that wait or are under way
    self._lock = threading.Lock()
    self._thread = threading.Thread(target=self._run, daemon=True)
    self._thread.start()

  def step(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As `SavedPolicy.step`, of at most `MOST` elements; waits for its turn.

    Args:
      inputs: Dict of arrays `[B, ...]`, B at most `MOST`.

    Raises:
      queue.Full: If too many elements wait already.
    """
    result = futures.Future()
    request = (inputs, result)
    size = _size(request)
    with self._lock:
      if self._asked + size > _WAITING:
        raise queue.Full
      self._asked += size
    try:
      self._waiting.put(request)
      return result.result()
    finally:
      with self._lock:
        self._asked -= size

  def close(self) -> None:
    """Ends the thread, after what waits already."""
    self._waiting.put(None)
    self._thread.join()

  def _run(self):
    request = self._waiting.get()
    while request is not None:
      group, elements = [request], _size(request)
      request = self._next()
      while request and elements + _size(request) <= MOST:
        group.append(request)
        elements += _size(request)
        request = self._next()
      self._answer(group, elements)
      if request is _NOTHING:
        request = self._waiting.get()

  def _next(self):
    """The request that waits next; None is the end."""
    try:
      return self._waiting.get_nowait()
    except queue.Empty:
      return _NOTHING

  def _answer(self, group, elements):
    """Takes the step of all, and gives each its elements."""
    try:
      outputs = self._policy.step({
          name: np.concatenate([inputs[name] for inputs, _ in group])
          for name in group[0][0]
      })
    except Exception as error:  # theirs to handle, whatever it is
      for _, result in group:
        result.set_exception(error)
      return
    self.calls += 1
    self.elements += elements
    start = 0
    for inputs, result in group:
      end = start + len(next(iter(inputs.values())))
      result.set_result({name: x[start:end] for name, x in outputs.items()})
      start = end


def _size(request):
  return len(next(iter(request[0].values())))
