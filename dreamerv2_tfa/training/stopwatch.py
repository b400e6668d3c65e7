"""Where the time of a run goes, by part."""

from collections.abc import Iterator
import contextlib
import time

PARTS = ('collect', 'sample', 'update', 'evaluate', 'look', 'save', 'log')


class Stopwatch:
  """Adds up the seconds of each part; no part is inside another.

    collect   steps of the environments
    sample    waiting for the next batch, which is drawn beside the update
    update    updates; where they run beside collection, waiting for them
    evaluate  episodes of evaluations
    look      diagnostics and films
    save      checkpoints, and exports
    log       metrics, to files and terminal
    other     the rest
  """

  def __init__(self):
    self._seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
    self._start = time.monotonic()

  @contextlib.contextmanager
  def part(self, name: str) -> Iterator[None]:
    """Counts the time inside to a part.

    Args:
      name: One of `PARTS`.
    """
    start = time.monotonic()
    try:
      yield
    finally:
      self._seconds[name] += time.monotonic() - start

  def report(self) -> dict[str, float]:
    """Shares of the time since the last call, in [0, 1]: `time/<part>`."""
    now = time.monotonic()
    whole = max(now - self._start, 1e-9)
    shares = {name: x / whole for name, x in self._seconds.items()}
    shares['other'] = max(1.0 - sum(shares.values()), 0.0)
    self._start = now
    for name in PARTS:
      self._seconds[name] = 0.0
    return {f'time/{name}': share for name, share in shares.items()}
