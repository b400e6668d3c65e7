"""`bin/train`: trains DreamerV2, or resumes the run in its folder."""

import sys

from absl import flags

from dreamerv2_tfa import checks
from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib
from dreamerv2_tfa.commands import listing

configuration.define(
    'root_dir', 'gin_file', 'gin_bindings', 'task', 'precision', 'seed',
    'steps', 'environments', 'list_tasks', 'list_presets'
)
_DRY_RUN = flags.DEFINE_bool(
    'dry_run', False, 'Build everything, print what it is, write nothing.'
)
_SHOW_CONFIG = flags.DEFINE_bool(
    'show_config', False, 'Print every setting after files and bindings, as '
    'gin reads it; those of the command line, and those that differ from '
    'gin/defaults.gin, are marked.'
)
_REPLAY_CRASH = flags.DEFINE_bool(
    'replay_crash', False, 'Run the update again that was not finite and ended '
    'the run in --root_dir, and name the first operation that is not finite.'
)
_ROLES = ['replay', 'learner', 'collector', 'evaluator', 'all']
_ROLE = flags.DEFINE_enum(
    'role', None, _ROLES,
    'Be one process of a run in several (docs/distributed.md), or start all on '
    'this machine.'
)
_REPLAY_ADDRESS = flags.DEFINE_string(
    'replay_address', None, 'HOST:PORT of the replay server. With a HOST other '
    'than loopback it can be reached from other machines: see SECURITY.md.'
)
_NUM_COLLECTORS = configuration.number(
    'num_collectors', 1, 'Collectors that --role=all starts.')
_MAX_RESTARTS = configuration.number(
    'max_restarts', 10, 'How often --role=all starts a role again that ends.')
_COLLECTOR = configuration.number(
    'collector', None, 'Number of a collector, which moves its seed; without: '
    'by chance.')
_REPLICAS = configuration.number(
    'replicas', None, 'Devices of a learner, which share each batch; without: '
    'one.')
PAGE = help_lib.Page(
    'train', 'Trains DreamerV2 on a task, or resumes the run in --root_dir.',
    '[TASK] [--flag=VALUE ...]',
    {
        'What to learn': [
            ('TASK', 'The same as --task.'), 'task=TASK', 'steps=N'],
        'Where': ['root_dir=DIR'],
        'How': [
            'gin_file=FILE', "gin_bindings='NAME = VALUE'", 'environments=N',
            'precision=PRECISION', 'seed=N'],
        'In several processes': [
            'role=ROLE', 'replay_address=HOST:PORT', 'num_collectors=N',
            'max_restarts=N', 'collector=N', 'replicas=N'],
        'Look, do not train': [
            'dry_run', 'show_config', 'replay_crash',
            'list_tasks[=PREFIX]', 'list_presets',
            help_lib.VERSION, help_lib.HELP],
    },
    [
        ('', 'Catch, the embedded game: a few minutes on two cores.'),
        ('atari_pong --root_dir=runs/pong',
         'Pong; the same command again resumes it.'),
        ("dmc_walker_walk --steps=2e5 --gin_bindings='train.batch_size = 32'",
         'Walker from pixels, with one setting changed.'),
    ],
)


def run(argv: list[str]) -> None:
  """Parses gin and calls `train`, or prints what a flag asks for."""
  if listing.shown(argv):
    return
  arguments.task(argv, PAGE)
  root_dir = configuration.root_dir()
  _check_role()
  if _ROLE.value == 'all' and not _looks():
    sys.exit(_all(root_dir))
  # After the flags: slow to import.
  from dreamerv2_tfa.reports import report
  from dreamerv2_tfa.training import crash
  from dreamerv2_tfa.training import train

  if _REPLAY_CRASH.value:
    help_lib.say('\n'.join(crash.replay(root_dir)))
    return
  presets = configuration.parse(root_dir)
  if _SHOW_CONFIG.value:
    help_lib.say('\n'.join(listing.settings(presets)))
    return
  if _DRY_RUN.value:
    train.describe(root_dir, presets=presets)
  elif _ROLE.value:
    _exit(_role(_ROLE.value, root_dir, presets))
  else:
    _exit(train.train(
        root_dir, presets=presets, callbacks=[report.write_after]))


def _looks():
  """Whether a flag asks to look alone, and not to train."""
  return _DRY_RUN.value or _SHOW_CONFIG.value or _REPLAY_CRASH.value


def _check_role():
  """Refuses flags that the role does not read."""
  read_by = (
      (_REPLAY_ADDRESS, _ROLES), (_NUM_COLLECTORS, ['all']),
      (_MAX_RESTARTS, ['all']), (_COLLECTOR, ['collector']),
      (_REPLICAS, ['learner', 'all']))
  given = {f'--{holder.name}': roles for holder, roles in read_by
           if holder.present}
  if given and not _ROLE.value:
    raise checks.UserError(
        f'Got {", ".join(given)} without a role. Add --role=all, or the role '
        f'of this process: {", ".join(_ROLES[:-2])} or {_ROLES[-2]}.')
  for name, roles in given.items():
    if _ROLE.value not in roles:
      raise checks.UserError(
          f'--role={_ROLE.value} does not read {name}, which is of '
          f'--role={" and --role=".join(roles)}. Leave it out.')


def _role(role, root_dir, presets):
  """Is one process of a distributed run."""
  from dreamerv2_tfa.distributed import roles
  from dreamerv2_tfa.reports import report

  return roles.run(
      role, root_dir, _REPLAY_ADDRESS.value, presets, _COLLECTOR.value,
      _replicas(), [report.write_after])


def _all(root_dir):
  """Starts all processes of a run; returns the exit status."""
  from dreamerv2_tfa.distributed import address as address_lib
  from dreamerv2_tfa.distributed import group
  from dreamerv2_tfa.distributed import reverb

  reverb.check()
  address = _REPLAY_ADDRESS.value or f'127.0.0.1:{address_lib.free_port()}'
  address_lib.parse(address)
  return group.Group(
      configuration.given(), root_dir, address,
      checks.integer('--num_collectors', _NUM_COLLECTORS.value),
      checks.integer('--max_restarts', _MAX_RESTARTS.value, 0),
      _replicas()).run()


def _replicas():
  """Devices of a learner; None: as it finds them."""
  return None if _REPLICAS.value is None else checks.integer(
      '--replicas', _REPLICAS.value)


def _exit(ended):
  """Exits as a shell expects it of a program that a signal has stopped."""
  if ended:
    sys.exit(128 + ended)


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE, words=1)


if __name__ == '__main__':
  main()
