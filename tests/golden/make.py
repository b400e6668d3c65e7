"""Makes the golden files from the published package (dreamerv2 2.2.0).

  benchmarks/published/python tests/golden/make.py [FOLDER]

runs it on fixed weights and inputs, eagerly in float32, and writes what it
computes beside this file, or into FOLDER. All sampling is by given uniform
numbers, which are written as well, in the order in which this project's code
asks for them: `noise/0`, `noise/1`, ... Weights have the names of
`dreamerv2_tfa.migration.weights`.
"""

import contextlib
import io
import pathlib
import sys
import zipfile

import gym
import numpy as np
import published
from scipy import special
import tensorflow as tf
from tensorflow_probability import distributions as tfd

_HERE = pathlib.Path(__file__).resolve().parent
B, T, H = 2, 5, 4  # sequences, steps, horizon
_SIZES = dict(
    rssm__deter=8, rssm__hidden=7, rssm__stoch=3, rssm__discrete=4,
    encoder__cnn_depth=2, decoder__cnn_depth=2, imag_horizon=H,
    encoder__mlp_layers=[9, 9], decoder__mlp_layers=[9, 9],
)
_MLP = {
    f'{head}__{key}': value
    for head in ('reward_head', 'discount_head', 'actor', 'critic', 'expl_head')
    for key, value in (('layers', 2), ('units', 9))
}
_IMAGE = {'image': gym.spaces.Box(0, 255, (64, 64, 1), np.uint8)}
_VECTORS = {
    'position': gym.spaces.Box(-np.inf, np.inf, (3,), np.float32),
    'speed': gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
}
_ORDER = {
    'wide': gym.spaces.Box(0, 255, (64, 64, 1), np.uint8),
    'eye': gym.spaces.Box(0, 255, (64, 64, 2), np.uint8),
    **{key: gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
       for key, size in (('position', 3), ('velocity', 2), ('touch', 3),
                         ('arm/touch', 2), ('arm-tip', 2))},
}
_FILES = {'discrete': 'variables.pkl', 'order': 'variables_order.pkl'}
A = 6


# Sampling from given uniform numbers ------------------------------------------


class Draws:
  """Uniform numbers for all sampling, noted in order."""

  def __init__(self, seed=0):
    self._rng = np.random.RandomState(seed)
    self.noted = []

  def __call__(self, shape):
    u = self._rng.uniform(0.01, 0.99, [int(x) for x in shape])
    return self.note(u.astype(np.float32))

  def note(self, u):
    self.noted.append(np.asarray(u, np.float32))
    return self.noted[-1]

  def take(self):
    """The numbers since the last call."""
    noted, self.noted = self.noted, []
    return noted


draws = Draws()


def _shape(sample_shape, like):
  return list(np.ravel(sample_shape).astype(int)) + list(like.shape)


def _one_hot_sample(self, sample_shape=(), seed=None, **unused):
  logits = self.logits_parameter()
  gumbel = -np.log(-np.log(draws(_shape(sample_shape, logits))))
  return tf.one_hot(tf.argmax(logits + gumbel, -1), logits.shape[-1])


def _normal_sample(self, sample_shape=(), seed=None, **unused):
  u = draws(_shape(sample_shape, self.loc))
  return self.loc + self.scale * special.ndtri(u)


def _diag_sample(self, sample_shape=(), seed=None, **unused):
  u = draws(_shape(sample_shape, self.loc))
  return self.loc + self.stddev() * special.ndtri(u)


_true_truncated = tfd.TruncatedNormal.sample


def _truncated_sample(self, *args, **kwargs):
  """TensorFlow's own sample and gradient; its uniform number is worked out."""
  sample = _true_truncated(self, *args, **kwargs)
  loc, scale, x = (np.asarray(v, np.float64)
                   for v in (self.loc, self.scale, sample))
  low, high = special.ndtr((-1 - loc) / scale), special.ndtr((1 - loc) / scale)
  draws.note((special.ndtr((x - loc) / scale) - low) / (high - low))
  return sample


_true_uniform = tf.random.uniform


