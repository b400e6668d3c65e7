"""Whether predictions mean what they say: reliability diagrams."""

import numpy as np

BINS = 10


def reliability(
    predicted: np.ndarray, observed: np.ndarray, bins: int = BINS,
) -> dict[str, list[float]]:
  """Sorts predictions into bins of equal width, and averages what happened.

  Args:
    predicted: float `[N]`.
    observed: float `[N]`, what it was a prediction of.
    bins: Between the smallest and the largest prediction.

  Returns:
    'predicted' and 'observed', means of each bin that is not empty, and
    'count', how many predictions are in it.
  """
  predicted, observed = (
      np.asarray(x, np.float64).reshape(-1) for x in (predicted, observed))
  low, high = predicted.min(), predicted.max()
  width = (high - low) or 1.0
  index = np.minimum((predicted - low) / width * bins, bins - 1).astype(int)
  count = np.bincount(index, minlength=bins)
  full = count > 0
  mean = lambda x: np.bincount(index, x, bins)[full] / count[full]
  return {
      'predicted': mean(predicted).tolist(),
      'observed': mean(observed).tolist(),
      'count': count[full].tolist(),
  }


def error(diagram: dict[str, list[float]]) -> float:
  """Expected calibration error: mean |predicted - observed| over predictions.

  Args:
    diagram: Of `reliability`.
  """
  off = np.abs(np.subtract(diagram['predicted'], diagram['observed']))
  return float(np.average(off, weights=diagram['count']))
