"""The published package's weights: by meaning, and in the order of its file.

A name says the part and the layer, in the published package's own words:
`rssm/img_in/kernel`, `rssm/gru/kernel`, `encoder/conv0/bias`,
`decoder/convin/kernel`, `reward/dense0/kernel`, `actor/out/bias`,
`slow_critic/out/kernel`. Kernels are laid out alike in both packages.
"""

from collections.abc import Sequence
import io
import pathlib
import pickle
import re
from typing import Any

import numpy as np
import tensorflow as tf

from dreamerv2_tfa import agent as agent_lib
from dreamerv2_tfa import reading
from dreamerv2_tfa import specs
from dreamerv2_tfa.migration import order as order_lib

# From a variable's path in this package to its name, applied in this order.
_RENAMED = (
    (r'^_(encoder|decoder)/_convolutions/(\d+)/_layer', r'\1/conv\2'),
    (r'^_(encoder|decoder)/_convolutions/(\d+)/_norm', r'\1/convnorm\2'),
    (r'^_(encoder|decoder)/_mlp/_hidden/(\d+)/_norm', r'\1/densenorm\2'),
    (r'^_(encoder|decoder)/_mlp', r'\1'),
    (r'^_decoder/_start', 'decoder/convin'),
    (r'^_decoder/_vectors/(.+)/_dense', r'decoder/dense_\1'),
    (r'^_reward_head', 'reward'),
    (r'^_continue_head', 'discount'),
    (r'^rssm/_cell/_gates', 'rssm/gru'),
    (r'^rssm/_cell/_norm', 'rssm/gru/norm'),
    (r'^rssm/_input/_layer', 'rssm/img_in'),
    (r'^rssm/_input/_norm', 'rssm/img_in_norm'),
    (r'^rssm/_priors/(\d+)/_hidden/_layer', r'rssm/img_out_\1'),
    (r'^rssm/_priors/(\d+)/_hidden/_norm', r'rssm/img_out_norm_\1'),
    (r'^rssm/_priors/(\d+)/_out', r'rssm/img_dist_\1'),
    (r'^rssm/_posterior/_hidden/_layer', 'rssm/obs_out'),
    (r'^rssm/_posterior/_hidden/_norm', 'rssm/obs_out_norm'),
    (r'^rssm/_posterior/_out', 'rssm/obs_dist'),
    (r'/_mlp/', '/'),
    (r'/_hidden/(\d+)/_layer', r'/dense\1'),
    (r'/_hidden/(\d+)/_norm', r'/norm\1'),
    (r'/_output/_dense', '/out'),
    (r'/_scale/_dense', '/std'),
)
_WEIGHTS = ('kernel', 'bias', 'gamma', 'beta')  # of a layer, in file order
# Parts in the order of the file: its modules come sorted by attribute.
_BEHAVIOUR = ('slow_critic', 'actor', 'critic')
_MODEL = ('encoder', 'decoder', 'discount', 'reward', 'rssm')


def named(agent: agent_lib.DreamerV2Agent) -> dict[str, tf.Variable]:
  """The weights of an agent's world model and task behaviour.

  Args:
    agent: `DreamerV2Agent`.

  Returns:
    Dict from the published package's name to float32 `tf.Variable`.
  """
  variables = {}
  for module in (agent.world_model, agent.actor_critic):
    variables.update(named_in(module))
  # The last transposed convolution, which makes the image.
  hidden = sum(bool(re.fullmatch(r'decoder/conv\d+/bias', name))
               for name in variables)
  for weight in _WEIGHTS:
    variable = variables.pop(f'_decoder/_image/{weight}', None)
    if variable is not None:
      variables[f'decoder/conv{hidden}/{weight}'] = variable
  return variables


def named_in(module: Any) -> dict[str, tf.Variable]:
  """The weights of one module by name: dict to `tf.Variable`."""
  found = module._flatten(
      predicate=lambda x: isinstance(x, tf.Variable), with_path=True
  )
  return {
      _name('/'.join(map(str, path))): variable
      for path, variable in found if path[-1] in _WEIGHTS
  }


def _name(path):
  for pattern, replacement in _RENAMED:
    path = re.sub(pattern, replacement, path)
  return path


def file_order(
    agent: agent_lib.DreamerV2Agent,
) -> list[tuple[str, tf.Variable | None]]:
  """The variables that the published package's `variables.pkl` holds.

  Args:
    agent: `DreamerV2Agent`.

  Returns:
    List of pairs (name, `tf.Variable`) in the order of the file. Beside the
    weights these are 'step' (None: agent steps, which a run counts itself),
    'updates' and 'reward_magnitude' of the task behaviour.
  """
  weights = named(agent)
  behaviour = agent.actor_critic
  order = [('step', None), ('updates', behaviour.updates)]
  order += _in_parts(weights, _BEHAVIOUR)
  order.append(('reward_magnitude', behaviour.reward_magnitude))
  return order + _in_parts(weights, _MODEL)


def _in_parts(weights, parts):
  def key(name):
    _, layer = name.split('/', 1)
    layer, weight = layer.rsplit('/', 1)
    # The cell comes before the other layers of the RSSM. The rest is sorted by
    # name, in which the key of an observation may have any character.
    return not layer.startswith('gru'), layer, _WEIGHTS.index(weight)

  return [
      (name, weights[name]) for part in parts
      for name in sorted(
          (n for n in weights if n.startswith(f'{part}/')), key=key
      )
  ]