def _uniform(shape, minval=0, maxval=None, dtype=tf.float32, **kwargs):
  if dtype != tf.int32:
    return _true_uniform(shape, minval, maxval, dtype, **kwargs)
  # The member of an ensemble; of one there is nothing to draw.
  u = draws(shape) if maxval > 1 else np.zeros(shape)
  return tf.cast(np.asarray(u) * maxval, tf.int32)


tfd.OneHotCategorical.sample = _one_hot_sample
tfd.Normal.sample = _normal_sample
tfd.MultivariateNormalDiag.sample = _diag_sample
tfd.TruncatedNormal.sample = _truncated_sample
tf.random.uniform = _uniform


# Agents, weights, batches -----------------------------------------------------


def make_agent(spaces, discrete, *presets, **overrides):
  """Its agent with named weights: both."""
  config = published.configure(
      *presets, **{**_SIZES, **_MLP, 'precision': 32, **overrides}
  )
  flags = {key: gym.spaces.Box(0, 1, (), bool)
           for key in ('is_first', 'is_last', 'is_terminal')}
  reward = {'reward': gym.spaces.Box(-np.inf, np.inf, (), np.float32)}
  action = gym.spaces.Box(0 if discrete else -1, 1, (A,), np.float32)
  if discrete:
    action.n = A
  with contextlib.redirect_stdout(io.StringIO()):
    agent = published.agent.Agent(
        config, {**spaces, **reward, **flags}, {'action': action},
        published.common.Counter(0),
    )
    data = batch(spaces, discrete, 99)
    agent.wm.loss(data)  # layers exist once they are called
    start = agent.wm.loss(data)[2]['post']
    explorer = agent._expl_behavior
    for ac in (agent._task_behavior, getattr(explorer, 'ac', None)):
      if ac is not None:
        seq = agent.wm.imagine(ac.actor, start, data['is_terminal'], 1)
        ac.critic(seq['feat'])
        ac._target_critic(seq['feat'])
    if explorer is not agent._task_behavior:
      explorer._intr_reward(seq)
      for norm in ('intr_rewnorm', 'extr_rewnorm'):
        if hasattr(explorer, norm):
          getattr(explorer, norm).reset()
  draws.take()
  weights = named(agent)
  rng = np.random.RandomState(7)
  for name in sorted(weights):
    variable = weights[name]
    scale = 0.3
    if len(variable.shape) > 1:
      scale = np.sqrt(2.0 / np.sum(variable.shape[-2:]))
    middle = 1.0 if name.endswith('gamma') else 0.0
    variable.assign(middle + scale * rng.randn(*variable.shape))
  return agent, weights


def named(agent):
  """Its weights by meaning."""
  task = agent._task_behavior
  parts = {
      'encoder': agent.wm.encoder, 'rssm': agent.wm.rssm, **agent.wm.heads,
      'actor': task.actor, 'critic': task.critic,
      'slow_critic': task._target_critic,
  }
  explorer = agent._expl_behavior
  if explorer is not task:
    parts['expl/actor'] = explorer.ac.actor
    parts['expl/critic'] = explorer.ac.critic
    parts['expl/slow_critic'] = explorer.ac._target_critic
    heads = getattr(explorer, '_networks', None) or [explorer.head]
    parts.update({f'expl/head{k}': head for k, head in enumerate(heads)})
  found = {}
  for part, module in parts.items():
    found.update(_layers(module, part))
  cell = agent.wm.rssm._cell
  found.update(_weights(cell._layer, 'rssm/gru'))
  found.update(_weights(cell._norm, 'rssm/gru/norm'))
  return found


def _layers(module, prefix):
  found = {}
  for name, layer in module._modules.items():
    path = f'{prefix}/{name}'
    if isinstance(layer, published.common.DistLayer):
      for inner, dense in layer._modules.items():
        last = path if inner == 'out' else f'{prefix}/{inner}'
        found.update(_weights(dense, last))
    elif isinstance(layer, published.common.NormLayer):
      found.update(_weights(layer._layer, path) if layer._layer else {})
    else:
      found.update(_weights(layer, path))
  return found


def _weights(layer, prefix):
  names = ('kernel', 'bias', 'gamma', 'beta')
  return {
      f'{prefix}/{name}': getattr(layer, name)
      for name in names if hasattr(layer, name)
  }


