"""The pure equations equal the published package's (goldens of `make.py`)."""

import itertools

from golden import cases
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from dreamerv2_tfa import distributions
from dreamerv2_tfa import losses
from dreamerv2_tfa import optimizers
from dreamerv2_tfa import returns
from dreamerv2_tfa import schedules
from dreamerv2_tfa import types
from dreamerv2_tfa.networks import heads

tfd = tfp.distributions


def test_lambda_returns_and_their_gradients():
  golden = cases.Golden('returns')
  inputs = {k: tf.Variable(v) for k, v in golden.group('inputs').items()}
  with tf.GradientTape() as tape:
    target = returns.lambda_returns(
        inputs['reward'], inputs['discount'], inputs['value'],
        inputs['bootstrap'], lambda_=0.95,
    )
    factors = tf.range(1.0, cases.H * 3 + 1)[:, None][:cases.H]
    loss = tf.reduce_sum(target * factors)
  cases.assert_near(target, golden['target'])
  for name, slope in tape.gradient(loss, inputs).items():
    wanted = golden.group('gradients')[name]
    cases.assert_near(slope, wanted, cases.GRADIENT, name)


@pytest.mark.parametrize('case, settings', [
    ('off', dict(momentum=1.0, scale=1.0, epsilon=1e-8)),
    ('on', dict(momentum=0.9, scale=0.5, epsilon=1e-3)),
])
def test_reward_normalisation_batch_by_batch(case, settings):
  golden = cases.Golden('reward_norm')
  magnitude = tf.constant(1.0, tf.float64)
  for i, rewards in enumerate(golden.series(f'{case}/inputs')):
    normed, magnitude = returns.normalise(rewards, magnitude, **settings)
    cases.assert_near(normed, golden[f'{case}/outputs/{i}'])
    cases.assert_near(magnitude, golden[f'{case}/magnitudes/{i}'])


def _states(kind, arrays):
  """Posterior and prior from their statistics alone, as variables."""
  states = []
  for name in ('post', 'prior'):
    if kind == 'discrete':
      logits = tf.Variable(arrays[f'{name}/logit'])
      states.append(types.DiscreteState((), (), logits))
    else:
      mean = tf.Variable(arrays[f'{name}/mean'])
      states.append(
          types.GaussianState((), (), mean, tf.Variable(arrays[f'{name}/std']))
      )
  return states


@pytest.mark.parametrize('kind', ['discrete', 'gaussian'])
def test_kl_loss_in_every_form_and_its_gradients(kind):
  golden = cases.Golden('kl')
  forms = itertools.product(
      (False, True), (0.8, 0.5, 0.3), (0.0, 0.9, 50.0), (True, False)
  )
  for forward, balance, free, free_avg in forms:
    wanted = golden.group(f'{kind}/{forward:d}-{balance}-{free}-{free_avg:d}')
    post, prior = _states(kind, golden.group(f'{kind}/inputs'))
    with tf.GradientTape() as tape:
      loss, value = losses.kl_loss(
          post, prior, balance=balance, free_nats=free, free_avg=free_avg,
          forward=forward,
      )
    slopes = tape.gradient(
        loss, (post, prior), unconnected_gradients='zero'
    )
    cases.assert_near(loss, wanted['loss'])
    cases.assert_near(value, wanted['value'])
    for side, slope in zip(('post', 'prior'), slopes, strict=True):
      for ours, theirs in (('logits', 'logit'), ('mean', 'mean'),
                           ('std', 'std')):
        if hasattr(slope, ours):
          cases.assert_near(
              getattr(slope, ours), wanted[f'gradients/{side}/{theirs}'],
              cases.GRADIENT,
          )


_MADE = {
    'onehot': lambda v: distributions.one_hot(v['loc']),
    'trunc_normal': lambda v: tfd.Independent(distributions.TruncatedNormal(
        tf.tanh(v['loc']), v['scale'], -1.0, 1.0), 1),
    'tanh_normal': lambda v: tfd.Independent(
        distributions.tanh_normal(v['loc'], v['scale']), 1),
    'normal': lambda v: tfd.Independent(
        distributions.Normal(v['loc'], v['scale']), 1),
}


@pytest.mark.parametrize('kind', _MADE)
def test_distributions_and_their_gradients(kind, monkeypatch):
  golden = cases.Golden('distributions')
  wanted = golden.group(f'{kind}/values')
  variables = {k: tf.Variable(v) for k, v in golden.group('inputs').items()}
  for what in wanted:
    with cases.fed(monkeypatch) as feed:
      feed.give(golden.series(f'{kind}/noise/{what}'))
      with tf.GradientTape() as tape:
        dist = _MADE[kind](variables)
        if what == 'sample':
          value = dist.sample(seed=[0, 0])
        elif what == 'log_prob':
          value = dist.log_prob(tf.constant(wanted['sample']))
        else:
          value = getattr(dist, what)()
        loss = tf.reduce_sum(value * tf.cumsum(tf.ones_like(value), -1))
    cases.assert_near(value, wanted[what], name=what)
    slopes = tape.gradient(loss, variables)
    for name, slope in golden.group(f'{kind}/gradients/{what}').items():
      cases.assert_near(slopes[name], slope, cases.GRADIENT, f'{what} {name}')


def test_bernoulli_with_soft_labels():
  golden = cases.Golden('distributions')
  logits = tf.Variable(golden['inputs/loc'])
  wanted = golden.group('bernoulli')
  with tf.GradientTape() as tape:
    dist = distributions.bernoulli(logits)
    log_prob = dist.log_prob(wanted['labels'])
  cases.assert_near(log_prob, wanted['log_prob'])
  cases.assert_near(dist.mean(), wanted['mean'])
  slope = tape.gradient(log_prob, logits)
  cases.assert_near(slope, wanted['gradient'], cases.GRADIENT)


def test_schedules():
  golden = cases.Golden('schedules')
  for text, values in zip(golden['strings'], golden['values'], strict=True):
    schedule = schedules.make(str(text), 'X.y')
    found = [schedule(tf.constant(step)) for step in golden['steps']]
    cases.assert_near(found, values, name=str(text))


@pytest.mark.parametrize('precision', ['float32', 'mixed_float16'])
def test_optimizer_over_several_steps(precision):
  golden = cases.Golden('optimizer')
  variables = {
      key: tf.Variable(value, name=key)
      for key, value in golden.group(f'{precision}/before').items()
  }
  optimizer = optimizers.Optimizer(
      list(variables.values()), learning_rate=0.01, epsilon=1e-5,
      clip_norm=5.0, weight_decay=0.1,
      loss_scaling=precision == 'mixed_float16', name='model',
  )
  for i in range(4):
    wanted = golden.group(f'{precision}/steps/{i}')
    with tf.GradientTape() as tape:
      loss = sum(tf.reduce_sum(variable * wanted[f'slopes/{key}'])
                 for key, variable in variables.items())
    metrics = optimizer.minimize(tape, loss)
    for key, variable in variables.items():
      cases.assert_near(variable, wanted[f'after/{key}'], name=f'{key} {i}')
    for key in metrics:
      cases.assert_near(metrics[key], wanted[f'metrics/{key}'], name=key)


def test_a_continuous_normal_actor_has_a_positive_scale():
  """The published package's takes the raw number, which may be negative."""
  head = heads.ActionHead(3, 2, kind='normal', min_std=0.1)
  scale = head(tf.constant(100.0 * np.eye(3), tf.float32)).stddev()
  assert np.all(scale >= 0.1)
