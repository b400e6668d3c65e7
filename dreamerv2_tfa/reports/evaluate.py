"""Plays a run, one of its checkpoints, or an export: `bin/evaluate`."""

from collections.abc import Iterator
import contextlib
import functools
import pathlib
import tempfile
from typing import Any
from typing import NamedTuple

from tf_agents.environments import tf_environment
from tf_agents.environments import tf_py_environment
from tf_agents.policies import tf_policy

from dreamerv2_tfa import checks
from dreamerv2_tfa import quiet
from dreamerv2_tfa.behaviour import fused_policy
from dreamerv2_tfa.deployment import client
from dreamerv2_tfa.deployment import played as played_lib
from dreamerv2_tfa.deployment import run as run_lib
from dreamerv2_tfa.environments import batch
from dreamerv2_tfa.environments import faults
from dreamerv2_tfa.environments import parallel
from dreamerv2_tfa.environments import tasks
from dreamerv2_tfa.reports import bar as bar_lib
from dreamerv2_tfa.reports import episodes as episodes_lib
from dreamerv2_tfa.reports import film as film_lib
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import config
from dreamerv2_tfa.training import evaluation as evaluation_lib
from dreamerv2_tfa.training import evaluation_start
from dreamerv2_tfa.training import interrupt
from dreamerv2_tfa.training import parts
from dreamerv2_tfa.training import run_settings
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import surroundings

_EPISODES = 100
_MOST_STEPS = 27_000  # as train.eval_steps


class Options(NamedTuple):
  """What is played, and what is written of it. None: the default."""

  root_dir: str | None = None
  policy: str | None = None  # folder of an export, in place of a run
  trust: str | None = None  # of `load_policy`
  task: str | None = None
  checkpoint: str | None = None  # of `checkpoint_files.chosen`
  episodes: int | None = None
  environments: int | None = None
  seed: int | None = None
  sampled: bool = False
  repeat_last: bool = False
  presets: tuple[str, ...] = ()  # gin files, for the task of an export
  bindings: tuple[str, ...] = ()
  csv: str | None = None
  video: str | None = None
  video_episodes: int = 3


class _Stage(NamedTuple):
  """What plays, and where."""

  environment: tf_environment.TFEnvironment
  policy: tf_policy.TFPolicy
  described: dict[str, Any]
  seed: int  # of the environments
  episodes: int
  most_steps: int
  start: str | None  # checkpoint whose evaluation is played again


def evaluate(options: Options) -> tuple[episodes_lib.Played, int | None]:
  """Plays episodes; writes the CSV file and the video.

  Whatever ends it, the CSV file has the episodes that were played.

  Args:
    options: `Options`.

  Returns:
    The episodes, and the signal that has stopped it, or None.

  Raises:
    ValueError: If there is no such run, checkpoint or export, or options do not
      go together, or a file cannot be written; nothing was played then.
    EnvironmentFailed: If the environment's own code fails again and again.
  """
  options = _checked(options)
  csv, video = (
      None if path is None else _writable(f'--{name}', path, endings)
      for name, path, endings in (
          ('csv', options.csv, ()),
          ('video', options.video, film_lib.ENDINGS)))
  with (
      quiet.libraries(), surroundings.kept(), config.isolated(),
      faults.surfaced(), _stage(options) as stage,
      contextlib.ExitStack() as stack,
  ):
    film = None
    if video is not None:
      film = film_lib.Film(video, stage.environment, options.video_episodes)
      stack.callback(film.close)
    result = episodes_lib.Played(
        stage.described, _seeds(stage), [], stage.episodes)
    if csv is not None:
      stack.callback(lambda: episodes_lib.write(csv, result))
    evaluation = evaluation_lib.Evaluation(
        stage.environment, stage.policy, stage.episodes, stage.most_steps, film,
        in_python=isinstance(stage.policy, played_lib.ExportedPolicy))
    if stage.start is None:
      evaluation_lib.seed_draws(stage.policy, stage.seed)
    else:
      evaluation.restore(evaluation_start.read(stage.start, evaluation))
    return result, _play(evaluation, result)


def _play(evaluation, result):
  """Plays until the last episode or a signal, which is returned."""
  with bar_lib.Bar(result.wanted) as bar:
    tell = lambda text: bar.say(f'{text.partition(":")[0]}: stopping.')
    with interrupt.Interrupt(tell) as stop:
      evaluation.play(
          result.episodes, stop, lambda: bar.show(result.episodes))
      return stop.signal if len(result.episodes) < result.wanted else None


def _checked(options):
  """The options with their numbers checked, and those that go together."""
  if (options.root_dir is None) == (options.policy is None):
    raise checks.UserError(
        'What shall play? Give one: --root_dir=RUN, a run\'s folder; or '
        '--policy=DIR, a folder that bin/export wrote.')
  against = {'policy': ('checkpoint', 'sampled', 'repeat_last'),
             'repeat_last': ('episodes', 'environments', 'seed', 'sampled'),
             'root_dir': ('presets', 'bindings', 'trust')}
  flags = {'presets': 'gin_file', 'bindings': 'gin_bindings'}
  given = lambda name: getattr(options, name) not in (None, False, ())
  for one, others in against.items():
    for other in others:
      if given(one) and given(other):
        raise checks.UserError(
            f'--{one} and --{flags.get(other, other)} do not go together: '
            f'{_WHY[one]}. Leave one of them out.')
  number = lambda name, low=1, high=2**31 - 1: None if (
      getattr(options, name) is None) else checks.integer(
          f'--{name}', getattr(options, name), low, high)
  return options._replace(
      episodes=number('episodes'), environments=number('environments'),
      seed=number('seed', 0), video_episodes=number('video_episodes'))