def batch(spaces, discrete, seed):
  """A batch as its replay gives it: the first row of each sequence starts anew.

  The first sequence holds the end of an episode, a true termination, in row 2
  and the start of the next in row 3.
  """
  rng = np.random.RandomState(seed)
  data = {}
  for key, space in spaces.items():
    if space.dtype == np.uint8:
      levels = np.array([0, 30, 140, 255], np.uint8)  # few: they pack well
      data[key] = levels[rng.randint(0, 4, (B, T) + space.shape)]
    else:
      data[key] = rng.randn(*(B, T) + space.shape).astype(np.float32)
  if discrete:
    action = np.eye(A, dtype=np.float32)[rng.randint(0, A, (B, T))]
  else:
    action = rng.uniform(-1, 1, (B, T, A)).astype(np.float32)
  first, last = np.zeros((B, T), bool), np.zeros((B, T), bool)
  first[:, 0] = first[0, 3] = last[0, 2] = True
  reward = (2.0 * rng.randn(B, T)).astype(np.float32)
  reward[0, 3] = 0.0
  action[0, 3] = 0.0
  data.update(action=action, reward=reward, is_first=first, is_last=last,
              is_terminal=last)
  return {key: tf.constant(value) for key, value in data.items()}


def arrays(prefix, values):
  """Flat dict of numpy arrays from a nest of dicts and lists."""
  if isinstance(values, dict):
    pairs = values.items()
  elif isinstance(values, (list, tuple)):
    pairs = enumerate(values)
  else:
    return {prefix: np.asarray(values)}
  return {k: v for key, value in pairs
          for k, v in arrays(f'{prefix}/{key}', value).items()}


def save(folder, case, **groups):
  """Writes a case; the bytes depend on the numbers alone."""
  flat = {}
  for group, values in groups.items():
    flat.update(arrays(group, values))
  path = folder / f'{case}.npz'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name in sorted(flat):
      buffer = io.BytesIO()
      np.lib.format.write_array(buffer, flat[name])
      entry = zipfile.ZipInfo(f'{name}.npy')  # dated 1980, always
      entry.compress_type = zipfile.ZIP_DEFLATED
      archive.writestr(entry, buffer.getvalue())


def gradients(tape, loss, weights):
  """Gradients of a loss by name, where there are any."""
  found = tape.gradient(loss, weights)
  return {k: v for k, v in found.items() if v is not None}


# Cases ------------------------------------------------------------------------


def returns(folder):
  rng = np.random.RandomState(1)
  reward, value = rng.randn(2, H, 3).astype(np.float32)
  discount = rng.uniform(0.5, 1, (H, 3)).astype(np.float32)
  discount[1, 0] = 0.0
  bootstrap = rng.randn(3).astype(np.float32)
  inputs = dict(reward=reward, value=value, discount=discount,
                bootstrap=bootstrap)
  variables = {k: tf.Variable(v) for k, v in inputs.items()}
  with tf.GradientTape() as tape:
    target = published.common.lambda_return(
        variables['reward'], variables['value'], variables['discount'],
        variables['bootstrap'], 0.95, 0,
    )
    loss = tf.reduce_sum(target * tf.range(1.0, H * 3 + 1)[:, None][:H])
  save(folder, 'returns', inputs=inputs, target=target,
       gradients=gradients(tape, loss, variables))


def kl(folder):
  rng = np.random.RandomState(2)
  groups = {}
  for kind in ('discrete', 'gaussian'):
    rssm = published.common.EnsembleRSSM(
        1, 3, 8, 7, 4 if kind == 'discrete' else False
    )
    states = {}
    for name in ('post', 'prior'):
      if kind == 'discrete':
        states[name] = {'logit': rng.randn(B, T, 3, 4).astype(np.float32)}
      else:
        states[name] = {
            'mean': rng.randn(B, T, 3).astype(np.float32),
            'std': rng.uniform(0.3, 2, (B, T, 3)).astype(np.float32),
        }
    groups[f'{kind}/inputs'] = states
    for forward in (False, True):
      for balance in (0.8, 0.5, 0.3):
        for free in (0.0, 0.9, 50.0):
          for free_avg in (True, False):
            variables = tf.nest.map_structure(tf.Variable, states)
            with tf.GradientTape() as tape:
              loss, value = rssm.kl_loss(
                  variables['post'], variables['prior'], forward, balance,
                  free, free_avg,
              )
            case = f'{kind}/{forward:d}-{balance}-{free}-{free_avg:d}'
            groups[case] = dict(
                loss=loss, value=value, gradients=tape.gradient(
                    loss, variables, unconnected_gradients='zero'
                ),
            )
  save(folder, 'kl', **groups)


