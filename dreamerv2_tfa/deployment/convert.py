"""The greedy policy step for TensorFlow Lite and ONNX.

TensorFlow's random numbers convert to neither. So the latent is the mode of
its distribution and there is no action noise: the step is a function of what it
is given, and the agent with `eval_mode_latent` does the same. Its state is what
the next step reads: `deter`, `stoch` and `action`. What goes in as
`state_deter` comes out as `next_state_deter`, since ONNX wants every name once.
"""

import pathlib
import tempfile

import tensorflow as tf

from dreamerv2_tfa.deployment import manifest
from dreamerv2_tfa.deployment import model
from dreamerv2_tfa.deployment import names
from dreamerv2_tfa.environments import extras

_OPSET = 17  # of ONNX: what onnxruntime-web runs as well


class Step(model.Functions):
  """One step of all rows together, without random numbers."""

  exact = False

  def __init__(self, agent, policy, parts=None):
    """Takes an agent and the policy to act by.

    Args:
      agent: `DreamerV2Agent`.
      policy: `DreamerPolicy` of the agent's networks that draws nothing.
      parts: List of `observations.Part`, or None; see `model.Functions`.
    """
    super().__init__(agent, policy, parts)
    self.state_spec = {
        name: self.state_spec[name] for name in ('deter', 'stoch', 'action')
    }

  def flat(self, tensors):
    """The step from a dict of named tensors to another."""
    return self._flat(tensors, self.read)

  def flat_agent(self, tensors):
    """The same of what the agent reads."""
    return self._flat(tensors, lambda observation: observation)

  def _flat(self, tensors, read):
    inputs = names.observations(self.observation_spec)
    state = names.fields(tensors)
    unread = dict.fromkeys(self.latent_spec, state['stoch'])
    taken, state = self.act_together(
        read({key: tensors[name] for key, name in inputs.items()}),
        tensors[names.FIRST], {**unread, **state}, tf.constant([0, 0]),
    )
    kept = {name: state[name] for name in self.state_spec}
    return {'action': taken, **names.next_state(kept)}


def check_onnx():
  """Refuses where the packages for ONNX are missing.

  Raises:
    ValueError: If they are, with the line that mends it.
  """
  for module in ('onnxruntime', 'tf2onnx'):
    extras.load(module, 'onnx')


def write(agent, policy, form, folder, parts=None):
  """Writes `policy.tflite` or `policy.onnx`.

  Args:
    agent: `DreamerV2Agent`.
    policy: `DreamerPolicy` of the agent's networks that draws nothing.
    form: 'tflite' or 'onnx'.
    folder: Path of a folder.
    parts: List of `observations.Part`, or None; see `model.Functions`.

  Returns:
    Dict, what `policy.json` says of it.

  Raises:
    ValueError: If the policy cannot be converted.
  """
  step = Step(agent, policy, parts)
  convert = {'tflite': _tflite, 'onnx': _onnx}[form]
  path = pathlib.Path(folder) / f'policy.{form}'
  try:
    path.write_bytes(convert(step, policy.variables()))
  except Exception as error:  # the converters raise whatever they like
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    raise ValueError(
        f'This policy cannot be converted to {form}: {reason}. Wanted a step '
        'of what TensorFlow Lite and ONNX have; the mode of an actor with '
        "ActorCritic.actor_distribution = 'tanh_normal', which is found by "
        'sampling, is not. --format=saved_model takes every policy.'
    ) from error
  outputs = ('action', *names.next_state(step.state_spec))
  described = manifest.describe(step, outputs)
  if form == 'onnx':  # a file has one graph
    described['agent']['signature'] = None
  return described


def _tflite(step, variables):
  module = tf.Module()
  module.weights = variables
  concrete = lambda function, inputs: tf.function(
      lambda **tensors: function(tensors), autograph=False
  ).get_concrete_function(**inputs)
  signatures = {
      'action': concrete(step.flat, step.step_inputs()),
      'agent_action': concrete(
          step.flat_agent, step.step_inputs(step.observation_spec)
      ),
  }
  with tempfile.TemporaryDirectory() as folder:
    tf.saved_model.save(module, folder, signatures=signatures)
    return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def _onnx(step, unused_variables):
  import tf2onnx

  model_proto, _ = tf2onnx.convert.from_function(
      tf.function(step.flat, autograph=False),
      input_signature=[step.step_inputs()], opset=_OPSET,
  )
  return model_proto.SerializeToString()
