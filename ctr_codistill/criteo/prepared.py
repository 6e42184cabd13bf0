"""What lies where in a prepared directory, and who may write there.

A directory whose job did not end lacks `prepare.json`, which comes last, so
that no reader takes it for a whole. It says which job it is: only the same one
goes on with it.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing import ledger
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

SUMMARY = "prepare.json"
TRAIN = "train"
VALIDATION = "validation"
_UNFINISHED = "unfinished.json"
_ASIDE = ".tmp-"
_FOLDERS = (
  TRAIN,
  VALIDATION,
  vocabularies.FOLDER,
  quarantine.FOLDER,
  ledger.FOLDER,
)


@contextlib.contextmanager
def claim(
  output: pathlib.Path, job: Mapping[str, Any], *, overwrite: bool
) -> Iterator[dict[str, Any] | None]:
  """Makes `output` the place of a job; nobody else may write there meanwhile.

  Args:
    output: absent, empty, or left by the same job when it did not end.
    job: JSON values that say what job it is, two levels deep at most.
    overwrite: whether a complete one, or another job's, may be replaced.

  Yields:
    `None`; or, where the job died in its very last step, which is then done,
    its summary.

  Raises:
    InputError: `output` is complete, in use, a file, of another job, or holds
      what no job left.
  """
  if output.exists() and not output.is_dir():
    raise InputError(f"output {output} should be a directory, is a file")
  try:
    output.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"output {output}: {error.strerror}") from None
  with _locked(output):
    try:
      found = _claim(output, json.loads(json.dumps(job)), overwrite=overwrite)
    except OSError as error:
      place = error.filename or output
      raise InputError(f"output {place}: {error.strerror}") from None
    yield found


def finish(
  output: pathlib.Path, schema: Schema, summary: Mapping[str, Any]
) -> None:
  """Stamps `output` as complete."""
  schemas.write(schema, output)
  stamped.write_json(output / SUMMARY, dict(summary))
  _tidy(output)


def _claim(
  output: pathlib.Path, job: dict[str, Any], *, overwrite: bool
) -> dict[str, Any] | None:
  complete, begun = (output / SUMMARY).exists(), _begun(output)
  if complete and begun is None and not overwrite:
    raise InputError(
      f"output {output} is prepared already; give another directory, or "
      "--overwrite"
    )
  names = {n for n in os.listdir(output) if not n.startswith(_ASIDE)}
  if names and not names & {SUMMARY, _UNFINISHED}:
    raise InputError(
      f"output {output} should be empty or a prepared directory, "
      f"holds {min(names)}"
    )
  if overwrite or not begun:
    _start(output, job, complete=complete)
    return None
  _check(output, begun, job)
  if complete:
    _tidy(output)
    return json.loads((output / SUMMARY).read_text(encoding="utf-8"))
  for name in ("", *_FOLDERS):
    stamped.sweep(output / name)
  return None


def _start(
  output: pathlib.Path, job: dict[str, Any], *, complete: bool
) -> None:
  """Empties `output`, so that a deletion that is killed can go on."""
  if complete:
    # At once: a summary beside the mark of a job is one that died at its end.
    os.replace(output / SUMMARY, output / _UNFINISHED)
  stamped.write_json(output / _UNFINISHED, {})
  (output / schemas.FILE).unlink(missing_ok=True)
  for name in _FOLDERS:
    if (output / name).exists():
      shutil.rmtree(output / name)
  stamped.sweep(output)
  stamped.write_json(output / _UNFINISHED, {"job": job})


def _begun(output: pathlib.Path) -> dict[str, Any] | None:
  """Returns the job that is marked there: empty if it never began."""
  try:
    text = (output / _UNFINISHED).read_text(encoding="utf-8")
    return json.loads(text).get("job", {})
  except FileNotFoundError:
    return None
  except (ValueError, AttributeError):
    return {}


def _check(
  output: pathlib.Path, begun: dict[str, Any], job: dict[str, Any]
) -> None:
  before, now = _flat(begun), _flat(job)
  others = [
    f"{name}: {before.get(name)} against {now.get(name)}"
    for name in sorted(before.keys() | now.keys())
    if before.get(name) != now.get(name)
  ]
  if others:
    raise InputError(
      f"output {output} was begun by another job ({'; '.join(others)}); give "
      "another directory, or --overwrite to start anew"
    )


def _flat(job: Mapping[str, Any]) -> dict[str, Any]:
  found = {}
  for name, value in job.items():
    items = value.items() if isinstance(value, dict) else [("", value)]
    found.update({f"{name} {key}".strip(): item for key, item in items})
  return found


def _tidy(output: pathlib.Path) -> None:
  """Deletes what a job that came to its end needs no more, its mark last."""
  shutil.rmtree(output / ledger.FOLDER, ignore_errors=True)
  (output / _UNFINISHED).unlink()


@contextlib.contextmanager
def _locked(output: pathlib.Path) -> Iterator[None]:
  """Keeps others out; the system lets them in when this process dies."""
  folder = os.open(output, os.O_RDONLY)
  try:
    try:
      fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise InputError(
        f"output {output} is in use: another job writes there"
      ) from None
    yield
  finally:
    os.close(folder)
