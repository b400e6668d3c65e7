"""Where a run's last evaluation began, in its checkpoint: to play it again."""

import json

import tensorflow as tf

from dreamerv2_tfa import checks
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import evaluation as evaluation_lib

NAME = 'evaluation_start'  # in checkpoints


class EvaluationStart(tf.Module):
  """The `evaluation.Start` of the last evaluation of a run, as variables.

  Attributes:
    steps: int64, agent steps at that evaluation; -1 before any.
    states: string, JSON: the numbers of each of `Start.variables`.
    environment: string, `Start.environment`; empty where there is none.
  """

  def __init__(self):
    super().__init__(name=NAME)
    with tf.device('/cpu:0'):
      self.steps = tf.Variable(
          tf.constant(-1, tf.int64), trainable=False)
      self.states, self.environment = (
          tf.Variable(tf.constant('', tf.string), trainable=False)
          for _ in range(2))

  def write(self, steps: int, start: evaluation_lib.Start) -> None:
    """Notes an evaluation.

    Args:
      steps: Agent steps of the run.
      start: Of that evaluation.
    """
    self.steps.assign(steps)
    self.states.assign(json.dumps([
        variable.numpy().tolist() for variable in start.variables]))
    self.environment.assign(start.environment or b'')


def read(
    checkpoint: str, evaluation: evaluation_lib.Evaluation,
) -> evaluation_lib.Start:
  """Where the evaluation began after which a checkpoint was saved.

  Args:
    checkpoint: Path, without endings.
    evaluation: That shall begin there.

  Raises:
    UserError: If the checkpoint is of another moment than the evaluation, or
      was saved by an earlier version, or the environment cannot be saved.
  """
  reader = tf.train.load_checkpoint(checkpoint)
  values = {
      name: reader.get_tensor(f'{NAME}/{name}/.ATTRIBUTES/VARIABLE_VALUE')
      for name in ('steps', 'states', 'environment')
      if any(key.startswith(f'{NAME}/{name}/')
             for key in reader.get_variable_to_shape_map())
  }
  saved = checkpoint_files.step(checkpoint)
  if not values or int(values['steps']) != saved:
    last = int(values['steps']) if values else -1
    raise checks.UserError(
        f'The checkpoint at {saved:,} steps is no evaluation\'s: '
        + (f'the last one was at {last:,} steps, with other weights'
           if last >= 0 else 'none had been played, or an earlier version '
           'saved it') + '. Give the one that was saved after an evaluation, '
        '--checkpoint=STEPS; or play other episodes, without --repeat_last.'
    )
  now = evaluation.capture()
  if (now.environment is None or not values['environment']) and (
      not evaluation.in_tensorflow):
    raise checks.UserError(
        'The state of this environment was not saved, so the last evaluation '
        'cannot be played again: catch, Atari, classic control and '
        'environments with get_state() can be saved. Play other episodes, '
        'without --repeat_last.'
    )
  return evaluation_lib.Start(
      [tf.constant(value, variable.dtype) for value, variable in zip(
          json.loads(values['states']), now.variables, strict=True)],
      values['environment'] or None,
  )
