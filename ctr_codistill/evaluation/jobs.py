"""Whose files lie in the directory of a scoring job: `job.json`.

It says what decides their bytes, and which pieces there are. So the same job
goes on, another one is refused, and what a job left can be deleted, and nothing
else.
"""

import json
import os
import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import locks
from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import quarantine
from ctr_codistill.criteo.raw.pieces import Piece
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison

FILE = "job.json"
_DAMAGED = (ValueError, TypeError, KeyError, AttributeError)
_PART = re.compile(r"part-\d{5,}\.(parquet|tsv)")


def runs(output: str, snapshots: Sequence[str]) -> dict[str, str]:
  """Returns the directory of each snapshot's files, by its name."""
  names = [name.replace("/", "-") for name in comparison.names(snapshots)]
  if len(names) == 1:
    return {names[0]: output}
  return {name: os.path.join(output, name) for name in names}


def part(number: int) -> str:
  """Returns the name of a piece's file of predictions."""
  return f"part-{number:05d}.parquet"


def bad_lines(output: str, number: int) -> str:
  """Returns where the bad lines of a piece lie, if it has any."""
  return os.path.join(output, quarantine.FOLDER, f"part-{number:05d}.tsv")


def begin(
  output: str, described: Mapping[str, Any], pieces: Iterable[Piece]
) -> None:
  """Notes a job, after which its files are taken for whole ones."""
  noted = {"pieces": [vars(piece) for piece in pieces]}
  text = json.dumps({**described, **noted}, indent=1)
  stamped.write_text(os.path.join(output, FILE), text + "\n")


def known(output: str, described: Mapping[str, Any]) -> list[Piece] | None:
  """Returns the pieces of the job that was begun; None where none was.

  Args:
    output: the directory.
    described: the job, as JSON has it.

  Raises:
    InputError: it is another one, its note is torn, or there are other things.
  """
  try:
    found, pieces = _read(output)
  except FileNotFoundError:
    _refuse_foreign(output)
    return None
  except _DAMAGED as error:
    raise InputError(
      f"{os.path.join(output, FILE)} should say whose files these are, but is "
      f"damaged ({error}); another --output, or --overwrite, begins anew"
    ) from None
  for name, value in described.items():
    if found.get(name) != value:
      raise InputError(
        f"{output} is another job's: its {_difference(name, value, found)}; "
        "another --output, or --overwrite, begins anew"
      )
  return pieces


def clear(output: str, folders: Iterable[str]) -> None:
  """Deletes what the job before left, and no other files; its note last.

  So whatever ends it, what is left is still that job's. Without a note nothing
  is a job's.

  Args:
    output: the directory.
    folders: of the job that shall begin, where no older files may lie.

  Raises:
    InputError: there is no note, and there are other things.
  """
  former: Mapping[str, str] = {}
  try:
    former = runs(output, list(_read(output)[0]["snapshots"]))
  except FileNotFoundError:
    _refuse_foreign(output)
  except _DAMAGED:
    pass  # of a torn note only what lies in the way is known
  own = os.path.join(output, quarantine.FOLDER)
  for folder in {*folders, *former.values(), own}:
    for name in names(folder):
      if _PART.fullmatch(name):
        places.remove(os.path.join(folder, name))
  for folder in {*former.values(), own}:
    _remove_empty(folder)
  if FILE in names(output):
    places.remove(os.path.join(output, FILE))


def names(folder: str) -> set[str]:
  """Returns the names in a folder; none where it is missing."""
  try:
    return set(places.names(folder))
  except FileNotFoundError:
    return set()


def _read(output: str) -> tuple[dict[str, Any], list[Piece]]:
  """Returns what a note says; raises one of `_DAMAGED` if it is torn."""
  found = json.loads(places.read_bytes(os.path.join(output, FILE)))
  pieces = [Piece(**piece) for piece in found.pop("pieces")]
  dict(found["snapshots"])
  return found, pieces


def _refuse_foreign(output: str) -> None:
  """Refuses what is none of that which a killed job leaves without a note."""
  for name in names(output):
    if name != locks.FILE and not name.startswith(places.ASIDE):
      raise InputError(
        f"{output} should be new, empty or a job's directory, has other files, "
        f"such as {name}"
      )


def _difference(name: str, value: Any, found: Mapping[str, Any]) -> str:
  """Returns a line on how another job differs; of many files on one."""
  other = found.get(name)
  if isinstance(value, dict) and isinstance(other, dict):
    keys = [*value, *other]
    key = next(k for k in keys if value.get(k) != other.get(k))
    name, value, other = f"{name} {key}", value.get(key), other.get(key)
  return f"{name} should be {value}, is {other}"


def _remove_empty(folder: str) -> None:
  if not places.is_remote(folder) and os.path.isdir(folder):
    if not os.listdir(folder):
      os.rmdir(folder)
