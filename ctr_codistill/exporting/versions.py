"""Numbered versions of one served model, in the directory a server polls.

TF Serving takes every directory whose name is a number, as soon as it is there,
and serves the highest. So a version appears by one rename, with all its files,
and goes by one; its manifest, which the server does not read, comes after. To
go back is to publish the older content under a new number: numbers only rise,
and nothing is taken from under a server that may be loading it.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key

_BACK = "same_as"
"""Fact of a version that repeats an older one: the number of that."""


def numbers(root: str | os.PathLike) -> list[int]:
  """Returns the numbers that a server may see in `root`, ascending.

  Of a version whose writer died before its manifest, too: it is whole.

  Raises:
    InputError: `root` is a file, or a version or snapshot itself.
  """
  root = pathlib.Path(root)
  if root.is_file() or stamped.is_stamped(root):
    kind = "a file" if root.is_file() else "a model itself"
    raise InputError(f"{root} should be a directory of versions, is {kind}")
  if not root.is_dir():
    return []
  return sorted(int(p.name) for p in root.iterdir() if p.name.isdecimal())


def in_place(root: str | os.PathLike) -> pathlib.Path | None:
  """Returns the version that is served, the highest; None without any."""
  found = numbers(root)
  return pathlib.Path(root) / str(found[-1]) if found else None


def write(
  root: str | os.PathLike,
  fill: Callable[[pathlib.Path, int], None],
  facts: Mapping[str, Any],
  *,
  version: int | None = None,
  key: Key | None = None,
) -> pathlib.Path:
  """Makes `root/VERSION/`, complete or absent; returns it.

  Args:
    root: the directory a server polls; made if missing.
    fill: writes the content into the directory it is given, of the version
      whose number it is told.
    facts: what its manifest says.
    version: above 0; None means one above the highest in `root`.
    key: signs the manifest.

  Raises:
    InputError: the version is not above 0, or there already.
  """
  if version is not None and version < 1:
    raise InputError(f"version should be above 0, is {version}")
  root = pathlib.Path(root)
  numbers(root)  # before a directory is made of what is none
  with _alone(root):
    number = version or max(numbers(root), default=0) + 1
    if (root / str(number)).exists():
      raise InputError(f"version {number} should be new, {root} has it already")
    return stamped.write(
      root / str(number), lambda path: fill(path, number), facts, key=key
    )


def keep(root: str | os.PathLike, count: int) -> None:
  """Takes away all but the `count` highest, and what dead writers left.

  Each goes by a rename, or a server that starts meanwhile could load half.
  """
  root = pathlib.Path(root)
  with _alone(root):
    for number in numbers(root)[:-count]:
      gone = root / f"{stamped.ASIDE}{number}-{uuid.uuid4().hex[:8]}"
      os.rename(root / str(number), gone)
    stamped.sweep(root)


def back(root: str | os.PathLike, *, key: Key | None = None) -> pathlib.Path:
  """Publishes the version before the one in place anew; returns the new one.

  Before a version that was itself gone back to lies what was before that one,
  so that going back twice goes back two.

  Args:
    root: the directory a server polls.
    key: what must have signed the version before; signs the new one.

  Raises:
    TornError: the version before is not complete or not as stamped.
    InputError: there is none.
  """
  root = pathlib.Path(root)
  found = numbers(root)
  at = found[-1] if found else 0
  while at in found and (same := _facts(root / str(at)).get(_BACK)):
    at = same
  before = [n for n in found if n < at]
  if not before:
    raise InputError(f"{root} should have a version before {at}, has {found}")
  source = root / str(before[-1])
  facts = stamped.verify(source, key)

  def fill(path: pathlib.Path, number: int) -> None:
    del number
    copy(source, path)

  return write(root, fill, {**facts, _BACK: before[-1]}, key=key)


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
  """Copies a stamped directory's files, all but the stamp."""
  ignored = shutil.ignore_patterns(stamped.MANIFEST)
  shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


def _facts(path: pathlib.Path) -> dict[str, Any]:
  return stamped.facts(path) if stamped.is_stamped(path) else {}


@contextlib.contextmanager
def _alone(root: pathlib.Path) -> Iterator[None]:
  """Waits until no other writer is here; the system ends a dead one's turn."""
  root.mkdir(parents=True, exist_ok=True)
  folder = os.open(root, os.O_RDONLY)
  try:
    fcntl.flock(folder, fcntl.LOCK_EX)
    yield
  finally:
    os.close(folder)
