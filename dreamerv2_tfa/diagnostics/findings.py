"""What diagnostics mean, which values are healthy, and what is wrong if not."""

from collections.abc import Mapping
import math
import re
from typing import NamedTuple

PREFIX = 'diagnostics/'
YOUNG = 300  # updates; before, a healthy model is out of bounds as well


class Finding(NamedTuple):
  """A metric of `Diagnosis`, explained."""

  name: str     # of the metric
  value: float
  meaning: str  # one line
  healthy: str  # such as '0 to 0.7'; '' where every value can be
  says: str     # what is wrong, a sentence; '' where nothing is


class Rule(NamedTuple):
  """What is known of the metrics that a pattern matches."""

  pattern: str  # of the whole name, without `PREFIX`; group 1 is the part
  meaning: str
  low: float = -math.inf
  high: float = math.inf
  says: str = ''  # with {part} and {value}


RULES = (
    Rule('(.+)_error_([0-9]+)',
         'Mean squared error so many steps ahead, without looking; a picture '
         'is in units of its range.'),
    Rule('(.+)_against_copy',
         'Error without looking, over 5 or 15 steps, divided by that of '
         'repeating the last row.'),
    Rule('(.+)_against_mean',
         'Error without looking, over 5 or 15 steps, divided by that of the '
         'mean over all windows.'),
    Rule('(reward)_filtered',
         'Error right after looking, divided by that of the mean reward.'),
    Rule('(continue)_filtered',
         'Error right after looking, divided by that of the mean.'),
    Rule('(.+)_filtered',
         'Error right after looking, divided by that of the mean over all '
         'windows.', 0, 1,
         'The decoder does not learn: what it draws of {part} right after '
         'looking is {value} times as wrong as the mean of all windows.'),
    Rule('reward_calibration',
         'Mean distance of predicted rewards from what came, over bins of '
         'equal predictions.'),
    Rule('continue_calibration',
         'Mean distance of the predicted chance that the episode continues '
         'from how often it did.', 0, 0.2,
         'The continue head is wrong about where episodes end: its '
         'probabilities are {value} off on average.'),
    Rule('kl_per_latent', 'KL of posterior and prior per latent, nats.'),
    Rule('kl_share',
         'KL of posterior and prior per latent, as a share of the most that C '
         'classes can tell, ln C.', 0, 0.7,
         'The prior does not learn to predict the posterior: looking tells '
         '{value} of all that a latent can say. Is WorldModel.kl_scale too '
         'small?'),
    Rule('posterior_entropy',
         'Entropy of a latent after looking, as a share of ln C (nats of '
         'Gaussian latents).'),
    Rule('prior_entropy',
         'Entropy of a latent before looking, as a share of ln C.'),
    Rule('dead_latents',
         'Share of latents that are nearly always of one class.', 0, 0.95,
         '{value} of the latents are always the same: the model stores next '
         'to nothing of what it sees.'),
    Rule('dead_classes',
         'Share of classes with less than a tenth of the even share 1 / C.'),
    Rule('value_bias',
         'Critic minus realised discounted return, mean along the episode.'),
    Rule('value_error',
         'Root mean squared error of the critic along the episode, in standard '
         'deviations of the realised return.', 0, 5,
         'The critic is far from the returns of an episode: {value} of their '
         'standard deviations. It is trained on what the model imagines: '
         'compare imagined_return with real_return.'),
    Rule('value_correlation',
         'Correlation of critic and realised return along the episode.'),
    Rule('imagined_bias',
         'Imagined minus real discounted rewards of the next H steps.'),
    Rule('imagined_error',
         'Root mean squared error of imagined rewards of the next H steps, in '
         'standard deviations of the real ones.', 0, 5,
         'What the model imagines is not what happens: rewards of the next '
         'steps are {value} standard deviations off.'),
    Rule('imagined_correlation',
         'Correlation of imagined and real rewards of the next H steps.'),
    Rule('imagined_return',
         'Discounted rewards of the next H steps in imagination, mean over '
         '32 starts along the episode.'),
    Rule('real_return',
         'Discounted rewards of the next H steps in the environment, mean over '
         'the same 32 starts.'),
)


def findings(metrics: Mapping[str, float]) -> list[Finding]:
  """Explains the diagnostics among metrics.

  Args:
    metrics: By name, such as the line of an evaluation in `metrics.jsonl`.
      With fewer than `YOUNG` of `updates` among them, nothing is wrong yet.

  Returns:
    One a diagnostic, in the order of their names.
  """
  found, young = [], metrics.get('updates', YOUNG) < YOUNG
  for name in sorted(metrics):
    rule = _rule(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
    if rule is not None:
      one = _finding(name, float(metrics[name]), rule)
      found.append(one._replace(says='') if young else one)
  return found


def _rule(name):
  return next(
      (rule for rule in RULES if re.fullmatch(rule.pattern, name)), None)


def _finding(name, value, rule):
  bounded = rule.high < math.inf
  wrong = bounded and not rule.low <= value <= rule.high
  match = re.fullmatch(rule.pattern, name.removeprefix(PREFIX))
  part = match.group(1) if match and match.re.groups else ''
  return Finding(
      name, value, rule.meaning,
      f'{rule.low:g} to {rule.high:g}' if bounded else '',
      rule.says.format(part=part, value=f'{value:.3g}') if wrong else '')
