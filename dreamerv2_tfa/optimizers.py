"""Adam with global-norm clipping, decoupled decay and dynamic loss scaling."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa import replicas

_INITIAL_SCALE = 2.0**15  # published package (Keras' own start)
_GROWTH_STEPS = 2000  # good steps before the scale doubles, likewise


class Optimizer(tf.Module):
  """Steps one group of variables (published package's order of operations).

  In this order: gradient of the scaled loss, unscaled; mean over replicas;
  clip by global norm; `w <- (1 - decay) * w` on every variable of the group;
  Adam in Keras' epsilon-hat form. A step whose loss or gradient is not finite
  changes no variable and no slot: under float16 the scale is halved, in other
  precisions the caller sees it in the returned norm.
  """

  def __init__(
      self, variables: Sequence[tf.Variable], *, learning_rate: float,
      epsilon: float = 1e-5, clip_norm: float = 100.0,
      weight_decay: float = 1e-6, loss_scaling: bool = False,
      name: str = 'optimizer',
  ):
    """Makes the optimizer and all its slots.

    Args:
      variables: Sequence of float32 `tf.Variable`.
      learning_rate: Positive.
      epsilon: Positive; added to Adam's denominator.
      clip_norm: Positive; largest global norm of a step's gradient.
      weight_decay: float in [0, 1), fraction lost a step.
      loss_scaling: Scale the loss dynamically, for float16.
      name: Prefix of the returned metrics.

    Raises:
      ValueError: If there are no variables, or a number is out of its range.
    """
    super().__init__(name=name)
    learning_rate = checks.positive(f'{name} learning rate', learning_rate)
    epsilon = checks.positive('DreamerV2Agent.adam_epsilon', epsilon)
    clip_norm = checks.positive('DreamerV2Agent.clip_norm', clip_norm)
    weight_decay = checks.number(
        'DreamerV2Agent.weight_decay', weight_decay, 0, 1
    )
    if weight_decay == 1:
      raise ValueError(
          'DreamerV2Agent.weight_decay must be below 1; got 1, which would '
          'make every weight 0.'
      )
    self._variables = list(variables)
    if not self._variables:
      raise ValueError(f'The {name} optimizer got no variables to train.')
    self._clip_norm = clip_norm
    self._weight_decay = weight_decay
    # Keras' older Adam is one fused operation a variable; the newer one is a
    # dozen, which cost a third of the tracing of an update.
    self._adam: Any = tf.keras.optimizers.legacy.Adam(
        learning_rate, epsilon=epsilon
    )
    self._make_slots()
    self._loss_scale: Any = None  # a variable under loss scaling
    if loss_scaling:
      self._loss_scale = tf.Variable(_INITIAL_SCALE, trainable=False)  # pyright: ignore[reportArgumentType]
      # int64, because XLA on a GPU cannot reach an int32 variable.
      self._good_steps = tf.Variable(0, dtype=tf.int64, trainable=False)  # pyright: ignore[reportArgumentType]

  def _make_slots(self):
    """A step without gradient moves nothing and makes every slot."""
    def step():
      zeros = [tf.zeros_like(variable) for variable in self._variables]
      self._adam.apply_gradients(self._pairs(zeros))

    strategy = tf.distribute.get_strategy()
    run = lambda: strategy.run(step)
    if strategy.num_replicas_in_sync > 1:  # line by line it warns
      run = tf.function(run, autograph=False)
    run()
    self._adam.iterations.assign(0)

  @property
  def iterations(self) -> tf.Variable:
    """Steps taken, int64 scalar variable; skipped ones are not counted."""
    return self._adam.iterations

  @property
  def slots(self) -> list[tf.Variable]:
    """Every variable that Adam changes beside the weights, its count too."""
    return self._adam.variables()

  @property
  def loss_scale(self) -> float | None:
    """Scale of the loss as it is now, 1 at its floor; None without scaling."""
    return None if self._loss_scale is None else float(self._loss_scale.numpy())

  def minimize(
      self, tape: tf.GradientTape, loss: tf.Tensor,
      apply: tf.Tensor | bool = True,
  ) -> dict[str, tf.Tensor]:
    """Takes one step down the loss.

    Args:
      tape: It recorded the loss and is no longer active.
      loss: float32 scalar, unscaled.
      apply: bool scalar; where false, no variable and no slot changes. Python's
        False computes the metrics alone.

    Returns:
      float32 scalars: `<name>_grad_norm` before clipping, and
      `<name>_loss_scale` under loss scaling.
    """
    gradients = self._gradients(tape, loss)
    metrics = self._metrics(gradients)
    if apply is False:
      return metrics
    norm, loss = metrics[f'{self.name}_grad_norm'], replicas.mean(loss)
    is_finite = tf.math.is_finite(loss) & tf.math.is_finite(norm)
    clipped, _ = tf.clip_by_global_norm(gradients, self._clip_norm, norm)
    tf.cond(
        is_finite & apply, lambda: self._apply(clipped),
        lambda: tf.constant(False),
    )
    if self._loss_scale is not None:
      self._update_scale(is_finite)
    return metrics

  def _metrics(self, gradients):
    metrics = {f'{self.name}_grad_norm': tf.linalg.global_norm(gradients)}
    if self._loss_scale is not None:
      metrics[f'{self.name}_loss_scale'] = tf.identity(self._loss_scale)
    return metrics

  def _gradients(self, tape, loss):
    if self._loss_scale is None:
      gradients = tape.gradient(loss, self._variables)
    else:
      with tape:
        scaled = loss * self._loss_scale
      gradients = tape.gradient(scaled, self._variables)
      gradients = [
          None if gradient is None else gradient / self._loss_scale
          for gradient in gradients
      ]
    # A head that a gin file turned off reads nothing: its gradient is zero.
    gradients = [
        tf.zeros_like(variable) if gradient is None else gradient
        for gradient, variable in self._pairs(gradients)
    ]
    return replicas.mean(gradients)

  def _apply(self, gradients):
    if self._weight_decay:
      for variable in map(replicas.own, self._variables):
        variable.assign(variable * (1.0 - self._weight_decay))
    if replicas.count() == 1:
      self._adam.apply_gradients(
          self._pairs(gradients), experimental_aggregate_gradients=False
      )
    else:
      self._apply_here(gradients)
    return tf.constant(True)

  def _apply_here(self, gradients):
    """What `apply_gradients` does, on this replica's copies."""
    adam, iterations = self._adam, replicas.own(self._adam.iterations)
    number = lambda name: tf.convert_to_tensor(
        replicas.own(getattr(adam, name))
    )
    step = tf.cast(iterations + 1, tf.float32)
    beta_1, beta_2 = number('beta_1'), number('beta_2')
    for gradient, variable in self._pairs(gradients):
      handles = {
          'm': replicas.own(adam.get_slot(variable, 'm')).handle,
          'v': replicas.own(adam.get_slot(variable, 'v')).handle,
          'var': replicas.own(variable).handle,
      }
      tf.raw_ops.ResourceApplyAdam(
          **handles, beta1_power=beta_1**step, beta2_power=beta_2**step,
          lr=number('learning_rate'), beta1=beta_1, beta2=beta_2,
          epsilon=adam.epsilon, grad=gradient,
      )
    iterations.assign_add(1)

  def _pairs(self, gradients):
    return zip(gradients, self._variables, strict=True)

  def _update_scale(self, is_finite):
    good = tf.where(is_finite, self._good_steps + 1, tf.zeros([], tf.int64))
    grow = good >= _GROWTH_STEPS
    grown = tf.where(grow, self._loss_scale * 2.0, self._loss_scale)
    halved = tf.maximum(self._loss_scale / 2.0, 1.0)
    replicas.own(self._loss_scale).assign(tf.where(is_finite, grown, halved))
    replicas.own(self._good_steps).assign(
        tf.where(grow, tf.zeros_like(good), good)
    )