def distributions(folder):
  rng = np.random.RandomState(3)
  raw = {'loc': rng.randn(4, 3).astype(np.float32),
         'scale': rng.uniform(0.3, 1.5, (4, 3)).astype(np.float32)}
  common = published.common
  made = {
      'onehot': lambda v: common.OneHotDist(v['loc']),
      'trunc_normal': lambda v: tfd.Independent(common.TruncNormalDist(
          tf.tanh(v['loc']), v['scale'], -1, 1), 1),
      'tanh_normal': lambda v: common.SampleDist(tfd.Independent(
          tfd.TransformedDistribution(
              tfd.Normal(v['loc'], v['scale']), common.TanhBijector()), 1)),
      'normal': lambda v: tfd.Independent(
          tfd.Normal(v['loc'], v['scale']), 1),
  }
  groups = {'inputs': raw}
  for kind, make in made.items():
    variables = {k: tf.Variable(v) for k, v in raw.items()}
    results, slopes = {}, {}
    tf.random.set_seed(4)
    draws.take()
    for what in ('sample', 'log_prob', 'entropy', 'mode', 'mean'):
      if what == 'mode' and kind == 'tanh_normal':
        continue  # it reads every row at the first row's index
      if what == 'mean' and kind == 'trunc_normal':
        continue  # not used, and TensorFlow's own
      with tf.GradientTape() as tape:
        dist = make(variables)
        if what == 'log_prob':
          value = dist.log_prob(tf.stop_gradient(results['sample']))
        else:
          value = getattr(dist, what)()
        loss = tf.reduce_sum(value * tf.cumsum(tf.ones_like(value), -1))
      results[what] = value
      slopes[what] = gradients(tape, loss, variables)
      groups[f'{kind}/noise/{what}'] = draws.take()
    groups[kind] = dict(values=results, gradients=slopes)
  logits = tf.Variable(raw['loc'])
  labels = rng.uniform(0, 1, (4, 3)).astype(np.float32)
  with tf.GradientTape() as tape:
    dist = tfd.Independent(tfd.Bernoulli(logits), 0)
    log_prob = dist.log_prob(tf.constant(labels))  # an array would be cut
  groups['bernoulli'] = dict(labels=labels, log_prob=log_prob,
                             mean=dist.mean(),
                             gradient=tape.gradient(log_prob, logits))
  save(folder, 'distributions', **groups)


def schedules(folder):
  strings = ['0.3', '1e-4', 'linear(1,0.1,1000)', 'warmup(500,0.02)',
             'exp(1.0,0.1,300)', 'horizon(10,100,2000)']
  steps = np.array([0, 1, 250, 500, 999, 1000, 5000])
  values = [[published.common.schedule(s, tf.constant(step)) for step in steps]
            for s in strings]
  save(folder, 'schedules', strings=np.array(strings), steps=steps,
       values=np.array(values, np.float32))


def reward_norm(folder):
  rng = np.random.RandomState(5)
  groups = {}
  for case, kwargs in {
      'off': dict(momentum=1.0, scale=1.0),
      'on': dict(momentum=0.9, scale=0.5, eps=1e-3),
  }.items():
    norm = published.common.StreamNorm(**kwargs)
    inputs = [rng.randn(H, 3).astype(np.float32) * 3 for _ in range(3)]
    outputs, magnitudes, metrics = [], [], []
    for x in inputs:
      y, m = norm(tf.constant(x))
      outputs.append(y)
      metrics.append(m)
      magnitudes.append(norm.mag.numpy())
    groups[case] = dict(inputs=inputs, outputs=outputs, metrics=metrics,
                        magnitudes=magnitudes)
  save(folder, 'reward_norm', **groups)


