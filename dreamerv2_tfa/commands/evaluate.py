"""`bin/evaluate`: plays a run or an export, and says how well it does."""

import json
import sys

from absl import flags

from dreamerv2_tfa.commands import arguments
from dreamerv2_tfa.commands import configuration
from dreamerv2_tfa.commands import help as help_lib

configuration.define(
    'root_dir', 'policy', 'trust', 'task', 'environments', 'seed', 'gin_file',
    'gin_bindings', 'csv')
_EPISODES = configuration.number(
    'episodes', None, 'Episodes to play. Without it: 100.')
_CHECKPOINT = flags.DEFINE_string(
    'checkpoint', None, "Agent steps at a checkpoint of the run, or 'best'. "
    'Without it: the last.')
_SAMPLED = flags.DEFINE_bool(
    'sampled', False, 'Draw actions from the actor; else its modes are taken.')
_REPEAT_LAST = flags.DEFINE_bool(
    'repeat_last', False, "Play the run's own last evaluation again: the same "
    'episodes, the same numbers.')
_JSON = flags.DEFINE_bool('json', False, 'Print JSON in place of the table.')
_VIDEO = flags.DEFINE_string(
    'video', None, 'File for a video, .mp4 or .gif: what the environment '
    'draws, and what the model sees beside it.')
_VIDEO_EPISODES = configuration.number(
    'video_episodes', 3, 'Episodes to film, of the first environment.')
PAGE = help_lib.Page(
    'evaluate', 'Plays episodes of a run or an export and prints the mean '
    'return, its standard error and the interquartile mean. The same command '
    'plays the same episodes.',
    '--root_dir=RUN [--flag=VALUE ...]',
    {
        'What plays': [
            ('root_dir=RUN', 'Folder of the run. --logdir is the same flag.'),
            'checkpoint=STEPS', 'sampled',
            ('policy=DIR', 'An export in place of a run.'), 'trust=SHA256'],
        'What is played': [
            'episodes=N',
            ('environments=N', 'Environments side by side, each in a process '
             'of its own. Without it: one.'),
            ('seed=N', 'Of environments and draws. Without it: that of the '
             "run's own evaluations."), 'repeat_last',
            ('task=TASK', "Where it is not the run's, or imports a module."),
            ('gin_file=FILE', "Settings of an export's task."),
            ("gin_bindings='NAME = VALUE'", 'The same.')],
        'What is written': [
            ('csv=FILE', 'File for a line an episode.'), 'json', 'video=FILE',
            'video_episodes=N'],
        'Look, do not play': [help_lib.VERSION, help_lib.HELP],
    },
    [
        ('--root_dir=runs/pong --episodes=100 --csv=pong.csv',
         'The last checkpoint; one line an episode in pong.csv.'),
        ('--root_dir=runs/pong --checkpoint=best --video=pong.mp4',
         'The checkpoint with the highest evaluation, with a video.'),
        ('--policy=exported --environments=8 --json',
         'An export, in eight environments at once.'),
    ],
)


def run(unused_argv: list[str]) -> None:
  """Plays, and prints the table."""
  from dreamerv2_tfa.reports import episodes  # slow to import
  from dreamerv2_tfa.reports import evaluate

  value = configuration.value
  played, ended = evaluate.evaluate(evaluate.Options(
      root_dir=value('root_dir'), policy=value('policy'), trust=value('trust'),
      task=value('task'), checkpoint=_CHECKPOINT.value,
      episodes=_EPISODES.value, environments=value('environments'),
      seed=value('seed'), sampled=_SAMPLED.value,
      repeat_last=_REPEAT_LAST.value, presets=tuple(value('gin_file')),
      bindings=tuple(value('gin_bindings')), csv=value('csv'),
      video=_VIDEO.value, video_episodes=_VIDEO_EPISODES.value))
  if played.episodes:
    found = episodes.summary(played)
    print(json.dumps(found, indent=2) if _JSON.value else episodes.said(found))
  if ended:
    csv = value('csv')
    print(
        f'Stopped after {len(played.episodes):,} of {played.wanted:,} episodes.'
        + (f' {csv} has them.' if csv else ''), file=sys.stderr)
    sys.exit(128 + ended)


def main() -> None:
  """Entry point of the console script."""
  arguments.main(run, PAGE)


if __name__ == '__main__':
  main()
