"""What lies where in a prepared directory, and who may write there.

A directory whose job did not end lacks `prepare.json`, which comes last, so
that no reader takes it for a whole. It says which job it is: only the same one
goes on with it.

A job that makes a remote directory works in a local one, its scratch, which
says the same. Shards leave it one by one, the rest at the end.
"""

import contextlib
import json
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ctr_codistill import locks
from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing import ledger
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

SUMMARY = "prepare.json"
TRAIN = "train"
VALIDATION = "validation"
_LOG = logging.getLogger(__name__)
_UNFINISHED = "unfinished.json"
_FOLDERS = (
  TRAIN,
  VALIDATION,
  vocabularies.FOLDER,
  quarantine.FOLDER,
  ledger.FOLDER,
)
_DELIVERED = (vocabularies.FOLDER, quarantine.FOLDER)


def folders(output: str | os.PathLike) -> list[str]:
  """Returns the folders of a job, whose files it may delete."""
  return [os.path.join(output, name).rstrip("/") for name in ("", *_FOLDERS)]


def files(output: str | os.PathLike) -> list[str]:
  """Returns files that a job writes in each place where it writes any."""
  names = (SUMMARY, os.path.join(TRAIN, records.MANIFEST), _UNFINISHED)
  bad = os.fspath(quarantine.path(""))
  return [os.path.join(output, name) for name in (*names, bad)]


@contextlib.contextmanager
def claim(
  output: str | os.PathLike,
  job: Mapping[str, Any],
  *,
  overwrite: bool,
  scratch: str | os.PathLike | None = None,
) -> Iterator[dict[str, Any] | None]:
  """Makes `output` the place of a job; nobody else may write there meanwhile.

  Of remote outputs only those are kept out who have the same scratch.

  Args:
    output: absent, empty, or left by the same job when it did not end.
    job: JSON values that say what job it is, two levels deep at most.
    overwrite: whether a complete one, or another job's, may be replaced.
    scratch: local directory for the job's work, if `output` is remote.

  Yields:
    `None`; or, where the job died in its very last step, which is then done,
    its summary.

  Raises:
    InputError: `output` is complete, in use, a file, of another job, or holds
      what no job left, or `scratch` does; `output` cannot be reached.
  """
  work = pathlib.Path(scratch or output)
  output = os.fspath(output if scratch else work)
  job = json.loads(json.dumps(job))
  if work.exists() and not work.is_dir():
    raise InputError(f"output {work} should be a directory, is a file")
  with locks.claimed(work, os.path.join(work, locks.FILE)):
    try:
      found = _claim(output, work, job, overwrite=overwrite)
    except OSError as error:
      raise InputError(f"output {places.said(error, output)}") from None
    yield found


def finish(
  output: str | os.PathLike,
  work: pathlib.Path,
  schema: Schema,
  summary: Mapping[str, Any],
) -> None:
  """Stamps `output` as complete, after what is still in `work` only."""
  schemas.write(schema, work)
  if places.is_remote(output):
    _deliver(work, os.fspath(output))
  stamped.write_json(os.path.join(output, SUMMARY), dict(summary))
  _tidy(os.fspath(output), work)


def _deliver(work: pathlib.Path, output: str) -> None:
  files = [path for name in _DELIVERED for path in (work / name).glob("*")]
  for path in sorted([work / schemas.FILE, *files]):
    name = os.fspath(path.relative_to(work))
    places.copy(path, os.path.join(output, name))


def _claim(
  output: str, work: pathlib.Path, job: dict[str, Any], *, overwrite: bool
) -> dict[str, Any] | None:
  begun = _begun(output)
  complete = places.is_file(os.path.join(output, SUMMARY))
  if complete and begun is None and not overwrite:
    raise InputError(
      f"output {output} is prepared already; give another directory, or "
      "--overwrite"
    )
  _refuse_foreign(output)
  is_there = bool(begun)
  if begun and not overwrite:
    _check(output, begun, job)
  if places.is_remote(output):
    is_there = _is_left(os.fspath(work), job, overwrite=overwrite)
  if begun and complete and not overwrite:
    _tidy(output, work)
    return _json(os.path.join(output, SUMMARY))
  if begun and not is_there:
    _LOG.warning("%s has no work of this job: it begins anew", work)
  if overwrite or not begun or not is_there:
    _start(output, work, job, complete=complete)
    return None
  for name in ("", *_FOLDERS):
    stamped.sweep(work / name)
  return None


def _is_left(scratch: str, job: dict[str, Any], *, overwrite: bool) -> bool:
  """Tells whether the job's work is in its scratch; refuses what is others'."""
  if os.path.exists(os.path.join(scratch, SUMMARY)):
    raise InputError(f"scratch {scratch} should be empty, holds {SUMMARY}")
  _refuse_foreign(scratch)
  left = _begun(scratch)
  if left and not overwrite:
    _check(scratch, left, job)
  return bool(left)


def _refuse_foreign(directory: str) -> None:
  """Refuses a directory of something else, which is not ours to empty."""
  try:
    found = places.names(directory)
  except FileNotFoundError:
    return
  names = {name for name in found if not name.startswith(stamped.ASIDE)}
  names.discard(locks.FILE)  # ours, or of a job that was killed
  if names and not names & {SUMMARY, _UNFINISHED}:
    raise InputError(
      f"output {directory} should be empty or a prepared directory, "
      f"holds {min(names)}"
    )


def _start(
  output: str, work: pathlib.Path, job: dict[str, Any], *, complete: bool
) -> None:
  """Empties `output` and `work`, so that what is killed is begun again."""
  if complete:
    # At once: a summary beside the mark of a job is one that died at its end.
    places.rename(
      os.path.join(output, SUMMARY), os.path.join(output, _UNFINISHED)
    )
  # That of the scratch is the first to go and the last to come: only where both
  # are there a job goes on.
  directories = dict.fromkeys((os.fspath(work), output))
  for directory in directories:
    _empty(directory)
  for directory in reversed(directories):
    stamped.write_json(os.path.join(directory, _UNFINISHED), {"job": job})


def _empty(directory: str) -> None:
  stamped.write_json(os.path.join(directory, _UNFINISHED), {})
  with contextlib.suppress(FileNotFoundError):
    places.remove(os.path.join(directory, schemas.FILE))
  for name in _FOLDERS:
    places.remove_all(os.path.join(directory, name))
  if not places.is_remote(directory):
    stamped.sweep(directory)


def _begun(directory: str) -> dict[str, Any] | None:
  """Returns the job that is marked there: empty if it never began."""
  try:
    return _json(os.path.join(directory, _UNFINISHED)).get("job", {})
  except FileNotFoundError:
    return None
  except (ValueError, AttributeError):
    return {}


def _json(path: str) -> Any:
  return json.loads(places.read_bytes(path))


def _check(output: str, begun: dict[str, Any], job: dict[str, Any]) -> None:
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


def _tidy(output: str, work: pathlib.Path) -> None:
  """Deletes what a job that came to its end needs no more, its mark last."""
  unneeded = work / ledger.FOLDER
  if places.is_remote(output):
    _empty(os.fspath(work))  # all but its mark, without which it is not ours
    unneeded = work
  shutil.rmtree(unneeded, ignore_errors=True)
  places.remove(os.path.join(output, _UNFINISHED))
