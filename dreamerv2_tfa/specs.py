"""How a TF-Agents observation and action look from inside the model.

Outside, an action is what the environment takes: an integer, or a box of
numbers with bounds. Inside it is a float32 vector `[A]`: one-hot, or scaled to
[-1, 1]. Outside, an observation is any nest; inside it is a flat dict.
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tree

tfb = tfp.bijectors


class Actions:
  """Moves actions between the environment and the model.

  Attributes:
    discrete: bool, whether an action is one integer.
    size: int A, choices of an integer or numbers in a box.
    low: Smallest action, an int or a float32 array.
  """

  def __init__(self, action_spec):
    """Reads the specification.

    Args:
      action_spec: `BoundedTensorSpec`: one integer with shape () or (1,), or
        floats of any shape with finite bounds.

    Raises:
      ValueError: If it is a nest of several, or unbounded.
    """
    spec = _single(action_spec)
    self._spec = spec
    self.discrete = spec.dtype.is_integer
    shape = spec.shape.as_list()
    if self.discrete:
      if shape not in ([], [1]):
        raise ValueError(
            'A discrete action must be one integer, of shape () or (1,); got '
            f'{spec}. Flatten several choices into one in the environment.'
        )
      self.low = int(np.min(spec.minimum))
      self.size = int(np.max(spec.maximum)) - self.low + 1
    else:
      self.low = np.broadcast_to(spec.minimum, shape).astype(np.float32)
      high = np.broadcast_to(spec.maximum, shape).astype(np.float32)
      self._range = high - self.low
      if not (np.isfinite(self._range).all() and (self._range > 0).all()):
        raise ValueError(
            'A continuous action needs finite bounds with minimum < maximum; '
            f'got {spec}. Clip it in the environment.'
        )
      self.size = int(np.prod(shape, dtype=np.int64))

  def encode(self, action):
    """Environment's action `[..., *shape]` to float32 `[..., A]`."""
    prefix = tf.shape(action)[: action.shape.rank - self._spec.shape.rank]
    static = action.shape[: action.shape.rank - self._spec.shape.rank]
    if self.discrete:
      index = tf.cast(tf.reshape(action, prefix), tf.int32) - self.low
      inside = tf.one_hot(index, self.size)
    else:
      scaled = (tf.cast(action, tf.float32) - self.low) / self._range
      shape = tf.concat([prefix, [self.size]], 0)
      inside = tf.reshape(2.0 * scaled - 1.0, shape)
    return tf.ensure_shape(inside, static + [self.size])

  def decode(self, inside):
    """Float `[..., A]` to the environment's dtype and `[..., *shape]`."""
    shape = tf.concat([tf.shape(inside)[:-1], self._spec.shape.as_list()], 0)
    if self.discrete:
      index = tf.argmax(inside, -1, tf.int32) + self.low
      return tf.reshape(tf.cast(index, self._spec.dtype), shape)
    scaled = (tf.reshape(inside, shape) + 1.0) / 2.0
    return tf.cast(self.low + scaled * self._range, self._spec.dtype)


  def bijector(self):
    """Scaled box `[A]` to the environment's numbers, for continuous actions."""
    flat = lambda x: np.reshape(x, [self.size])
    chain = [
        tfb.Shift(flat(self.low)), tfb.Scale(flat(self._range) / 2.0),
        tfb.Shift(1.0),
    ]
    if self._spec.shape.rank != 1:
      chain.insert(0, tfb.Reshape(self._spec.shape, [self.size]))
    return tfb.Chain(chain)


def _single(action_spec):
  leaves = tf.nest.flatten(action_spec)
  if len(leaves) != 1 or leaves[0] is not action_spec:
    raise ValueError(
        'DreamerV2 wants a single action, one BoundedTensorSpec; got the nest '
        f'{action_spec}.'
    )
  if not hasattr(action_spec, 'minimum'):
    raise ValueError(
        f'The action needs bounds (a BoundedTensorSpec); got {action_spec}.'
    )
  return action_spec


def flat_observation(observation) -> dict[str, tf.Tensor]:
  """Names the parts of an observation, or of its specification.

  Args:
    observation: A tensor, or a nest of dicts and sequences of tensors (or of
      specs).

  Returns:
    Dict from the path, such as 'image' or 'arm/position', to the part, in
    the order of `tf.nest.flatten`. A bare tensor is called 'observation'.
  """
  if tf.is_tensor(observation) or isinstance(observation, tf.TypeSpec):
    return {'observation': observation}
  return {
      '/'.join(map(str, path)): part
      for path, part in tree.flatten_with_path(observation)
  }