_WHY = {
    'policy': 'an export is the greedy policy of one checkpoint',
    'repeat_last': 'it plays what the run has played',
    'root_dir': 'a run has its own settings',
}


def _writable(name, path, endings):
  """The path of a file that can be written, before anything is played."""
  file = pathlib.Path(path).expanduser()
  if endings and file.suffix.lower() not in endings:
    raise checks.UserError(
        f'{name} must end in {" or ".join(endings)}; got {path!r}.')
  try:
    if file.is_dir():
      raise IsADirectoryError(None, 'it is a folder')
    with tempfile.TemporaryFile(dir=file.parent):
      pass
    if file.exists():
      with file.open('ab'):
        pass
  except OSError as error:
    raise checks.UserError(
        f'{name} = {path!r} cannot be written ({error.strerror}). Give a file '
        'in a folder that exists and that you may write.') from error
  return file


@contextlib.contextmanager
def _stage(options) -> Iterator[_Stage]:
  """Loads what plays and makes the environments, which are closed after."""
  load = _of_run if options.policy is None else _of_export
  stage = load(options)
  try:
    yield stage
  finally:
    batch.close(stage.environment)


def _of_run(options):
  paths = runs.RunFolder(options.root_dir, '--root_dir')
  if options.repeat_last and paths.evaluations.is_dir():
    raise checks.UserError(
        'The evaluations of this run were played by an evaluator, a process of '
        'its own, and where they began is in no checkpoint: they cannot be '
        'played again. Play other episodes, without --repeat_last.')
  run = run_lib.load(
      options.root_dir, options.task, checkpoint=options.checkpoint,
      make=functools.partial(_environment, options))
  recorded = functools.partial(config.recorded_value, paths.config)
  episodes = options.episodes or _EPISODES
  if options.repeat_last:
    episodes = int(recorded('train.eval_episodes'))
  policy: Any = run.agent.policy
  policy = policy.sampled() if options.sampled else policy
  seed = _seed(options, run.seed)
  described = {
      'run': str(paths.root), 'task': options.task or run.described['task'],
      'checkpoint': checkpoint_files.step(run.checkpoint),
      'frames': run.described['frames'], 'updates': run.described['updates'],
      'actions': 'sampled' if options.sampled else 'greedy',
      'precision': run.described['precision'],
      **_how(options, seed),
  }
  return _Stage(
      run.environment, fused_policy.of(policy, run.agent.jit), described, seed,
      episodes, int(recorded('train.eval_steps', _MOST_STEPS)),
      run.checkpoint if options.repeat_last else None)


def _of_export(options):
  seed = _seed(options, 0)
  policy = client.load_policy(options.policy, seed, options.trust)
  manifest = policy.manifest
  name = options.task or manifest['task']
  if options.task is None and tasks.names_module(name):
    raise checks.UserError(
        f'The export has the task {name!r}, whose module would be imported and '
        f'run. If it is yours, or you trust it, give it: --task={name}.')
  known = [] if options.presets else list(manifest.get('presets', ()))
  run_settings.parse(
      None, [*known, *options.presets],
      [*options.bindings, f'train.task = {name!r}'])
  environment = _environment(options, tasks.load(name), 0)
  try:
    acting = played_lib.ExportedPolicy(policy, environment)
  except BaseException:
    batch.close(environment)
    raise
  described = {
      'policy': str(options.policy), 'task': name,
      'frames': manifest.get('frames'), 'updates': manifest.get('updates'),
      'actions': 'greedy', 'format': manifest['format'], **_how(options, seed)}
  return _Stage(
      environment, acting, described, seed, options.episodes or _EPISODES,
      int(config.value('train.eval_steps') or _MOST_STEPS), None)


def _environment(options, task, run_seed):
  """The environments: in processes of their own where nothing looks inside."""
  count = options.environments or 1
  seed = _seed(options, run_seed)
  if count == 1:
    return (task.make_evaluation or task.make)(seed)
  inside = options.video is not None or options.policy is not None
  return task.make(seed, count, not inside)


def _seed(options, run_seed):
  """Seed of the environments: of the run's evaluations where none is given."""
  if options.seed is not None:
    return options.seed
  return parts.evaluation_seed(run_seed)


def _how(options, seed):
  return {'seed': None if options.repeat_last else seed,
          'environments': options.environments or 1}


def _seeds(stage):
  """The seed of each environment; one in TensorFlow has one for all.

  The run's last evaluation is one of many in the same environment: None.
  """
  if stage.start is not None:
    return [None]
  count = stage.environment.batch_size or 1
  python = isinstance(stage.environment, tf_py_environment.TFPyEnvironment)
  if count == 1 or not python:
    return [stage.seed] * count
  return parallel.seeds_of(stage.seed, count)
