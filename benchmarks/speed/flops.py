"""Multiplications and additions that one update needs, counted from shapes.

Products alone are counted, two operations a multiplication with its addition;
norms, activations, samples and optimizers are not. A product with a gradient
costs three: itself, the gradient of its weights and that of its input, which
the first layer of a network does not need where its input has no gradient.
"""


def update(agent, batch_size, length):
  """Operations of one update by part.

  Args:
    agent: `DreamerV2Agent`.
    batch_size: int B.
    length: int T.

  Returns:
    Dict from a part's name to its operations, a float.
  """
  rows = batch_size * length
  model, behaviour = agent.world_model, agent.actor_critic
  learned = 3 * rows
  parts = {
      'encoder': _learned(_encoder(model), rows),
      'rssm': learned * sum(_rssm(model.rssm)),
      'decoder': learned * sum(_decoder(model)),
      'reward and continue heads': learned * sum(
          sum(_dense(head)) for head in _heads(model)),
  }
  behaviours = {'': behaviour}
  if agent.exploration is not None:
    explorer = agent.exploration.explorer
    each = [_dense(head) for head in getattr(
        explorer, '_heads', None) or [explorer._head]]
    parts['explorer'] = sum(_learned(costs, rows) + sum(costs) * rows
                            * (behaviour._horizon + 1) for costs in each)
    behaviours['exploration '] = agent.exploration.actor_critic
  for name, made in behaviours.items():
    parts.update({name + key: value
                  for key, value in _behaviour(model, made, rows).items()})
  return {key: 2.0 * value for key, value in parts.items()}


def _behaviour(model, made, rows):
  """Imagination from every row, then actor and critic."""
  horizon, actor, critic = (
      made._horizon, _dense(made.actor), _dense(made.critic))
  states = (horizon + 1) * rows
  # Index H - 1 has no target, so its policy has no gradient.
  backward = _learned(actor, (horizon - 1) * rows) - sum(actor) * (
      horizon - 1) * rows
  judged = sum(sum(_dense(head)) for head in _heads(model)) + sum(critic)
  # With gradients through the dynamics, every state's gradient is needed too.
  passes = 1 if made._gradient == 'reinforce' else 2
  return {
      'imagination': passes * horizon * rows * sum(_rssm(model.rssm)[:-1])
                     + horizon * rows * sum(actor),
      'rewards, discounts, values': passes * states * judged,
      'actor': backward,
      'critic': _learned(critic, horizon * rows),
  }


def _learned(costs, rows):
  """A network whose input has no gradient, forward and backward."""
  return rows * (3 * sum(costs) - costs[0])


def _heads(model):
  return [head for head in (model._reward_head, model._continue_head) if head]


def _dense(module):
  """Multiplications a row in each dense layer, in order."""
  return [layer.kernel.shape.num_elements() for layer in module.submodules
          if hasattr(layer, 'kernel')]


def _rssm(rssm):
  """Input, cell, priors, posterior: multiplications a row in each."""
  return [sum(_dense(part)) for part in (
      rssm._input, rssm._cell, *rssm._priors, rssm._posterior)]


def _encoder(model):
  costs, size = [], 64
  for hidden in model._encoder._convolutions:
    kernel = hidden._layer.kernel.shape
    size = hidden.output_shape[1]
    costs.append(kernel.num_elements() * size**2)
  if model._encoder._vector_keys:
    costs += _dense(model._encoder._mlp)
  return costs


def _decoder(model):
  costs, decoder = [], model._decoder
  if decoder._channels:
    size = 1
    costs.append(decoder._start.kernel.shape.num_elements())
    for layer in [*(h._layer for h in decoder._convolutions), decoder._image]:
      kernel = layer.kernel.shape
      costs.append(kernel.num_elements() * size**2)
      size = (size - 1) * 2 + kernel[0]
  if decoder._vectors:
    costs += _dense(decoder._mlp)
    costs += [sum(_dense(output)) for output in decoder._vectors.values()]
  return costs
