"""What GET /metrics tells, in the text format of Prometheus."""

from collections.abc import Iterator

import prometheus_client as prometheus
from prometheus_client import core

from dreamerv2_tfa.deployment import batching
from dreamerv2_tfa.deployment import sessions as sessions_lib

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
  """Counts responses, and how long clients waited for an action."""

  def __init__(
      self, sessions: sessions_lib.Sessions, batcher: batching.Batcher,
  ):
    """Has counted nothing yet; sessions and model calls are read when asked."""
    self._registry = prometheus.CollectorRegistry()
    self._seconds = prometheus.Histogram(
        'dreamerv2_act_seconds', 'From a request to its action.',
        registry=self._registry, buckets=_BUCKETS,
    )
    self._responses = prometheus.Counter(
        'dreamerv2_responses', 'Responses by their HTTP status.', ['status'],
        registry=self._registry,
    )
    prometheus.Gauge(
        'dreamerv2_sessions', 'Open sessions.', registry=self._registry,
    ).set_function(lambda: len(sessions))
    self._registry.register(_Model(batcher))

  def add(self, status: int, seconds: float, acted: bool) -> None:
    """Counts a response.

    Args:
      status: Of HTTP.
      seconds: From the request's arrival.
      acted: Whether the policy took a step for it.
    """
    self._responses.labels(status).inc()
    if acted:
      self._seconds.observe(seconds)

  def text(self) -> str:
    """Everything that was counted so far."""
    return prometheus.generate_latest(self._registry).decode()


class _Model:
  """Reads how often the model was called."""

  def __init__(self, batcher):
    self._batcher = batcher

  def collect(self) -> Iterator[core.CounterMetricFamily]:
    yield core.CounterMetricFamily(
        'dreamerv2_model_calls', 'Calls of the model.',
        value=self._batcher.calls,
    )
    yield core.CounterMetricFamily(
        'dreamerv2_model_rows', 'Batch elements in all calls.',
        value=self._batcher.elements,
    )
