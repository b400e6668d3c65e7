"""A process of a learner that is several: all but the first."""

from tf_agents.utils import common

from dreamerv2_tfa import checks
from dreamerv2_tfa.distributed import connection as connection_lib
from dreamerv2_tfa.distributed import description
from dreamerv2_tfa.distributed import receiving
from dreamerv2_tfa.distributed import replication as replication_lib
from dreamerv2_tfa.training import crash
from dreamerv2_tfa.training import output
from dreamerv2_tfa.training import parts as parts_lib
from dreamerv2_tfa.training import settings as settings_lib
from dreamerv2_tfa.training import surroundings


def follow(
    address: str, settings: settings_lib.Settings,
    replication: replication_lib.Replication,
) -> int | None:
  """Runs the updates that the chief runs, on a share of each batch.

  It keeps nothing: a signal ends it at once, and the chief with it.

  Args:
    address: HOST:PORT of the replay server.
    settings: Of the run.
    replication: Of this process.

  Returns:
    The signal that has stopped the chief; None at the end of the run.

  Raises:
    UserError: If it does not fit the run of the replay server, or the chief
      has failed.
  """
  share = replication.share(settings.batch_size)
  with output.unbroken(), surroundings.kept(), replication.together():
    parts = parts_lib.build(settings, strategy=replication.strategy)
    parts_lib.close(parts)  # the environments are the collectors'
    connection = connection_lib.Connection(address, 'learner')
    connection.join(description.of(parts))
    samples = receiving.Samples(
        connection, parts.agent.collect_data_spec, share,
        settings.sequence_length, taken=0)

    def update():
      replication.train(parts.agent, samples.next())

    run = common.function(update)
    print(f'Learner {replication.index} of {replication.processes} follows.',
          flush=True)
    while True:
      what, steps = replication.told()
      if what == replication_lib.END:
        return _end(steps)
      parts.steps.environment_steps.assign(steps)
      if what == replication_lib.WEIGHTS:
        replication.share_weights(crash.updated(parts.agent))
      else:
        samples.fetch()
        run()


def _end(status):
  """Ends as the chief has."""
  if status == replication_lib.FAILED:
    raise checks.UserError(
        'The first learner has failed, so this one ends: see what it says. '
        'Start all of them again.')
  print('The first learner has ended, so this one does.', flush=True)
  return status or None
