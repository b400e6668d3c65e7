"""A run's folder: who may write there, and what the run was."""

import importlib.metadata
import json
import pathlib
import platform
import re
import tempfile

import gin
import tensorflow as tf

from dreamerv2_tfa import specs

_PACKAGES = (
    'tf-agents', 'tensorflow-probability', 'keras', 'gin-config',
    'numpy', 'ale-py', 'atari-py', 'gym', 'gymnasium', 'dm_control', 'mujoco',
    'crafter', 'gym-minigrid',
)


def check_writable(root_dir):
  """Refuses a folder that cannot be made or written; leaves nothing.

  Args:
    root_dir: Path of the run's folder, which need not exist.

  Raises:
    ValueError: If nothing can be written there.
  """
  path = pathlib.Path(root_dir).expanduser().absolute()
  nearest = path
  try:
    while not nearest.exists():
      nearest = nearest.parent
    with tempfile.TemporaryFile(dir=nearest):
      pass
  except OSError as error:
    raise ValueError(
        f'The root directory {path} cannot be written ({error.strerror}: '
        f'{nearest}). Give another with --root_dir=DIR.'
    ) from error


def check_task(root_dir, task):
  """Refuses a folder that holds a run of another task.

  Args:
    root_dir: Path of the run's folder, which need not exist.
    task: Name of the task.

  Raises:
    ValueError: If it does.
  """
  path = pathlib.Path(root_dir) / 'protocol.json'
  if not path.exists():
    return
  there = json.loads(path.read_text(encoding='utf-8'))['task']
  if there != task:
    raise ValueError(
        f'The folder {root_dir} holds a run of the task {there}; got {task}. '
        'Take another --root_dir.'
    )


def saved_steps(root_dir):
  """Agent steps at the folder's last checkpoint: int, 0 without one."""
  latest = tf.train.latest_checkpoint(pathlib.Path(root_dir) / 'checkpoints')
  return int(latest.rpartition('-')[2]) if latest else 0


def describe(parts, plan, batch_size, sequence_length):
  """Lines that say what a run is: task, specs, sizes, schedule.

  Args:
    parts: `Parts`.
    plan: `Schedule`.
    batch_size: int B.
    sequence_length: int T.

  Returns:
    str.
  """
  agent = parts.agent
  repeat, rows = parts.task.action_repeat, parts.environment.batch_size
  observation = specs.flat_observation(agent.time_step_spec.observation)
  action = agent.action_spec
  counts = parameter_counts(agent)
  lines = [
      f'Task {parts.task.name}: {repeat} environment frames an agent step'
      + (f', {rows} environments side by side.' if rows > 1 else '.'),
      *(f'Observation {name}: {spec.dtype.name} {spec.shape.as_list()}.'
        for name, spec in observation.items()),
      f'Action: {action.dtype.name} {action.shape.as_list()} from '
      f'{action.minimum.min()} to {action.maximum.max()}.',
      f'Parameters: world model {counts["world_model"]:,}, actor '
      f'{counts["actor"]:,}, critic {counts["critic"]:,}; {parts.precision}.',
      f'Schedule: {plan.steps:,} agent steps ({plan.steps * repeat:,} frames): '
      f'{plan.prefill:,} random, then {1 + plan.pretrain} updates, then one '
      f'every {plan.steps_per_update}; {plan.updates_due(plan.steps):,} in '
      f'all, of {batch_size} x {sequence_length}. Agent steps between reports '
      f'{plan.log_every:,}, saves {plan.save_every:,}, evaluations '
      f'{plan.eval_every:,}.',
  ]
  return '\n'.join(lines)


def parameter_counts(agent):
  """Trainable numbers of world model, actor and critic: dict of ints."""
  count = lambda module: sum(
      int(tf.size(variable)) for variable in module.trainable_variables
  )
  return {
      'world_model': count(agent.world_model),
      'actor': count(agent.actor_critic.actor),
      'critic': count(agent.actor_critic.critic),
  }


def unused_bindings():
  """Names of gin bindings that nothing has read so far: sorted list of str."""
  names = lambda text: {
      match.group(1) for match in re.finditer(r'^(\S+) = ', text, re.M)
  }
  bound = names(gin.config_str())

  def binding(name):
    """The binding that a value was read from: of the innermost scope."""
    *scope, selector = name.split('/')
    tries = ['/'.join([*scope[:i], selector]) for i in range(len(scope) + 1)]
    return next((each for each in reversed(tries) if each in bound), None)

  return sorted(bound - {
      binding(name) for name in names(gin.operative_config_str())
  })


def warn_unused():
  """Prints the bindings that nothing has read, which may be a mistake."""
  if unused := unused_bindings():
    print(f'Note: nothing here reads the bindings {", ".join(unused)}.')


def record(root_dir, parts, *, presets, seed):
  """Writes `operative_config.gin` and `protocol.json`.

  Args:
    root_dir: Path of the run's folder; made if it does not exist.
    parts: `Parts` of the run.
    presets: Names of the gin files.
    seed: int.
  """
  root_dir = pathlib.Path(root_dir)
  root_dir.mkdir(parents=True, exist_ok=True)
  config = gin.operative_config_str()
  (root_dir / 'operative_config.gin').write_text(config, encoding='utf-8')
  protocol = {
      'presets': list(presets),
      'task': parts.task.name,
      'action_repeat': parts.task.action_repeat,
      'seed': seed,
      'precision': parts.precision,
      'devices': [d.name for d in tf.config.list_logical_devices()],
      'parameters': parameter_counts(parts.agent),
      'python': platform.python_version(),
      'versions': {
          'tensorflow': tf.__version__,
          **{name: _version(name) for name in _PACKAGES},
      },
  }
  text = json.dumps(protocol, indent=2) + '\n'
  (root_dir / 'protocol.json').write_text(text, encoding='utf-8')


def _version(package):
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
