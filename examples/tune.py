"""Optuna tunes two settings, and ends trials that promise little.

`bin/python -m pip install optuna`, then
`bin/python examples/tune.py runs/tuned --trials=20 --steps=6000`: a trial takes
two minutes. The study is in `study.db`; the same command adds trials to it.
"""

import argparse
import pathlib

import optuna

import dreamerv2_tfa


def objective(trial, folder, steps, **settings):
  """The highest return of a trial's evaluations."""
  returns = []

  def watch(event):
    if event.kind == 'evaluation':
      returns.append(event.metrics['eval_return'])
      trial.report(returns[-1], event.step)
      if trial.should_prune():
        raise optuna.TrialPruned

  dreamerv2_tfa.train(
      'catch', root_dir=folder / f'trial_{trial.number}', steps=steps,
      callbacks=[watch], **settings, **{
          'WorldModel.kl_scale': trial.suggest_float(
              'kl_scale', 0.1, 10.0, log=True),
          'ActorCritic.entropy_scale': trial.suggest_float(
              'entropy_scale', 1e-4, 1e-2, log=True),
      })
  return max(returns)


def main(folder, trials=20, steps=6000, **settings):
  """Adds trials to the study in a folder, and prints the best."""
  folder = pathlib.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  study = optuna.create_study(
      storage=f'sqlite:///{folder / "study.db"}', study_name='catch',
      direction='maximize', load_if_exists=True)
  study.optimize(
      lambda trial: objective(trial, folder, steps, **settings), trials)
  print(f'Best of {len(study.trials)}: {study.best_value} with '
        f'{study.best_params}')


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('folder')
  parser.add_argument('--trials', type=int, default=20)
  parser.add_argument('--steps', type=int, default=6000)
  main(**vars(parser.parse_args()))