def optimizer(folder):
  rng = np.random.RandomState(6)
  groups = {}
  for precision in ('float32', 'mixed_float16'):
    tf.keras.mixed_precision.set_global_policy(precision)
    module = tf.Module()
    module.w = tf.Variable(rng.randn(3, 2).astype(np.float32))
    module.b = tf.Variable(rng.randn(2).astype(np.float32))
    with contextlib.redirect_stdout(io.StringIO()):
      opt = published.common.Optimizer(
          'model', 0.01, eps=1e-5, clip=5.0, wd=0.1
      )
    before = {'w': module.w.numpy(), 'b': module.b.numpy()}
    steps = []
    for scale in (0.5, 20.0, 1.0, 0.01):
      slopes = {'w': scale * rng.randn(3, 2), 'b': scale * rng.randn(2)}
      slopes = {k: v.astype(np.float32) for k, v in slopes.items()}
      with tf.GradientTape() as tape:
        loss = sum(tf.reduce_sum(getattr(module, k) * v)
                   for k, v in slopes.items())
      with contextlib.redirect_stdout(io.StringIO()):
        metrics = opt(tape, loss, module)
      steps.append(dict(slopes=slopes, loss=loss, metrics=metrics,
                        after={'w': module.w.numpy(), 'b': module.b.numpy()}))
    groups[precision] = dict(before=before, steps=steps)
  tf.keras.mixed_precision.set_global_policy('float32')
  save(folder, 'optimizer', **groups)


# Networks, RSSM, world model: one agent a scenario.
SCENARIOS = {
    'pixels': (_IMAGE, True, ('atari',), {}),
    'vectors': (_VECTORS, False, ('dmc_proprio',), dict(rssm__discrete=False)),
    # Layer normalisation of two channels would leave little but their signs,
    # and gradients that are rounding.
    'mixed': (
        {**_IMAGE, **_VECTORS}, True, ('crafter',),
        dict(encoder__cnn_depth=3, decoder__cnn_depth=3,
             encoder__mlp_keys='.*', decoder__mlp_keys='.*',
             encoder__cnn_keys='.*', decoder__cnn_keys='.*',
             kl__balance=0.3, kl__free=0.5, kl__free_avg=False,
             kl__forward=True, grad_heads=['decoder'], clip_rewards='sign'),
    ),
}


def model(folder):
  for scenario, (spaces, discrete, presets, overrides) in SCENARIOS.items():
    agent, weights = make_agent(spaces, discrete, *presets, **overrides)
    data = batch(spaces, discrete, 10)
    wm = agent.wm
    before = {k: v.numpy() for k, v in weights.items()}
    with tf.GradientTape() as tape:
      loss, _, outs, metrics = wm.loss(data)
    noise = draws.take()[1::2]  # of the posterior; the prior's reach nothing
    processed = wm.preprocess(data)
    heads = {}
    for name, head in wm.heads.items():
      dist = head(outs['feat'])
      for key, d in (dist if isinstance(dist, dict) else {name: dist}).items():
        heads[key] = d.mean()[:, :2]
    cell_in = np.random.RandomState(8).randn(B, 7).astype(np.float32)
    cell, _ = wm.rssm._cell(tf.constant(cell_in), [outs['post']['deter'][:, 1]])
    embed = wm.encoder(processed)
    # The mode of every state, in filtering and in imagination.
    state, filtered = wm.rssm.initial(B), []
    for t in range(T):
      state, _ = wm.rssm.obs_step(
          state, data['action'][:, t], embed[:, t], data['is_first'][:, t],
          False,
      )
      filtered.append(state)
    imagined = []
    for t in range(T):
      state = wm.rssm.img_step(state, data['action'][:, t], False)
      imagined.append(state)
    draws.take()
    save(folder, f'model_{scenario}', weights=before, data=data, noise=noise,
         loss=loss, metrics=metrics, embed=embed, feat=outs['feat'],
         post=outs['post'], kl=outs['kl'], heads=heads,
         prior={k: v for k, v in outs['prior'].items() if k != 'stoch'},
         gradients=gradients(tape, loss, weights),
         cell={'input': cell_in, 'output': cell},
         filtered=filtered, imagined=imagined)


