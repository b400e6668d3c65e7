"""What `make.py` wrote, and this package's agents set up to match it."""

import contextlib
import pathlib

import gin
import numpy as np
import tensorflow as tf
from tf_agents.specs import tensor_spec
from tf_agents.trajectories import time_step as ts
from tf_agents.trajectories import trajectory

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import noise as noise_lib
from dreamerv2_tfa import types
from dreamerv2_tfa.migration import weights
from dreamerv2_tfa.training import config

config.register()  # all of `train` too, which the presets bind

FOLDER = pathlib.Path(__file__).resolve().parent
PRESETS = FOLDER.parents[1] / 'gin'
B, T, H, A = 2, 5, 4, 6
SIZES = (
    'RSSM.deter = 8', 'RSSM.hidden = 7', 'RSSM.stoch = 3', 'RSSM.classes = 4',
    'Encoder.depth = 2', 'Decoder.depth = 2', 'MLP.layers = 2',
    'MLP.units = 9', f'ActorCritic.horizon = {H}',
)
IMAGE = {'image': tensor_spec.BoundedTensorSpec((64, 64, 1), tf.uint8, 0, 255)}
VECTORS = {'position': tf.TensorSpec([3], tf.float32),
           'speed': tf.TensorSpec([2], tf.float32)}
DISCRETE = tensor_spec.BoundedTensorSpec((), tf.int32, 0, A - 1)
BOX = tensor_spec.BoundedTensorSpec((A,), tf.float32, -1.0, 1.0)

FORWARD, GRADIENT = 1e-5, 1e-4  # relative tolerances


class Golden:
  """One file: `golden['loss']`, or `golden.group('weights')`."""

  def __init__(self, case):
    with np.load(FOLDER / f'{case}.npz', allow_pickle=False) as arrays:
      self._arrays = {key: arrays[key] for key in arrays.files}

  def __getitem__(self, name):
    return self._arrays[name]

  def group(self, prefix):
    """Arrays below a prefix, by the rest of their names."""
    prefix += '/'
    return {key[len(prefix):]: value for key, value in self._arrays.items()
            if key.startswith(prefix)}

  def series(self, prefix):
    """Arrays `prefix/0`, `prefix/1`, ..., in order."""
    found = self.group(prefix)
    return [found[str(i)] for i in range(len(found))]


class Feed:
  """Stands for `noise.uniform`: gives what the golden run was given."""

  def __init__(self):
    self._left = []

  def give(self, numbers):
    """Numbers to come, a list of arrays; none may be left from before."""
    assert not self._left, f'{len(self._left)} draws were never asked for'
    self._left = list(numbers)

  def __call__(self, shape, seed):
    """As many numbers as asked for: of one draw of theirs, or of several."""
    del seed
    size, given = int(np.prod(shape)), []
    while sum(map(np.size, given)) < size:
      given.append(self._left.pop(0))
    return tf.reshape(tf.concat([np.ravel(x) for x in given], 0), shape)


@contextlib.contextmanager
def fed(monkeypatch):
  """Runs eagerly, drawing from the `Feed` that it yields."""
  feed = Feed()
  monkeypatch.setattr(noise_lib, 'uniform', feed)
  tf.config.run_functions_eagerly(True)
  try:
    yield feed
    feed.give([])
  finally:
    tf.config.run_functions_eagerly(False)


def make_agent(golden, preset, *bindings, observation=None, action=DISCRETE):
  """An agent of a preset's settings, small, with the golden weights."""
  gin.clear_config()
  gin.add_config_file_search_path(str(PRESETS))
  gin.parse_config_files_and_bindings(
      [str(PRESETS / f'{preset}.gin')], [*SIZES, *bindings]
  )
  try:
    agent = agent_lib.DreamerV2Agent(
        ts.time_step_spec(observation or VECTORS), action
    )
  finally:
    gin.clear_config()
  load(agent, golden.group('weights'))
  return agent


def named(agent):
  """Weights by name, of an exploration behaviour too: see `make.py`."""
  found = weights.named(agent)
  if agent.exploration is not None:
    found.update({
        f'expl/{name}': variable for name, variable in
        weights.named_in(agent.exploration.actor_critic).items()
    })
    explorer = agent.exploration.explorer
    for i, head in enumerate(getattr(explorer, '_heads', None)
                             or [explorer._head]):
      prefix = f'expl/head{i}'
      found.update({
          f'{prefix}/{name.lstrip("/")}': variable for name, variable in
          ((n.replace('_mlp/', '').replace('_output/_dense', 'out')
            .replace('_hidden/', 'dense').replace('/_layer', ''), v)
           for n, v in weights.named_in(head).items())
      })
  return found


def load(agent, arrays):
  """Assigns weights by name; all of them."""
  variables = named(agent)
  assert set(variables) == set(arrays)
  for name, variable in variables.items():
    variable.assign(arrays[name])


def sequence(golden, prefix='data'):
  """The model's input of a golden batch."""
  data = golden.group(prefix)
  keys = sorted(set(data) & {*IMAGE, *VECTORS})
  return types.Sequence(
      observation={key: tf.constant(data[key]) for key in keys},
      prev_action=tf.constant(data['action']),
      reward=tf.constant(data['reward']),
      continue_=tf.constant(1.0 - data['is_terminal'].astype(np.float32)),
      is_first=tf.constant(data['is_first']),
  )


def experience(golden, action, prefix='data'):
  """A golden batch as the rows that would have been stored: `[B, T + 1]`."""
  data = golden.group(prefix)
  keys = sorted(set(data) & {*IMAGE, *VECTORS})
  earlier = lambda x: np.concatenate([x, x[:, -1:]], 1)
  later = lambda x: np.concatenate([x[:, :1], x], 1)
  # Only the middle of a sequence starts an episode here.
  first = data['is_first'].copy()
  first[:, 0] = False
  types_ = np.where(first, 0, np.where(data['is_last'], 2, 1)).astype(np.int32)
  actions = data['action']
  if action.dtype.is_integer:
    actions = np.argmax(actions, -1).astype(np.int32)
  return trajectory.Trajectory(
      step_type=tf.constant(later(types_)),
      observation={k: tf.constant(later(data[k])) for k in keys},
      action=tf.constant(earlier(actions)),
      policy_info=(),
      next_step_type=tf.constant(earlier(types_)),
      reward=tf.constant(earlier(data['reward'])),
      discount=tf.constant(
          1.0 - earlier(data['is_terminal']).astype(np.float32)
      ),
  )


def state(arrays):
  """An `RSSMState` of golden arrays."""
  arrays = {key: tf.constant(value) for key, value in arrays.items()}
  if 'logit' in arrays:
    return types.DiscreteState(
        arrays['deter'], arrays['stoch'], arrays['logit']
    )
  return types.GaussianState(
      arrays['deter'], arrays['stoch'], arrays['mean'], arrays['std']
  )


def assert_near(found, wanted, tolerance=FORWARD, name=''):
  """Equal within a tolerance relative to each number, and to the largest."""
  found, wanted = np.asarray(found), np.asarray(wanted)
  assert found.shape == wanted.shape, (name, found.shape, wanted.shape)
  scale = np.max(np.abs(wanted), initial=0.0)
  np.testing.assert_allclose(
      found, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=name
  )


def assert_state_near(found, wanted):
  """An `RSSMState` against golden arrays, as far as they are there."""
  names = {'logits': 'logit'}
  for field in found._fields:
    name = names.get(field, field)
    if name in wanted:
      assert_near(getattr(found, field), wanted[name], name=name)
