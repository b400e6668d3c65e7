"""Tests of the time left, on made-up runs under a made-up clock."""

import pytest

from dreamerv2_tfa.training import forecast
from dreamerv2_tfa.training import timetable


class _Trainer:
  """Lives through a run as `trainer.Trainer` does; `left` at any time.

  Costs are in seconds: of a random step, a step, an update, a compilation, an
  evaluation, a save and an export.
  """

  def __init__(self, steps_due, *, random=0.001, step=0.01, update=1.0,
               compile_=20.0, evaluate=9.0, save=3.0, export=5.0, start=0):
    self.steps_due, self.costs = steps_due, dict(
        random=random, step=step, update=update, compile=compile_,
        evaluate=evaluate, save=save, export=export)
    self.now, self.steps = 1000.0, start
    self.updates = steps_due.updates_due(start) if start else 0
    self.forecast = forecast.Forecast(
        steps_due, start, self.updates, clock=lambda: self.now)
    self.asked = []  # (time, time left)

  def run(self, until=float('inf')):
    """Runs to its end, or for about so many seconds; returns itself."""
    end, steps_due, cost = self.now + until, self.steps_due, self.costs
    if self.steps < steps_due.prefill:
      self.forecast.enter('prefill')
    while self.steps < steps_due.prefill and self.now < end:
      self._pass(min(100, steps_due.prefill - self.steps), 'random')
    self._updates()
    while self.steps < steps_due.steps and self.now < end:
      before = self.steps
      if self.forecast.phase != 'train':
        self.forecast.enter('train')
      taken = min(steps_due.steps_per_update, steps_due.steps - self.steps)
      self._pass(taken, 'step')
      self.forecast.acted(taken * cost['step'], taken)
      self._updates()
      due = steps_due.due(before, self.steps)
      for name in ['evaluate', 'export'] * due.evaluate + ['save'] * due.save:
        self._event(name)
    if self.steps >= steps_due.steps:
      for name in ('evaluate', 'save', 'export'):
        self._event(name)
    return self

  def _pass(self, count, name):
    self.now += count * self.costs[name]
    self.steps += count
    self._note()

  def _updates(self):
    while self.updates < self.steps_due.updates_due(self.steps):
      if self.forecast.rate('compile') is None:
        self.forecast.enter('compile')
        self.now += self.costs['compile']
      self.now += self.costs['update']
      self.updates += 1
      self._note()
      if self.forecast.phase == 'compile':
        self.forecast.enter('pretrain')

  def _event(self, name):
    self.forecast.enter(name)
    self.now += self.costs[name]
    self._note()

  def _note(self):
    self.forecast.count(self.steps, self.updates)
    self.asked.append((self.now, self.forecast.left()))


def _due(**changes):
  return timetable.make(**{**dict(
      steps=20_000, prefill=5000, pretrain=3, steps_per_update=5,
      log_every=1000, eval_every=2000, save_every=3000), **changes})


def _worst(run_, after=120.0, before=60.0):
  """The largest error, as a share of what was left, of a finished run.

  Looked at from `after` seconds of training on, up to `before` the end.
  """
  began = next(now for now, left in run_.asked if left is not None)
  return max(
      abs(left - (run_.now - now)) / (run_.now - now)
      for now, left in run_.asked
      if now > began + after and now < run_.now - before)


def test_random_steps_do_not_count_as_the_speed_of_training():
  # At the speed of random steps, 15,000 would take 15 s; they take 3,150 s.
  run_ = _Trainer(_due(), evaluate=0, save=0, export=0).run(until=60.0)
  left = run_.forecast.left()
  assert left == pytest.approx(
      3000 * (5 * 0.01 + 1.0) - (run_.steps - 5000) * 0.21, rel=0.02)


def test_nothing_is_said_before_there_is_an_update():
  run_ = _Trainer(_due()).run(until=2.0)
  assert run_.forecast.phase == 'prefill'
  assert run_.forecast.left() is None


def test_an_update_that_was_tried_before_says_what_is_left():
  run_ = _Trainer(_due(), evaluate=0, save=0, export=0)
  run_.forecast.tried(1.0)
  run_.run(until=2.0)
  assert run_.forecast.left() == pytest.approx(
      3 + 4 + 3000 * 1.0 + 15_000 * 0.001, rel=0.01)


@pytest.mark.parametrize('costs', [
    dict(), dict(update=0.05, step=0.02), dict(update=0.3, evaluate=60.0),
    dict(update=0.2, compile_=60.0), dict(random=0.05, step=0.05),
    dict(update=0.5, save=40.0, export=20.0),
])
def test_after_two_minutes_it_is_within_a_fifth(costs):
  assert _worst(_Trainer(_due(), **costs).run()) < 0.2


