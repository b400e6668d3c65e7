"""TensorFlow Lite: one file, for phones and other small machines."""

import pathlib
import tempfile
from typing import Any

FILE = 'policy.tflite'
FILES = r'policy\.tflite'
EXACT = False
PRECISION = '32'
DRAWS = False
PACKAGES = (), None


def write(
    agent: Any, policy: Any, folder: pathlib.Path, parts: list[Any] | None,
) -> dict[str, Any]:
  """Writes `policy.tflite`; see `export.write`."""
  import tensorflow as tf

  from dreamerv2_tfa.deployment import step as step_lib

  step = step_lib.Step(agent, policy, parts)
  module: Any = tf.Module()
  module.weights = policy.variables()
  concrete = lambda function, inputs: tf.function(
      lambda **tensors: function(tensors), autograph=False
  ).get_concrete_function(**inputs)
  signatures = {
      'action': concrete(step.flat, step.step_inputs()),
      'agent_action': concrete(
          step.flat_agent, step.step_inputs(step.observation_spec)
      ),
  }
  with tempfile.TemporaryDirectory() as aside:
    tf.saved_model.save(module, aside, signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(aside)
    (folder / FILE).write_bytes(converter.convert())
  return step.describe()


def check(folder: pathlib.Path) -> None:
  """Refuses operations that are not TensorFlow Lite's own.

  Its `Flex` ones are TensorFlow's, which read and write files.

  Raises:
    ValueError: If there is one: the reason alone.
  """
  from tensorflow.lite.python import schema_py_generated as schema

  model = schema.Model.GetRootAs((folder / FILE).read_bytes(), 0)
  for index in range(model.OperatorCodesLength()):
    code: Any = model.OperatorCodes(index)
    if code.CustomCode() is not None:
      raise ValueError(f'it runs the operation {code.CustomCode().decode()!r}')


def load(folder: pathlib.Path, signature: str, zeros: Any) -> Any:
  """Functions from a count and a seed to states, and from inputs to outputs."""
  import tensorflow as tf

  interpreter = tf.lite.Interpreter(str(folder / FILE))
  action = interpreter.get_signature_runner(signature)
  return zeros, lambda inputs: action(**inputs)