def ensemble(folder):
  agent, weights = make_agent(
      _VECTORS, True, 'dmc_proprio', rssm__ensemble=3, rssm__norm='layer'
  )
  data = batch(_VECTORS, True, 11)
  embed = agent.wm.encoder(agent.wm.preprocess(data))
  post, prior = agent.wm.rssm.observe(embed, data['action'], data['is_first'])
  taken = draws.take()  # a step: the member, then prior and posterior
  noise = taken[2::3] + [np.stack(taken[0::3])]
  state = {k: v[:, -1] for k, v in post.items()}
  imagined = agent.wm.rssm.imagine(data['action'], state)
  save(folder, 'ensemble', weights=weights, data=data, embed=embed, post=post,
       prior={'logit': prior['logit']}, noise=noise, imagined=imagined,
       imagined_noise=draws.take())


class Scheduled:
  """A configuration with schedules, which its own cannot hold."""

  def __init__(self, config, schedules):
    self._config = config
    self._schedules = schedules

  def __getattr__(self, name):
    found = self._schedules.get(name)
    return getattr(self._config, name) if found is None else found


BEHAVIOURS = {
    'onehot_reinforce': (True, dict()),
    'onehot_both': (True, dict(
        actor_grad='both', actor_grad_mix='linear(0.1,0.9,1000)',
        actor_ent='linear(0.1,0.01,2000)')),
    'onehot_dynamics': (True, dict(actor_grad='dynamics')),
    'trunc_normal_dynamics': (False, dict()),
    'trunc_normal_both': (False, dict(actor_grad='both')),
    'tanh_normal_dynamics': (False, dict(actor__dist='tanh_normal')),
    'no_continue_head': (False, dict(
        pred_discount=False, grad_heads=['decoder', 'reward'],
        reward_norm__momentum=0.9, rssm__discrete=False)),
}


def behaviour(folder):
  for case, (discrete, overrides) in BEHAVIOURS.items():
    overrides = dict(dict(pred_discount=True, discount=0.97,
                          grad_heads=['decoder', 'reward', 'discount']),
                     **overrides)
    schedule = {k: v for k, v in overrides.items()
                if isinstance(v, str) and '(' in v}
    agent, weights = make_agent(
        _VECTORS, discrete, 'dmc_proprio',
        **{k: v for k, v in overrides.items() if k not in schedule})
    agent.tfstep.assign(600)
    ac, wm = agent._task_behavior, agent.wm
    ac.config = Scheduled(ac.config, schedule)
    data = batch(_VECTORS, discrete, 12)
    post = wm.loss(data)[2]['post']
    terminal = data['is_terminal'] if 'discount' in wm.heads else None
    draws.take()
    tf.random.set_seed(5)
    with tf.GradientTape(persistent=True) as tape:
      seq = wm.imagine(ac.actor, post, terminal, H)
      reward = wm.heads['reward'](seq['feat']).mode()
      seq['reward'], norm = ac.rewnorm(reward)
      target, metrics = ac.target(seq)
      actor_loss, actor_metrics = ac.actor_loss(seq, target)
      critic_loss, critic_metrics = ac.critic_loss(seq, target)
    noise = draws.take()
    if case.startswith('tanh_normal'):
      noise = noise[1:]  # of a mode that is asked for its shape alone
    save(folder, f'behaviour_{case}', weights=weights, data=data, start=post,
         noise=noise, rollout=seq, target=target,
         actor_loss=actor_loss, critic_loss=critic_loss,
         magnitude=ac.rewnorm.mag,
         metrics={**metrics, **actor_metrics, **critic_metrics,
                  **{f'reward_{k}': v for k, v in norm.items()}},
         gradients={
             **gradients(tape, actor_loss, _below('actor/', weights)),
             **gradients(tape, critic_loss, _below('critic/', weights)),
         })


def _below(prefix, weights):
  return {k: v for k, v in weights.items() if k.startswith(prefix)}


UPDATES = 5


def _each_optimizer(**settings):
  return {f'{part}_opt__{key}': value for key, value in settings.items()
          for part in ('model', 'actor', 'critic')}


