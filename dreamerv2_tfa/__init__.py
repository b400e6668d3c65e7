"""DreamerV2 as a TF-Agents agent."""


def __getattr__(name):
  """Imports the agent, and TensorFlow with it, when it is first asked for."""
  if name == 'DreamerV2Agent':
    from dreamerv2_tfa import agent

    return agent.DreamerV2Agent
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
