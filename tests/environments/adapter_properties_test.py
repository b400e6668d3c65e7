"""Properties of the adapter over random spaces: nothing is bent."""

import json

import gymnasium
from gymnasium import spaces
import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf
from tf_agents.specs import tensor_spec

from dreamerv2_tfa import observations
from dreamerv2_tfa import specs
from dreamerv2_tfa.environments import custom

_EXAMPLES = hypothesis.settings(
    max_examples=500, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(hypothesis.HealthCheck))
_INTEGERS = ('int8', 'uint8', 'int16', 'uint16', 'int32', 'int64')
_draws = strategies.integers


@strategies.composite
def boxes(draw, shapes=(
    (), (1,), (3,), (2, 4), (20, 17), (3, 18, 24), (2, 3, 2)),
          dtypes=('float32', 'float64', 'bool', *_INTEGERS)):
  """Boxes of any dtype, with bounds of any kind."""
  dtype, shape = draw(strategies.sampled_from(dtypes)), draw(
      strategies.sampled_from(shapes))
  if dtype == 'bool':
    return spaces.Box(0, 1, shape, np.bool_)
  if dtype.startswith('float'):
    ends = [(-np.inf, np.inf), (0.0, np.inf), (-np.inf, 0.1), (0.1, 0.7),
            (-3.5, 8.25), (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (1e-3, 7e5)]
    low, high = draw(strategies.sampled_from(ends))
    return spaces.Box(low, high, shape, np.dtype(dtype))
  limits = np.iinfo(dtype)
  low = draw(_draws(max(limits.min, -9), 5))
  high = draw(_draws(low + 1, low + 12))
  if draw(strategies.booleans()):
    low, high = (0, 255) if limits.max >= 255 and draw(
        strategies.booleans()) else (low, min(high + 60, limits.max))
  return spaces.Box(low, high, shape, np.dtype(dtype))


choices = strategies.one_of(
    strategies.builds(
        lambda n, start: spaces.Discrete(n, start=start), _draws(2, 9),
        _draws(-5, 5)),
    strategies.builds(
        spaces.MultiDiscrete, strategies.lists(_draws(2, 5), min_size=1,
                                               max_size=3)),
    strategies.builds(spaces.MultiBinary, _draws(1, 4)))
leaves = strategies.one_of(boxes(), choices)
nests = strategies.recursive(
    leaves, lambda inner: strategies.one_of(
        strategies.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
        strategies.dictionaries(
            strategies.sampled_from('pqrst'), inner, min_size=1,
            max_size=3).map(spaces.Dict)), max_leaves=5)


class Shows(gymnasium.Env):
  """Shows one value, whatever is played; `played` is the last action."""

  def __init__(self, observation, action, shown):
    self.observation_space = observation or spaces.Discrete(2)
    self.action_space = action or spaces.Discrete(2)
    self._shown, self.played = shown, None

  def reset(self, *, seed=None, options=None):
    return self._shown, {}

  def step(self, action):
    self.played = action
    return self._shown, 1.0, False, False, {}


def adapted(observation=None, action=None, shown=None):
  """The adapter of an environment with these spaces that shows one value."""
  return custom.as_environment(Shows(observation, action, shown))


def leaves_of(space):
  """Paths and spaces of the leaves."""
  if isinstance(space, spaces.Dict):
    parts = space.spaces.items()
  elif isinstance(space, spaces.Tuple):
    parts = enumerate(space.spaces)
  else:
    return [((), space)]
  return [((key, *path), leaf)
          for key, part in parts for path, leaf in leaves_of(part)]


def picked(value, path):
  for step in path:
    value = value[step]
  return value


# Observations -----------------------------------------------------------------


@_EXAMPLES
@hypothesis.given(space=nests, seed=_draws(0, 2**16))
def test_what_is_in_the_space_is_read_exactly(space, seed):
  space.seed(seed)
  shown = space.sample()
  env = adapted(space, shown=shown)
  read = env.reset().observation
  assert {part.path for part in env.parts} == {
      path for path, _ in leaves_of(space)}
  for part in env.parts:
    assert part.spec.check_array(read[part.key]), (part, read[part.key])
    original = np.asarray(picked(shown, part.path))
    if part.kind == observations.PICTURE:
      continue  # resized; see gym_test
    np.testing.assert_array_equal(
        back(part, read[part.key]), original.astype(
            np.float32 if original.dtype.kind == 'f' else np.int64))


def back(part, read):
  """What was shown, by another road than `Part.read`."""
  if part.kind == observations.ONE_HOT:
    low = np.broadcast_to(part.low, part.shape).ravel()
    counts = np.broadcast_to(part.high, part.shape).ravel() - low + 1
    each = np.split(read, np.cumsum(counts)[:-1])
    assert all(sorted(one)[-2:] == [0, 1] for one in each)
    return np.reshape(
        [one.argmax() for one in each] + low, part.shape).astype(np.int64)
  read = read.reshape(part.shape)
  if part.kind == observations.SCALED:
    low, high = np.float64(part.low), np.float64(part.high)
    read = np.rint(read.astype(np.float64) * (high - low) + low)
  floats = part.dtype.startswith('float')
  return read.astype(np.float32 if floats else np.int64)


@_EXAMPLES
@hypothesis.given(space=nests, seed=_draws(0, 2**16))
def test_tensorflow_reads_what_numpy_reads_in_every_bit(space, seed):
  space.seed(seed)
  shown = [space.sample() for _ in range(2)]
  for part in adapted(space, shown=shown[0]).parts:
    part = observations.from_json(json.loads(json.dumps(part.to_json())))
    rows = np.stack([part.prepare(picked(one, part.path)) for one in shown])
    shape, dtype = part.given()
    assert rows.shape == (2, *shape) and rows.dtype == dtype
    by_tensorflow = part.read_tensor(tf.constant(rows)).numpy()
    by_numpy = np.stack([part.read(row) for row in rows])
    assert by_tensorflow.dtype == by_numpy.dtype == part.spec.dtype
    assert by_tensorflow.tobytes() == by_numpy.tobytes(), part


def outside(value, space, how):
  """A value that is not in a leaf's space, or None where there is no such."""
  value = np.array(value)
  bounded = isinstance(space, spaces.Box) and space.dtype != np.bool_
  if how == 'shape':
    return np.zeros((*value.shape, 2), value.dtype)
  if how == 'text':
    return 'north'
  if how == 'nothing':
    return None
  if how == 'not finite':
    return np.full(value.shape, np.nan)
  if how == 'fractions' and value.dtype.kind in 'iu':
    return np.full(value.shape, 0.5)
  if how == 'above':
    high = np.max(space.high) if bounded else {
        spaces.MultiBinary: 1, spaces.Box: np.inf}.get(type(space))
    high = np.max(getattr(space, 'start', 0) + (
        space.n if isinstance(space, spaces.Discrete) else space.nvec)
    ) if high is None else high
    whole = value.dtype.kind in 'iu'
    return None if np.isinf(high) else np.full(
        value.shape, high + 1, np.int64 if whole else np.float64)
  return None


_FAULTS = ('shape', 'text', 'nothing', 'not finite', 'fractions', 'above')


@_EXAMPLES
@hypothesis.given(
    space=leaves, seed=_draws(0, 2**16), how=strategies.sampled_from(_FAULTS))
def test_what_is_outside_of_the_space_is_refused_by_its_name(space, seed, how):
  space.seed(seed)
  wrong = outside(space.sample(), space, how)
  hypothesis.assume(wrong is not None or how == 'nothing')
  env = adapted(spaces.Dict(sense=space), shown={'sense': wrong})
  with pytest.raises(ValueError, match="'sense' is not in its space: got"):
    env.reset()


def test_a_part_that_is_missing_is_refused_by_its_name():
  space = spaces.Dict(here=spaces.Discrete(2), gone=spaces.Discrete(2))
  with pytest.raises(ValueError, match="'gone' is missing: got .*'here'"):
    adapted(space, shown={'here': 1}).reset()


# Actions ----------------------------------------------------------------------


@_EXAMPLES
@hypothesis.given(
    space=strategies.one_of(choices, boxes(
        shapes=((), (1,), (3,), (2, 2)), dtypes=('float32', 'float64'))),
    seed=_draws(0, 2**16))
def test_every_action_of_the_spec_is_in_the_space_and_comes_back(space, seed):
  env = adapted(spaces.Discrete(2), space, 0)
  env.reset()
  spec = tensor_spec.from_spec(env.action_spec())
  actions = specs.Actions(spec)
  rng = np.random.default_rng(seed)
  if actions.discrete:
    inside = np.eye(actions.size)[rng.integers(actions.size, size=4)]
  else:
    inside = rng.choice([-1, 1, rng.uniform(-1, 1)], [4, actions.size])
  inside = tf.constant(inside, tf.float32)
  decoded = actions.decode(inside)
  np.testing.assert_allclose(actions.encode(decoded), inside, atol=2e-5)
  if actions.discrete:
    np.testing.assert_array_equal(actions.encode(decoded), inside)
  for action in decoded.numpy():
    env.step(action)
    played = env.raw.gym.played
    assert space.contains(played), (space, action, played)
    np.testing.assert_array_equal(np.asarray(played, action.dtype), action)
