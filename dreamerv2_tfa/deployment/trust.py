"""Whether an export is loaded: its files are whole, and its graph computes.

The hashes in `policy.json` find damage. Whoever puts another model in place of
the policy can write them again, so the graph is looked at as well, before the
format's runtime reads it; or the caller names the export by its own hash.
"""

import os
import pathlib
import re
from typing import Any

from dreamerv2_tfa import checks
from dreamerv2_tfa.deployment import formats
from dreamerv2_tfa.deployment import manifest as manifest_lib

ANY = 'any'  # whatever the graph does: the caller's word for it


def check(
    folder: str | os.PathLike, manifest: dict[str, Any],
    trust: str | None = None,
) -> None:
  """Refuses an export that is not whole, or would do more than compute.

  Args:
    folder: The export.
    manifest: Dict, its `policy.json`.
    trust: None: files are those of the manifest, and operations are known ones.
      The hash of `policy.json` (`manifest.fingerprint`): exactly that export.
      'any': any operations, by files of the manifest.

  Raises:
    UserError: If it is another export than `trust` says.
    ValueError: If a file is missing, new or changed, or is more than numbers
      and known operations.
  """
  if trust not in (None, ANY):
    _check_fingerprint(folder, trust)
  manifest_lib.check_files(folder, manifest)
  if trust is None:
    _check_content(pathlib.Path(folder), manifest)


def _check_fingerprint(folder, trust):
  if not (isinstance(trust, str) and re.fullmatch('[0-9a-fA-F]{64}', trust)):
    raise checks.UserError(
        f'trust must be {ANY!r} or the SHA-256 of a policy.json, 64 digits; '
        f'got {trust!r}. bin/export prints it.'
    )
  found = manifest_lib.fingerprint(folder)
  if found != trust.lower():
    raise checks.UserError(
        f'{folder} is another export than the one that you trust: policy.json '
        f'has the SHA-256 {found}; wanted {trust.lower()}. Get the export '
        'again from where you know it.'
    )


def _check_content(folder, manifest):
  form = formats.get(manifest['format'])
  foreign = [
      name for name in manifest['files'] if not re.fullmatch(form.FILES, name)
  ]
  try:
    if foreign:
      raise ValueError(f'it holds the file {foreign[0]!r}')
    form.check(folder)
  except Exception as error:  # of a damaged file, whatever its parser raises
    reason = (str(error).strip().splitlines() or [repr(error)])[0]
    raise checks.UserError(
        f'{folder} is more than a policy that bin/export writes: {reason}. It '
        'could read and write files, or run code. If you trust who made it: '
        f'load_policy(..., trust={ANY!r}), or bin/serve --trust={ANY}.'
    ) from error
