"""Settings of one part of the agent alone, by gin's scopes.

`MLP.units = 400` is of every part; `reward/MLP.units = 200` of the reward head
alone. The parts and what is bound in them:

    MLP         vectors, vectors/encoder, vectors/decoder, reward, continue,
                actor, critic (the slow one too), expl (the explorer's heads)
    Optimizer   model, actor, critic, expl
"""

import contextlib
from typing import Any

import gin

PARTS = {  # in which each class may be bound apart
    'MLP': (
        'vectors', 'vectors/encoder', 'vectors/decoder', 'reward', 'continue',
        'actor', 'critic', 'expl'),
    'Optimizer': ('model', 'actor', 'critic', 'expl'),
}


def part(name: str, configurable: Any) -> contextlib.AbstractContextManager:
  """The scope of a part, where something is bound in it.

  Without such a binding the part is built outside of any scope, so that
  `operative_config.gin` says of it what was set, and no more.

  Args:
    name: Name of the part; in 'vectors/encoder' what is bound for 'vectors' is
      read as well.
    configurable: What is built there, for example `layers.MLP`.

  Returns:
    Context manager.
  """
  names = name.split('/')
  for depth in range(1, len(names) + 1):
    with gin.config_scope('/'.join(names[:depth])):
      if gin.get_bindings(
          configurable, resolve_references=False, inherit_scopes=False
      ):
        return gin.config_scope(name)
  return contextlib.nullcontext()
