"""How long clients waited, and what they were told."""

import collections
import threading

import numpy as np

_KEPT = 10_000  # latencies, the last ones
_QUANTILES = (0.5, 0.9, 0.99)


class Latency:
  """Counts responses and keeps the last latencies of those that acted."""

  def __init__(self):
    self._lock = threading.Lock()
    self._seconds = collections.deque(maxlen=_KEPT)
    self._acted = 0
    self._statuses = collections.Counter()

  def add(self, status, seconds, acted):
    """Notes a response.

    Args:
      status: int, of HTTP.
      seconds: float, from the request's arrival.
      acted: bool, whether the policy took a step for it.
    """
    with self._lock:
      self._statuses[status] += 1
      if acted:
        self._acted += 1
        self._seconds.append(seconds)

  def lines(self):
    """Lines in the text format of Prometheus: list of str."""
    with self._lock:
      seconds = np.array(self._seconds or [np.nan])
      acted, statuses = self._acted, sorted(self._statuses.items())
    values = np.quantile(seconds, _QUANTILES)
    return [
        '# TYPE dreamerv2_act_seconds summary',
        *(f'dreamerv2_act_seconds{{quantile="{quantile}"}} {value:.6f}'
          for quantile, value in zip(_QUANTILES, values, strict=True)),
        f'dreamerv2_act_seconds_count {acted}',
        '# TYPE dreamerv2_responses_total counter',
        *(f'dreamerv2_responses_total{{status="{status}"}} {count}'
          for status, count in statuses),
    ]
