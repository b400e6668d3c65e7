"""ONNX: one file, for ONNX Runtime, in the browser too."""

import pathlib
from typing import Any

FILE = 'policy.onnx'
FILES = r'policy\.onnx'
EXACT = False
PRECISION = '32'
DRAWS = False
PACKAGES = ('onnxruntime', 'tf2onnx'), 'onnx'
_OPSET = 17  # what onnxruntime-web runs as well


def write(
    agent: Any, policy: Any, folder: pathlib.Path, parts: list[Any] | None,
) -> dict[str, Any]:
  """Writes `policy.onnx`; see `export.write`."""
  import tensorflow as tf
  import tf2onnx

  from dreamerv2_tfa.deployment import step as step_lib

  step = step_lib.Step(agent, policy, parts)
  proto, _ = tf2onnx.convert.from_function(
      tf.function(step.flat, autograph=False),
      input_signature=[step.step_inputs()], opset=_OPSET,
  )
  (folder / FILE).write_bytes(proto.SerializeToString())
  described = step.describe()
  described['agent']['signature'] = None  # a file has one graph
  return described


def check(unused_folder: pathlib.Path) -> None:
  """Refuses nothing: ONNX's operations compute.

  Weights may be in another file, where ONNX Runtime takes one of this folder
  alone; `FILES` names all that may be there.
  """


def load(folder: pathlib.Path, unused_signature: str, zeros: Any) -> Any:
  """Functions from a count and a seed to states, and from inputs to outputs."""
  import onnxruntime

  session = onnxruntime.InferenceSession(
      str(folder / FILE), providers=['CPUExecutionProvider']
  )
  outputs = [output.name for output in session.get_outputs()]
  return zeros, lambda inputs: dict(
      zip(outputs, session.run(outputs, inputs), strict=True)
  )