def joined(
    agent: agent_lib.DreamerV2Agent,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
  """Keys that are joined on one axis, in this package's order.

  Args:
    agent: `DreamerV2Agent`.

  Returns:
    Tuples of str: images of the encoder, its vectors, images of the decoder.
  """
  model = agent.world_model
  parts = specs.flat_observation(agent.time_step_spec.observation)
  decoded = tuple(k for k in model.decoded_keys if parts[k].shape.rank == 3)
  return *model.encoded_keys, decoded


def _in_own_order(agent, arrays, keys):
  """Arrays by name, of the published order of keys to this package's.

    encoder/conv0/kernel     [height, width, channels, depth]
    encoder/dense0/kernel    [numbers, units]
    decoder/conv<last>       [height, width, channels, depth], and bias
  """
  parts = specs.flat_observation(agent.time_step_spec.observation)
  size = lambda key: int(np.prod(parts[key].shape[-1:], dtype=np.int64))
  images, vectors, decoded = joined(agent)
  biases = [x for x in arrays if re.fullmatch(r'decoder/conv\d+/bias', x)]
  last = f'decoder/conv{len(biases) - 1}'
  axes = [('encoder/conv0/kernel', images, 2),
          ('encoder/dense0/kernel', vectors, 0)]
  if decoded:
    axes += [(f'{last}/kernel', decoded, 2), (f'{last}/bias', decoded, 0)]
  for name, group, axis in axes:
    if group:
      places = order_lib.places(group, {k: size(k) for k in group}, keys)
      arrays[name] = np.take(arrays[name], places, axis)
  return arrays


def load(
    agent: agent_lib.DreamerV2Agent, path: pathlib.Path,
    keys: Sequence[str] | None = None,
) -> dict[str, int]:
  """Puts the weights of the published package's `variables.pkl` into an agent.

  The file holds no optimizer state (the published package never saved any), so
  Adam starts from zero.

  Args:
    agent: Of the sizes that the file was trained with.
    path: `variables.pkl`.
    keys: Keys of the observation in the order of the published package's
      environment, in which it joined them. None: as in this package.

  Returns:
    Dict of what else the file says: 'step', agent steps taken, and 'updates'.

  Raises:
    ValueError: If the file is not such a pickle, or does not fit the agent;
      the agent is unchanged then.
  """
  arrays = read(path)
  order = file_order(agent)
  if len(arrays) != len(order):
    raise ValueError(
        f'{path} holds {len(arrays)} arrays; this agent wants {len(order)}. '
        'Take the preset it was trained with: number of layers, norms, '
        'continue head, observation keys. Files of runs with an exploration '
        'behaviour other than greedy cannot be read.'
    )
  for (name, variable), array in zip(order, arrays, strict=True):
    shape = () if variable is None else tuple(variable.shape)
    if array.shape != shape:
      raise ValueError(
          f'{path}: {name} has shape {list(array.shape)}; this agent wants '
          f'{list(shape)}. Take the sizes that it was trained with.'
      )
    if not np.isfinite(array).all():
      raise ValueError(f'{path}: {name} is not finite; take another file.')
  named_arrays = {name: x for (name, _), x in zip(order, arrays, strict=True)}
  if keys is not None:
    named_arrays = _in_own_order(agent, named_arrays, keys)
  for name, variable in order:
    if variable is not None:
      variable.assign(tf.cast(named_arrays[name], variable.dtype))
  return {'step': int(arrays[0]), 'updates': int(arrays[1])}


def _reconstruct(unused_kind, shape, unused_code):
  """An array without content, as NumPy makes it before it knows its form."""
  if shape != (0,):
    raise pickle.UnpicklingError(f'it makes an array of the shape {shape}')
  return np.empty(shape, np.int8)


class _Unpickler(pickle._Unpickler):  # pyright: ignore[reportAttributeAccessIssue]
  """Admits NumPy arrays and scalars, and nothing that can run code.

  It is the one written in Python: that in C allocates what five bytes claim.
  """

  _ADMITTED = {
      (f'numpy.{core}.multiarray', name): made
      for core in ('core', '_core') for name, made in (
          ('_reconstruct', _reconstruct),
          ('scalar', np.float32(0).__reduce__()[0]))
  } | {('numpy', 'ndarray'): 'ndarray', ('numpy', 'dtype'): np.dtype}

  def find_class(self, module, name):
    if (module, name) not in self._ADMITTED:
      raise pickle.UnpicklingError(f'it names {module}.{name}')
    return self._ADMITTED[module, name]


def read(path: pathlib.Path) -> Any:
  """Reads the arrays of a `variables.pkl`: list of numpy arrays of numbers.

  Raises:
    ValueError: If it is anything but a sequence of such arrays.
  """
  path = pathlib.Path(path)
  try:
    arrays = _Unpickler(io.BytesIO(reading.data(path, reading.LARGE))).load()
  except OSError:
    raise
  except Exception as error:  # whatever a damaged pickle makes numpy raise
    raise ValueError(
        f'{path} is no variables.pkl of the published package, a pickle of '
        'numpy arrays and nothing else: '
        f'{str(error).rstrip(".") or type(error).__name__}.'
    ) from error
  plain = isinstance(arrays, list | tuple) and all(
      isinstance(x, np.ndarray | np.number) and x.dtype.kind in 'fiu'
      for x in arrays
  )
  if not plain:
    raise ValueError(
        f'{path} is no variables.pkl of the published package: wanted a '
        'sequence of numpy arrays of numbers.'
    )
  return [np.asarray(x) for x in arrays]
