"""Tests of the update that is timed before a long run begins."""

import json
import types

import gin
import pytest
import small
import tensorflow as tf

import dreamerv2_tfa
from dreamerv2_tfa import devices
from dreamerv2_tfa.training import progress
from dreamerv2_tfa.training import protocol
from dreamerv2_tfa.training import timetable
from dreamerv2_tfa.training import trial

_ATARI = {'world_model': 20_000_000, 'actor': 1_000_000, 'critic': 1_000_000}
_CATCH = {'world_model': 588_371, 'actor': 41_603, 'critic': 41_345}


@pytest.mark.parametrize('counts, updates, batch, length, gpu, eager, wanted', [
    (_ATARI, 3_125_000, 16, 50, False, False, True),
    (_CATCH, 2_476, 16, 12, False, False, False),
    (_CATCH, 2_476_000, 16, 12, False, False, True),
    (_ATARI, 10, 16, 50, False, False, False),
    (_ATARI, 3_125_000, 16, 50, True, False, False),
    (_ATARI, 3_125_000, 16, 50, False, True, False),
])
def test_an_update_is_tried_before_a_long_run_on_a_cpu(
    monkeypatch, counts, updates, batch, length, gpu, eager, wanted):
  monkeypatch.setattr(protocol, 'parameter_counts', lambda agent: counts)
  monkeypatch.setattr(devices, 'has_gpu', lambda: gpu)
  monkeypatch.setattr(tf.config, 'functions_run_eagerly', lambda: eager)
  parts = types.SimpleNamespace(agent=None)
  assert trial.is_worth(parts, updates, batch, length) == wanted


def test_a_trial_changes_nothing_and_is_timed_without_compiling(monkeypatch):
  agent = small.make_agent()
  before = small.checkpoint(agent)
  clock = iter([5.0, 7.5])
  monkeypatch.setattr(trial.time, 'monotonic', lambda: next(clock))
  calls = []
  loss = type(agent).loss
  monkeypatch.setattr(type(agent), 'loss', lambda self, batch: (
      calls.append(batch.step_type.shape), loss(self, batch))[1])
  assert trial.update_seconds(agent, 2, 5) == 2.5
  assert calls == [(2, 6)] * 2
  assert small.same(before, small.checkpoint(agent))


def test_what_is_said_comes_from_the_trial(capsys):
  plan = timetable.make(
      steps=5e7, prefill=5e4, pretrain=1, steps_per_update=16, log_every=1e4,
      eval_every=2.5e5, save_every=1e4)
  progress.Progress(plan, 0, 0).tried(5.0)
  line = capsys.readouterr().out
  assert line.startswith(
      'Estimate: 3,121,877 updates of about 5 s on this machine: '
      'at least 180 days')
  assert 'meant for a GPU' in line


@pytest.mark.slow
def test_a_run_is_the_same_with_a_trial_and_without(
    tmp_path, monkeypatch, capsys):
  def lines(name, worth):
    monkeypatch.setattr(trial, '_WORTH', worth)
    dreamerv2_tfa.train(
        'catch', root_dir=tmp_path / name, preset=['quickstart', 'debug'],
        eager=False, steps=80, log_every=40, save_every=100)
    text = (tmp_path / name / 'metrics.jsonl').read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    return [{**row, 'fps': None} for row in rows], capsys.readouterr().out

  gin.clear_config()
  with_trial, said = lines('with', 0.0)
  without, silent = lines('without', 1e9)
  assert len(with_trial) == 2 and with_trial == without
  assert said.index('Estimate: 3 updates') < said.index('Prefill: 60 random')
  assert 'Estimate' not in silent
