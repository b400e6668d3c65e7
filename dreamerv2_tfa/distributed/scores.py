"""What the evaluator found of each checkpoint, for the best of them to be kept.

The learner keeps it, before it removes old ones; after its end the evaluator.
A checkpoint is known by its checksum: a learner that was killed makes another
one of the same step.
"""

import hashlib
import json
import pathlib
from typing import Any

from dreamerv2_tfa import durable
from dreamerv2_tfa import reading
from dreamerv2_tfa.training import checkpoint_files
from dreamerv2_tfa.training import runs

_NAME = 'scores.json'  # in `evaluations/`


def note(folder: runs.RunFolder, path: str, score: float, digest: str) -> None:
  """Notes what a checkpoint has scored; forgets those that were removed.

  Args:
    folder: Of the run.
    path: Of the checkpoint, without endings.
    score: Mean return.
    digest: Of `digest`, when it was played.
  """
  there = checkpoint_files.steps_of(folder.checkpoints)
  found = {name: each for name, each in _read(folder).items()
           if int(name) in there}
  found[str(checkpoint_files.step(path))] = {
      'eval_return': score, 'sha256': digest}
  durable.write_text(
      folder.evaluations / _NAME, json.dumps(found, indent=1) + '\n')


def best(folder: runs.RunFolder) -> tuple[int, float] | None:
  """Agent steps and score of the best checkpoint that is still there."""
  found = [
      (each['eval_return'], int(name)) for name, each in _read(folder).items()
      if digest(str(folder.checkpoints / f'ckpt-{name}')) == each['sha256']]
  if not found:
    return None
  score, steps = max(found)
  return steps, score


def digest(path: str) -> str:
  """SHA-256 of a checkpoint's index, which has the checksums of its data.

  Args:
    path: Of the checkpoint, without endings; '' is returned without one.
  """
  try:
    index = reading.data(pathlib.Path(f'{path}.index'))
  except (OSError, ValueError):
    return ''
  return hashlib.sha256(index).hexdigest()


def _read(folder) -> dict[str, Any]:
  """What was noted; nothing where the file is missing or damaged."""
  try:
    found = reading.parsed(reading.text(folder.evaluations / _NAME))
    return {str(int(name)): {
        'eval_return': float(each['eval_return']), 'sha256': each['sha256']}
            for name, each in found.items()}
  except (OSError, ValueError, TypeError, KeyError, AttributeError):
    return {}
