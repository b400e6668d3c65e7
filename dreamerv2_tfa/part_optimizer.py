"""An optimizer for each part of the agent, with settings of its own."""

from collections.abc import Sequence
from typing import Any

import gin
import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import optimizers
from dreamerv2_tfa import scopes


def make(
    shared: dict[str, Any], part: str, variables: Sequence[tf.Variable], *,
    prefix: str = '', **kwargs: Any,
) -> optimizers.Optimizer:
  """Makes the optimizer of one part of the agent.

  Args:
    shared: Dict of arguments of `optimizers.Optimizer`, the agent's.
    part: 'model', 'actor', 'critic' or 'expl', the scope of its settings.
    variables: Sequence of `tf.Variable`.
    prefix: Of the part in the names of its metrics.
    **kwargs: Arguments of `optimizer`: the learning rate.

  Returns:
    `optimizers.Optimizer`.

  Raises:
    ValueError: If a number is out of its range.
  """
  if part != 'expl':  # whose class checks its own
    kwargs['learning_rate'] = checks.positive(
        f'DreamerV2Agent.{part}_learning_rate', kwargs['learning_rate'])
  with scopes.part(part, optimizer):
    return optimizer(
        variables, shared=shared, name=prefix + part, **kwargs
    )


@gin.configurable('Optimizer')  # pyright: ignore[reportCallIssue]
def optimizer(
    variables: Sequence[tf.Variable], *, shared: dict[str, Any],
    learning_rate: float, name: str, adam_epsilon: float | None = None,
    clip_norm: float | None = None, weight_decay: float | None = None,
) -> optimizers.Optimizer:
  """Makes the optimizer of one part; gin's scope says of which.

  Args:
    variables: Sequence of `tf.Variable`.
    shared: Dict of arguments of `optimizers.Optimizer`, the agent's.
    learning_rate: float.
    name: Prefix of its metrics.
    adam_epsilon: None: the agent's.
    clip_norm: None: the agent's.
    weight_decay: None: the agent's.

  Returns:
    `optimizers.Optimizer`.

  Raises:
    ValueError: If a number is out of its range.
  """
  own = dict(epsilon=adam_epsilon, clip_norm=clip_norm,
             weight_decay=weight_decay)
  own = {key: value for key, value in own.items() if value is not None}
  try:
    return optimizers.Optimizer(
        variables, learning_rate=learning_rate, name=name, **{**shared, **own}
    )
  except ValueError as error:
    if not own:
      raise
    raise ValueError(
        f'{error} The optimizer {name} reads Optimizer.{", ".join(own)} too.'
    ) from error
