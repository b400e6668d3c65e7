"""This agent beside the packages that do the same job, turn and turn about."""

import gin
import loop
import measure
import numpy as np
import peers as peers_lib
import stages

from dreamerv2_tfa import specs
from dreamerv2_tfa.training import protocol

_POLICY_STEPS = 100
_PRECISIONS = {'float32': '32', 'mixed_bfloat16': 'bf16', 'mixed_float16': '16'}


def peers(setting, repeat, *, names):
  """Updates and policy steps of this agent and of each peer, A B A B.

  Returns:
    Dict for the report: `ratio_updates` and `ratio_policy` by peer are medians
    of pairs, how many times as fast this agent is; above 1 is faster. For Pong
    there is `ratio_environment`: random steps into the replay memory against
    steps of the peer's environment alone.
  """
  updates = stages.Updates(setting)
  steps = {batch: stages.Steps(setting, batch) for batch in (1, 8)}
  result = {'first_update_seconds': updates.first, 'ratio_updates': {},
            'ratio_policy': {}, 'ratio_environment': {}, 'peers': {}}
  for name in names:
    print(f'Start {name} (its environment is made at its first use) ...',
          flush=True)
    worker = peers_lib.start(name, _settings(setting))
    try:
      _check_parameters(setting, worker)
      pairs, policies = _pairs(worker, updates, steps, repeat)
      environments = _environments(setting, worker, repeat)
      rss = peers_lib.ask(worker, {'do': 'update', 'repeat': 1})['peak_rss_mb']
    finally:
      peers_lib.stop(worker)
    ratio = lambda rows: float(np.median([b / a for a, b in rows]))
    result['ratio_updates'][name] = ratio(pairs)
    result['ratio_policy'][name] = {
        f'batch {batch}': ratio(rows) for batch, rows in policies.items()}
    if environments:
      result['ratio_environment'][name] = ratio(environments)
    result['peers'][name] = {
        **{key: worker.ready[key] for key in (
            'versions', 'parameters', 'first_update_seconds',
            'second_update_seconds')},
        'update_pairs': pairs, 'peak_rss_mb': rss,
        'policy_medians': {
            f'batch {batch}': [float(np.median(x)) for x in zip(
                *rows, strict=True)] for batch, rows in policies.items()},
    }
  return result


def _check_parameters(setting, worker):
  """Refuses a comparison of models of different sizes."""
  ours = protocol.parameter_counts(setting.parts.agent)
  if worker.ready['parameters'] != ours:
    raise ValueError(
        f'The model of {worker.name} has {worker.ready["parameters"]} '
        f'parameters, ours {ours}: these settings cannot be compared.')


def _pairs(worker, updates, steps, repeat):
  """Seconds of ours and theirs: of updates, and of policy steps by batch."""
  ask = lambda **command: peers_lib.ask(worker, command)['seconds']
  pairs = [
      (measure.seconds(updates), ask(do='update', repeat=1)[0])
      for _ in range(repeat)]
  policies = {batch: [] for batch in steps}
  for _ in range(repeat):
    for batch, step in steps.items():
      ours = [measure.seconds(step) for _ in range(_POLICY_STEPS)]
      theirs = ask(do='policy', batch=batch, repeat=_POLICY_STEPS)
      policies[batch].append(
          (float(np.median(ours)), float(np.median(theirs))))
  return pairs, policies


def _environments(setting, worker, repeat):
  """Seconds of ours and theirs, in pairs; none where nothing compares."""
  if worker.name != 'published' or setting.parts.task.name != 'atari_pong':
    return []
  ours = stages.Collection(setting)
  theirs = lambda: peers_lib.ask(
      worker, {'do': 'environment', 'repeat': loop.ROWS})['seconds']
  return [(measure.seconds(ours), theirs()) for _ in range(repeat)]


def _settings(setting):
  """What `peers.start` hands to a worker."""
  described = setting.described
  spec = setting.parts.agent.time_step_spec.observation
  return {
      'precision': _PRECISIONS[described['precision']], 'jit': False,
      'batch': setting.batch_size, 'length': setting.length,
      # The published package reads no scalars: they go to it as vectors.
      'observation': {
          key: {'shape': part.shape.as_list() or [1], 'dtype': part.dtype.name}
          for key, part in specs.flat_observation(spec).items()},
      'action': described['actions'],
      'gin': _numbers(),
  }


def _numbers():
  """Every bound parameter of the agent by name, with its value."""
  names = [line.partition(' = ')[0] for line in gin.config_str().splitlines()
           if ' = ' in line and not line.startswith('#')]
  wanted = ('DreamerV2Agent.', 'WorldModel.', 'RSSM.', 'Encoder.', 'Decoder.',
            'MLP.', 'ActorCritic.')
  return {name: gin.query_parameter(name) for name in names
          if name.startswith(wanted)}
