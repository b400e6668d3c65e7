"""How a TF-Agents observation and action look from inside the model.

Outside, an action is what the environment takes: an integer, several of them,
or a box of numbers with bounds. Inside it is a float32 vector `[A]`: one-hot
(of the combinations where there are several), or scaled to [-1, 1]. Outside,
an observation is any nest; inside it is a flat dict, and its keys have names of
their own in metrics and among tensors.
"""

import collections
from collections.abc import Iterable
import hashlib
import re
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tf_agents.specs import tensor_spec
import tree

tfb = tfp.bijectors

# Losses square the numbers of a row and sum them in float32, whose largest
# number is 3e38. One larger number or NaN would spoil the loss of every batch
# that contains its row, so such a row is neither taken, stored nor loaded.
LARGEST = 1e15
_MOST_COMBINATIONS = 4096  # of an action made of several choices
_SPACE = 'observation/'
# What metrics, losses and reports call something else by.
_TAKEN = frozenset((
    'kl', 'reward', 'discount', 'continue', 'model', 'actor', 'critic',
))
_TAKEN_STARTS = (_SPACE, 'eval_', 'expl_')


class Actions:
  """Moves actions between the environment and the model.

  Attributes:
    discrete: bool, whether an action is integers.
    several: bool, whether it is more than one of them.
    size: int A, choices of an integer, combinations of several, or numbers in
      a box.
    low: Smallest action: an int, or an array where there are more numbers.
  """

  def __init__(self, action_spec: Any):
    """Reads the specification.

    Args:
      action_spec: `BoundedTensorSpec` (or `BoundedArraySpec`): integers or
        floats of any shape with finite bounds.

    Raises:
      ValueError: If it is a nest of several, or unbounded, or integers with
        more than 4,096 combinations.
    """
    spec = _single(action_spec)
    self._spec = spec
    dtype = tf.as_dtype(spec.dtype)
    self.discrete = dtype.is_integer
    shape = list(spec.shape)
    self.several = self.discrete and shape not in ([], [1])
    if self.several:
      self._read_choices(spec)
    elif self.discrete:
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

  def _read_choices(self, spec):
    """Counts the combinations of several integers; the last changes first."""
    self.low, high = (
        np.broadcast_to(x, spec.shape).astype(np.int64)
        for x in (spec.minimum, spec.maximum)
    )
    counts = (high - self.low + 1).ravel()
    self.size = int(np.prod(counts.astype(object)))
    if not 0 < self.size <= _MOST_COMBINATIONS:
      raise ValueError(
          f'The action spec {spec} has {self.size:,} combinations; wanted at '
          f'most {_MOST_COMBINATIONS:,}. Offer fewer in the environment.'
      )
    digits = np.stack(np.unravel_index(np.arange(self.size), counts), -1)
    self._combinations = (
        digits.reshape(self.size, *spec.shape) + self.low
    ).astype(tf.as_dtype(spec.dtype).as_numpy_dtype)
    self._strides = np.array(
        [np.prod(counts[i + 1:]) for i in range(len(counts))], np.int32
    )

  def encode(self, action: Any) -> tf.Tensor:
    """Environment's action `[..., *shape]` to float32 `[..., A]`."""
    prefix = tf.shape(action)[: action.shape.rank - self._spec.shape.rank]
    static = action.shape[: action.shape.rank - self._spec.shape.rank]
    if self.several:
      digits = tf.cast(action, tf.int32) - self.low.astype(np.int32)  # pyright: ignore[reportAttributeAccessIssue]
      flat = tf.reshape(digits, tf.concat([prefix, [len(self._strides)]], 0))
      inside = tf.one_hot(tf.reduce_sum(flat * self._strides, -1), self.size)
    elif self.discrete:
      index = tf.cast(tf.reshape(action, prefix), tf.int32) - self.low
      inside = tf.one_hot(index, self.size)
    else:
      scaled = (tf.cast(action, tf.float32) - self.low) / self._range
      shape = tf.concat([prefix, [self.size]], 0)
      inside = tf.reshape(2.0 * scaled - 1.0, shape)
    return tf.ensure_shape(inside, static + [self.size])

  def decode(self, inside: tf.Tensor) -> tf.Tensor:
    """Float `[..., A]` to the environment's dtype and `[..., *shape]`."""
    shape = tf.concat(
        [tf.shape(inside)[:-1], np.array(self._spec.shape, np.int32)], 0
    )
    if self.several:
      return tf.gather(self._combinations, tf.argmax(inside, -1, tf.int32))
    if self.discrete:
      index = tf.argmax(inside, -1, tf.int32) + self.low
      return tf.reshape(tf.cast(index, self._spec.dtype), shape)
    scaled = (tf.reshape(inside, shape) + 1.0) / 2.0
    outside = tf.cast(self.low + scaled * self._range, self._spec.dtype)
    # Rounding leaves the bounds by the last bit.
    return tf.clip_by_value(outside, self._spec.minimum, self._spec.maximum)

  def bijector(self) -> Any:
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