def test_in_the_end_nothing_is_left():
  run_ = _Trainer(_due()).run()
  run_.forecast.enter(None)
  times = [left for now, left in run_.asked if run_.now - now < 9.0]
  assert times and max(times) < 20.0 and run_.asked[-1][1] == 0.0


def test_the_first_update_is_not_the_speed_of_the_others():
  one, other = (
      _Trainer(_due(), compile_=seconds).run(until=300.0)
      for seconds in (0.0, 100.0))
  assert other.forecast.rate('train') == pytest.approx(
      one.forecast.rate('train'))
  assert other.forecast.rate('pretrain') == pytest.approx(1.0)


def test_evaluations_saves_and_exports_that_are_due_are_counted():
  cheap = _Trainer(_due(), evaluate=0, save=0, export=0).run(until=2200.0)
  dear = _Trainer(_due(), evaluate=50.0, save=7.0, export=30.0)
  while dear.steps < cheap.steps:
    dear.run(until=0.01)
  assert dear.forecast.phase == 'train'
  # Evaluations with exports at 16,000, 18,000 and the end, saves at 18,000 and
  # the end.
  assert 15_000 < dear.steps < 16_000
  assert dear.forecast.left() - cheap.forecast.left() == pytest.approx(
      3 * 80.0 + 2 * 7.0, abs=2.0)


def test_an_evaluation_is_foreseen_before_one_was_played():
  run_ = _Trainer(_due(eval_every=9000)).run(until=100.0)
  difference = run_.forecast.left(450.0) - run_.forecast.left(0.0)
  # At 9,000 and 18,000 and the end; a step with the policy takes 0.01 s.
  assert difference == pytest.approx(3 * 450 * 0.01)


def test_an_evaluation_under_way_is_told_by_what_is_done_of_it():
  run_ = _Trainer(_due()).run(until=60.0)
  before = run_.forecast.left()
  run_.forecast.enter('evaluate')
  run_.now += 30.0
  run_.forecast.evaluated(0.25)
  # 90 s of this one, and eight of 120 s are to come, the last at the end.
  assert run_.forecast.left() == pytest.approx(
      before + 90.0 + 8 * 120.0, abs=2.0)


def test_a_slow_spell_is_forgotten():
  run_ = _Trainer(_due(steps=50_000)).run(until=600.0)
  usual = run_.forecast.rate('train')
  run_.costs['update'] = 5.0
  run_.run(until=120.0)
  slow = run_.forecast.rate('train')
  run_.costs['update'] = 1.0
  run_.run(until=1800.0)
  assert slow > 1.1 * usual
  assert run_.forecast.rate('train') == pytest.approx(usual, rel=0.05)


def test_a_lasting_change_of_speed_is_learned():
  run_ = _Trainer(_due(steps=90_000)).run(until=1200.0)
  usual = run_.forecast.rate('train')
  run_.costs['update'] = 3.0
  run_.run(until=2400.0)
  assert run_.forecast.rate('train') > 2.3 * usual


def test_a_resumed_run__measures_by_itself():
  run_ = _Trainer(_due(), start=12_000).run()
  assert _worst(run_) < 0.2
  assert run_.asked[0][1] is None or run_.asked[0][1] > 0


def test_updates_that_no_step_comes_between_have_a_speed_of_their_own():
  run_ = _Trainer(_due(pretrain=500), step=0.2).run(until=130.0)
  assert run_.forecast.phase == 'pretrain'
  # What is left of them takes 1 s each; steps are guessed to be random ones.
  rest = 501 - run_.updates
  assert run_.updates == 501 and rest == 0
  assert run_.forecast.left() == pytest.approx(
      rest + 15_000 * 0.201, rel=0.02)


@pytest.mark.parametrize('seconds, words', [
    (0.0, '0 s'), (0.314, '0.31 s'), (5.94, '5.9 s'), (42.4, '42 s'),
    (59.8, '1 min 0 s'), (250, '4 min 10 s'), (3599.9, '1 h 0 min'),
    (7500, '2 h 5 min'), (86_399, '1 day 0 h'), (86_400, '1 day 0 h'),
    (3.2 * 86_400, '3 days 5 h'), (180.2 * 86_400, '180 days'),
    (3650 * 86_400, '10 years'),
])
def test_a_time_in_words(seconds, words):
  assert forecast.duration(seconds) == words
