"""SavedModel: for TensorFlow; it acts as the agent does in every bit."""

import pathlib
from typing import Any

import numpy as np

FILES = (
    r'saved_model\.pb|fingerprint\.pb|'
    r'variables/variables\.(index|data-\d{5}-of-\d{5})'
)
EXACT = True
PRECISION = None
DRAWS = True
PACKAGES = (), None


def write(
    agent: Any, policy: Any, folder: pathlib.Path, parts: list[Any] | None,
) -> dict[str, Any]:
  """Writes the SavedModel; see `export.write`."""
  import tensorflow as tf

  from dreamerv2_tfa.deployment import manifest
  from dreamerv2_tfa.deployment import model

  module, signatures = model.saveable(agent, parts)
  tf.saved_model.save(module, str(folder), signatures=signatures)
  functions = model.Functions(agent, policy, parts)
  return manifest.describe(functions, signatures['action'].structured_outputs)


def check(folder: pathlib.Path) -> None:
  """Refuses a graph that does more than compute; see `operations`."""
  from dreamerv2_tfa.deployment import operations

  operations.check(folder / 'saved_model.pb')


def load(folder: pathlib.Path, signature: str, unused_zeros: Any) -> Any:
  """Functions from a count and a seed to states, and from inputs to outputs."""
  import tensorflow as tf

  model = tf.saved_model.load(str(folder))
  initial, action = (
      model.signatures['get_initial_state'], model.signatures[signature]
  )
  arrays = lambda tensors: {k: v.numpy() for k, v in tensors.items()}

  def start(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    return arrays(initial(
        batch_size=tf.constant(count, tf.int32),
        seed=tf.constant(seed, tf.int32),
    ))

  def step(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return arrays(action(**{k: tf.constant(v) for k, v in inputs.items()}))

  step.model = model  # which signatures do not keep alive
  return start, step