def flat_observation(observation: Any) -> dict[str, Any]:
  """Names the parts of an observation, or of its specification.

  Args:
    observation: A tensor, or a nest of dicts and sequences of tensors (or of
      specs).

  Returns:
    Dict from the path, such as 'image' or 'arm/position', to the part, in
    the order of `tf.nest.flatten`. A bare tensor is called 'observation'.

  Raises:
    ValueError: If two parts have one path, as {'a/b': x, 'a': {'b': y}} do.
  """
  if tf.is_tensor(observation) or isinstance(observation, tf.TypeSpec):
    return {'observation': observation}
  flat = {}
  for path, part in tree.flatten_with_path(observation):
    key = '/'.join(map(str, path))
    if key in flat:
      raise ValueError(
          f'Two parts of the observation are called {key!r} once nested keys '
          "are joined by '/'; wanted one path each. Rename one in the "
          'environment.'
      )
    flat[key] = part
  return flat


def metric_name(key: str) -> str:
  """What an observation is called among losses, metrics and reports.

  Its key, but for keys that losses or metrics have for something else: those
  are written `observation/<key>`. No two keys have one name, and none has the
  name of anything else.

  Args:
    key: Such as 'image' or 'reward'.

  Returns:
    str, such as 'image' or 'observation/reward'.
  """
  taken = key in _TAKEN or key.startswith(_TAKEN_STARTS)
  return _SPACE + key if taken else key


def tensor_names(keys: Iterable[str]) -> dict[str, str]:
  """Names that tensors can have: letters of ASCII, digits and '_' alone.

  Args:
    keys: Keys of an observation; any different str.

  Returns:
    Dict from key to name, different even where case does not count: the key
    with '_' in place of all else. Where the key is not ASCII, or two keys have
    the same name, the start of the key's SHA-256 follows.
  """
  plain = {key: re.sub(r'[^A-Za-z0-9_]', '_', key) for key in keys}
  count = collections.Counter(name.lower() for name in plain.values())
  digest = lambda key: hashlib.sha256(key.encode()).hexdigest()
  for digits in (8, 16, 32, 64):  # more, where a key ends in such digits too
    names = {
        key: name if key.isascii() and count[name.lower()] == 1
        else f'{name}_{digest(key)[:digits]}' for key, name in plain.items()
    }
    if len({name.lower() for name in names.values()}) == len(names):
      break
  return names


def renamed(spec: Any, name: str) -> Any:
  """A `TensorSpec` under another name, with the bounds that it has."""
  bounds = {}
  if isinstance(spec, tensor_spec.BoundedTensorSpec):
    bounds = {'minimum': spec.minimum, 'maximum': spec.maximum}  # pyright: ignore[reportAttributeAccessIssue]
  return type(spec)(spec.shape, spec.dtype, name=name, **bounds)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]


def plain(bound: Any) -> Any:
  """A bound as plain data: one number where all are equal, else a nested list.

  Args:
    bound: What NumPy takes for an array.
  """
  array = np.asarray(bound)
  alike = array.size and (array == array.flat[0]).all()
  return array.flat[0].item() if alike else array.tolist()
