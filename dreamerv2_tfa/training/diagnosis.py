"""What the numbers of a run say of its health."""

from collections.abc import Mapping
from typing import NamedTuple


class Finding(NamedTuple):
  """A metric, and whether it is as in a run that learns."""

  name: str     # of the metric, such as 'diagnostics/dead_latents'
  value: float
  meaning: str  # one line
  healthy: str  # such as '0 to 0.5'; '' if there is no bound
  says: str     # what is wrong, in one sentence; '' where healthy


# Meaning, least and largest healthy value, what is wrong beyond them.
_KNOWN = {
    'diagnostics/dead_latents': (
        'share of latents whose posterior is always the prior', 0.0, 0.5,
        'Most latents tell nothing of the observation: lower '
        'WorldModel.kl_scale or free_nats.'),
    'diagnostics/open_loop_gain': (
        'error of the last picture, copied, over that of the model', 1.0, None,
        'Copying the last picture is better than what the model foresees.'),
}


def findings(metrics: Mapping[str, float]) -> list[Finding]:
  """What is known of the metrics that there are, by name.

  Args:
    metrics: The last value of each, finite.
  """
  return [_finding(name, float(metrics[name]))
          for name in _KNOWN if name in metrics]


def _finding(name, value):
  meaning, low, high, says = _KNOWN[name]
  is_healthy = low <= value and (high is None or value <= high)
  healthy = f'{low:g} or more' if high is None else f'{low:g} to {high:g}'
  return Finding(name, value, meaning, healthy, '' if is_healthy else says)
