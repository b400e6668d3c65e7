"""What an episode was worth, beside what critic and imagination said."""

import numpy as np


def realised(
    reward: np.ndarray, discount: np.ndarray, value: np.ndarray, *,
    terminated: bool,
) -> np.ndarray:
  """Discounted return of each row of an episode, its own reward included.

    G_t = r_t + d_t * G_{t+1}    G_n = r_n where the episode terminated, else
                                 v_n: what came later is not known

  As the critic counts: the value of a state includes the reward that led there.

  Args:
    reward: float `[n + 1]`.
    discount: float `[n + 1]`.
    value: float `[n + 1]`, of the critic.
    terminated: Whether row n ended the episode by itself.

  Returns:
    float64 `[n + 1]`.
  """
  found = np.array(value, np.float64)
  if terminated:
    found[-1] = reward[-1]
  for t in range(len(found) - 2, -1, -1):
    found[t] = reward[t] + discount[t] * found[t + 1]
  return found


def ahead(
    reward: np.ndarray, discount: np.ndarray, starts: np.ndarray, horizon: int,
) -> np.ndarray:
  """Discounted rewards of the next steps.

    sum over k = 1 ... H of d_t * ... * d_{t+k-1} * r_{t+k}

  Args:
    reward: float `[n + 1]`; nothing is paid after row n.
    discount: float `[n + 1]`.
    starts: int `[N]`, the rows t.
    horizon: int H.

  Returns:
    float64 `[N]`.
  """
  found = []
  for t in starts:
    rewards = np.asarray(reward, np.float64)[t + 1:t + 1 + horizon]
    weights = np.cumprod(np.asarray(discount, np.float64)[t:t + len(rewards)])
    found.append(np.sum(weights * rewards))
  return np.array(found)


def agreement(
    predicted: np.ndarray, real: np.ndarray,
) -> dict[str, float]:
  """How close predictions are.

  Args:
    predicted: float `[N]`.
    real: float `[N]`.

  Returns:
    'bias', mean of predicted - real; where the real numbers differ also
    'error', root mean squared error in units of their standard deviation; and
    'correlation' in [-1, 1], where the predicted ones do too.
  """
  off = np.asarray(predicted, np.float64) - real
  numbers = {'bias': float(off.mean())}
  spread = float(np.std(real))
  if spread > 1e-9:
    numbers['error'] = float(np.sqrt(np.mean(off ** 2)) / spread)
    if np.std(predicted) > 1e-9:
      numbers['correlation'] = float(np.corrcoef(predicted, real)[0, 1])
  return numbers
