"""What lies where in a prepared directory, and who may write there.

A directory whose job did not end lacks its schema and `prepare.json`, which
come last, so that no reader takes it for a whole.
"""

import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

SUMMARY = "prepare.json"
TRAIN = "train"
VALIDATION = "validation"
_UNFINISHED = "unfinished.json"
_FOLDERS = (TRAIN, VALIDATION, vocabularies.FOLDER, quarantine.FOLDER)


def claim(
  output: pathlib.Path, job: Mapping[str, Any], *, overwrite: bool
) -> None:
  """Makes `output` an empty directory, marked as the place of a job.

  Args:
    output: absent, empty, or left by a job that did not end.
    job: JSON values that say what job it is.
    overwrite: whether a complete one may be replaced.

  Raises:
    InputError: `output` is complete, a file, or holds what no job left.
  """
  if (output / SUMMARY).exists() and not overwrite:
    raise InputError(
      f"output {output} is prepared already; give another directory, or "
      "--overwrite"
    )
  if output.exists() and not output.is_dir():
    raise InputError(f"output {output} should be a directory, is a file")
  names = set(os.listdir(output)) if output.exists() else set()
  if names and not names & {SUMMARY, _UNFINISHED}:
    raise InputError(
      f"output {output} should be empty or a prepared directory, "
      f"holds {min(names)}"
    )
  try:
    output.mkdir(parents=True, exist_ok=True)
    # Before anything goes, so that a deletion that is killed can go on.
    stamped.write_json(output / _UNFINISHED, dict(job))
    _clear(output)
  except OSError as error:
    raise InputError(f"output {output}: {error.strerror}") from None


def finish(
  output: pathlib.Path, schema: Schema, summary: Mapping[str, Any]
) -> None:
  """Stamps `output` as complete."""
  schemas.write(schema, output)
  stamped.write_json(output / SUMMARY, dict(summary))
  (output / _UNFINISHED).unlink()


def _clear(output: pathlib.Path) -> None:
  """Deletes what a job left, first what makes it look complete."""
  for name in (SUMMARY, schemas.FILE):
    (output / name).unlink(missing_ok=True)
  for name in _FOLDERS:
    if (output / name).exists():
      shutil.rmtree(output / name)
