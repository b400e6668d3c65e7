"""What a report warns of, a sentence each."""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from dreamerv2_tfa.diagnostics import findings as findings_lib
from dreamerv2_tfa.reports import values
from dreamerv2_tfa.reports import verdict
from dreamerv2_tfa.training import runs
from dreamerv2_tfa.training import sums

_STICKY, _REPEAT = 0.25, 4  # of the published Atari runs
_PIXELS, _CONTROL_REPEAT = 'pixels as observations', 2  # of DM Control's


def of_metrics(
    rows: list[dict[str, Any]], last: Mapping[str, float]) -> list[str]:
  """What the metrics warn of, a sentence each."""
  found = []
  if last.get('skipped_updates'):
    found.append(
        f'{last["skipped_updates"]:,.0f} updates were skipped, because a '
        'gradient was not finite under the loss scale. A few are normal.')
  if last.get('env_restarts'):
    found.append(
        f'Environments failed and were restarted {last["env_restarts"]:,.0f} '
        'times.')
  cut = len(values.points(rows, 'eval_cut'))
  if cut:
    found.append(
        f'{cut} evaluations had episodes without an end, which were cut after '
        'train.eval_steps steps; their returns count as they were then.')
  for name, value in last.items():
    if name.endswith('_loss_scale') and value <= 1.0:
      found.append(
          f'{name} is {value:g}, the smallest there is: float16 is too '
          'narrow here. Train with --precision=bf16 or 32.')
  null = sorted({name for row in rows for name, value in row.items()
                 if value is None})
  if null:
    found.append(
        f'Not finite at times: {", ".join(null[:8])}'
        + (f' and {len(null) - 8} others.' if len(null) > 8 else '.'))
  return found


def of_protocol(
    there: dict[str, Any], settings: Mapping[str, str],
    judged: verdict.Verdict) -> list[str]:
  """A warning where the run's protocol is not that of the published runs."""
  if not judged.points:
    return []
  if there['task'].startswith('dmc_'):
    setting = lambda name, value: values.literal(
        settings.get(f'load_dmc.{name}', value))
    pixels, joints = setting('pixels', 'True'), setting('proprio', 'False')
    mine = ('joint positions as observations' if not pixels else
            'pixels and joint positions as observations' if joints else _PIXELS)
    theirs, repeat = _PIXELS, _CONTROL_REPEAT
  else:
    sticky = values.literal(settings.get('load_atari.sticky', str(_STICKY)))
    mine, theirs = f'sticky actions {sticky}', f'sticky actions {_STICKY}'
    repeat = _REPEAT
  if (mine, there['action_repeat']) == (theirs, repeat):
    return []
  return [
      f'Not comparable: this run has {mine} and {there["action_repeat"]} '
      f'frames an agent step; the published runs have {theirs} and {repeat}.']


def of_findings(findings: Iterable[findings_lib.Finding]) -> list[str]:
  """What the findings warn of, a sentence each."""
  return [
      f'{each.name} is {each.value:.4g}'
      + (f', healthy is {each.healthy}' if each.healthy else '')
      + f'. {each.says}' for each in findings if each.says]


def of_files(folder: runs.RunFolder) -> list[str]:
  """What is noted of files that are not as the run has written them."""
  found = sums.changes(folder, checkpoints=False)
  if folder.crash.is_dir():
    found.append(
        f'An update was not finite and was not applied: {folder.crash.name}/ '
        'has its batch. bin/train --root_dir=RUN --replay_crash names the '
        'first operation that was not finite.')
  return found