RUNS = {
    'pixels': (_IMAGE, True, 'atari', dict(
        slow_target_update=2, reward_norm__momentum=0.9,
        **_each_optimizer(clip=10))),
    'vectors': (_VECTORS, False, 'dmc_proprio', dict(
        slow_target_update=3, kl__free=0.1, **_each_optimizer(wd=1e-2))),
    'plan2explore': (_VECTORS, True, 'dmc_proprio', dict(
        expl_behavior='Plan2Explore', disag_models=3, expl_intr_scale=0.9,
        expl_extr_scale=0.2, expl_reward_norm__momentum=0.8,
        pred_discount=True)),
    'plan2explore_log': (_VECTORS, False, 'dmc_proprio', dict(
        expl_behavior='Plan2Explore', disag_models=2, disag_target='deter',
        disag_log=True, disag_offset=0, disag_action_cond=False,
        rssm__discrete=False)),
    'model_loss': (_VECTORS, True, 'dmc_proprio', dict(
        expl_behavior='ModelLoss', expl_intr_scale=0.9, expl_extr_scale=0.2)),
}


def updates(folder):
  for case, (spaces, discrete, preset, overrides) in RUNS.items():
    agent, weights = make_agent(spaces, discrete, preset, **overrides)
    if case == 'pixels':  # its own configuration holds whole numbers alone
      agent._task_behavior.config = Scheduled(
          agent._task_behavior.config, dict(slow_target_fraction=0.5))
    before = {k: v.numpy() for k, v in weights.items()}
    batches, noise, metrics, after = [], [], [], []
    tf.random.set_seed(6)
    for i in range(UPDATES):
      batches.append(batch(spaces, discrete, 20 + i))
      with contextlib.redirect_stdout(io.StringIO()):
        _, found = agent.train(batches[-1])
      taken = draws.take()  # filtering draws prior and posterior
      noise.append(taken[1:2 * T:2] + taken[2 * T:])
      metrics.append(found)
      after.append({k: v.numpy() for k, v in weights.items()})
    slow = [{k: v for k, v in x.items() if k.startswith('slow_critic/out')}
            for x in after]
    save(folder, f'updates_{case}', weights=before, data=batches, noise=noise,
         metrics=metrics, slow=slow, after=after[-1])


POLICIES = {
    'discrete': (_VECTORS, True, dict()),
    'continuous': (_VECTORS, False, dict()),
    'noisy': (_VECTORS, True, dict(expl_noise=0.4, eval_noise=0.3)),
    'noisy_continuous': (_VECTORS, False, dict(expl_noise=0.4)),
    'mode_latent': (_VECTORS, True, dict(eval_state_mean=True)),
    # Keys that are not in alphabetical order, as environments have them.
    'order': (_ORDER, True, dict(
        encoder__cnn_keys='.*', decoder__cnn_keys='.*')),
}


def policy(folder):
  for case, (spaces, discrete, overrides) in POLICIES.items():
    agent, weights = make_agent(spaces, discrete, 'dmc_proprio', **overrides)
    data = batch(spaces, discrete, 30)
    groups = {}
    for mode in ('eval', 'train'):
      tf.random.set_seed(7)
      state, actions, latents, noise = None, [], [], []
      for t in range(T):
        obs = {k: v[:, t] for k, v in data.items() if k != 'action'}
        output, state = agent.policy(obs, state, mode)
        taken = draws.take()
        # Prior and posterior, unless the mode of both, then the action.
        noise.append(taken[1:])
        actions.append(output['action'])
        latents.append(state[0])
      groups[mode] = dict(actions=actions, latents=latents, noise=noise)
    save(folder, f'policy_{case}', weights=weights, data=data, **groups)
    if case in _FILES:
      _checkpoint(folder / _FILES[case], agent)


def _checkpoint(path, agent):
  """Its file as its own `save` writes it, with counts to be recognised."""
  agent.tfstep.assign(1234)
  agent._task_behavior._updates.assign(321)
  agent._task_behavior.rewnorm.mag.assign(1.75)
  with contextlib.redirect_stdout(io.StringIO()):
    agent.save(path)


def main(folder):
  tf.config.run_functions_eagerly(True)
  tf.config.threading.set_inter_op_parallelism_threads(1)
  folder.mkdir(parents=True, exist_ok=True)
  for case in (returns, kl, distributions, schedules, reward_norm, optimizer,
               model, ensemble, behaviour, updates, policy):
    print(case.__name__, flush=True)
    case(folder)


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else _HERE)
