"""Networks, RSSM and world model equal the published package's."""

from golden import cases
import pytest
import tensorflow as tf

from dreamerv2_tfa.migration import weights

SCENARIOS = {
    'pixels': ('atari', (), cases.IMAGE, cases.DISCRETE),
    'vectors': (
        'dmc_proprio', ('RSSM.classes = 0',), cases.VECTORS, cases.BOX,
    ),
    'mixed': (
        'crafter',
        ('Encoder.depth = 3', 'Decoder.depth = 3',
         "Encoder.vector_keys = '.*'", "Decoder.vector_keys = '.*'",
         'WorldModel.kl_balance = 0.3', 'WorldModel.free_nats = 0.5',
         'WorldModel.free_avg = False', 'WorldModel.kl_forward = True',
         "WorldModel.grad_heads = ('decoder',)",
         "WorldModel.reward_transform = 'sign'"),
        {**cases.IMAGE, **cases.VECTORS}, cases.DISCRETE,
    ),
}


@pytest.fixture(params=SCENARIOS, scope='module')
def made(request):
  """Golden file and agent of each scenario."""
  preset, bindings, observation, action = SCENARIOS[request.param]
  golden = cases.Golden(f'model_{request.param}')
  agent = cases.make_agent(
      golden, preset, *bindings, observation=observation, action=action
  )
  return golden, agent


def test_the_encoder(made):
  golden, agent = made
  embed = agent.world_model.embed(cases.sequence(golden).observation)
  cases.assert_near(embed, golden['embed'])


def test_every_head(made):
  golden, agent = made
  feature = tf.constant(golden['feat'])
  predictions = agent.world_model._predict(feature)
  wanted = golden.group('heads')
  assert set(predictions) == set(wanted)
  for key, mean in wanted.items():
    cases.assert_near(predictions[key].mean()[:, :2], mean, name=key)


def test_the_gru_cell(made):
  golden, agent = made
  cell = agent.world_model.rssm._cell
  found = cell(golden['cell/input'], golden['post/deter'][:, 1])
  cases.assert_near(found, golden['cell/output'])


def test_filtering_and_imagining_the_modes(made):
  golden, agent = made
  rssm = agent.world_model.rssm
  sequence = cases.sequence(golden)
  state = rssm.initial(cases.B)
  for t in range(cases.T):
    state = rssm.obs_step(
        state, sequence.prev_action[:, t], golden['embed'][:, t],
        sequence.is_first[:, t], [0, 0], sample=False,
    )
    cases.assert_state_near(state, golden.group(f'filtered/{t}'))
  for t in range(cases.T):
    state = rssm.img_step(
        state, sequence.prev_action[:, t], [0, 0], sample=False
    )
    cases.assert_state_near(state, golden.group(f'imagined/{t}'))


def test_the_loss_each_term_and_every_gradient(made, monkeypatch):
  golden, agent = made
  variables = weights.named(agent)
  with cases.fed(monkeypatch) as feed, tf.GradientTape() as tape:
    feed.give(golden.series('noise'))
    output = agent.world_model.loss(cases.sequence(golden), [0, 0])
  cases.assert_near(output.loss, golden['loss'])
  cases.assert_near(output.losses['kl'], golden['kl'])
  cases.assert_near(output.feature, golden['feat'])
  cases.assert_state_near(output.posterior, golden.group('post'))
  cases.assert_state_near(output.prior, golden.group('prior'))
  wanted = golden.group('metrics')
  assert set(wanted) <= set(output.metrics)
  for key, value in wanted.items():
    cases.assert_near(output.metrics[key], value, name=key)
  slopes = tape.gradient(output.loss, variables)
  slopes = {key: slope for key, slope in slopes.items() if slope is not None}
  wanted = golden.group('gradients')
  assert set(slopes) == set(wanted)
  for key, slope in slopes.items():
    cases.assert_near(slope, wanted[key], cases.GRADIENT, key)


def test_an_ensemble_of_priors(monkeypatch):
  golden = cases.Golden('ensemble')
  agent = cases.make_agent(
      golden, 'dmc_proprio', 'RSSM.ensemble = 3', "RSSM.norm = 'layer'"
  )
  rssm = agent.world_model.rssm
  sequence = cases.sequence(golden)
  embed = agent.world_model.embed(sequence.observation)
  with cases.fed(monkeypatch) as feed:
    feed.give(golden.series('noise'))
    posterior, prior = rssm.observe(
        embed, sequence.prev_action, sequence.is_first, [0, 0]
    )
    cases.assert_state_near(posterior, golden.group('post'))
    cases.assert_near(prior.logits, golden['prior/logit'])
    feed.give(golden.series('imagined_noise'))
    state = tf.nest.map_structure(lambda x: x[:, -1], posterior)
    for t in range(cases.T):
      state = rssm.img_step(state, sequence.prev_action[:, t], [0, 0])
      wanted = golden.group('imagined')
      cases.assert_state_near(
          state, {key: value[:, t] for key, value in wanted.items()}
      )


