"""Numbered versions of one served model, in the directory a server polls.

TF Serving takes whatever there has a number for its name, as soon as it is
there, and serves the highest. So a version appears by one rename, with all its
files, its manifest too, and goes by one. To go back is to publish the older
content under a new number: numbers only rise, and nothing is taken from under a
server that may be loading it.
"""

import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from ctr_codistill import locks
from ctr_codistill import stamped
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key

HIGHEST = 2**63 - 1
"""Number that a server knows."""
_BACK = "same_as"
"""Fact of a version that repeats an older one: the number of that."""
_SERVED = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*")
"""Names that a server takes for numbers: `safe_strto64` of its path source."""


def numbers(root: str | os.PathLike) -> list[int]:
  """Returns the numbers that a server may see in `root`, ascending.

  Of a version without a manifest, too: a server does not look for it.

  Raises:
    InputError: `root` is a file, or a version or snapshot itself; or it holds
      what a server takes for a version, and is none of ours: a file or link
      whose name is a number, or a number in other words, such as `02`.
  """
  root = pathlib.Path(root)
  if root.is_file() or stamped.is_stamped(root):
    kind = "a file" if root.is_file() else "a model itself"
    raise InputError(f"{root} should be a directory of versions, is {kind}")
  if not root.is_dir():
    return []
  found = {p: _number(p.name) for p in root.iterdir()}
  return sorted(_ours(p, n) for p, n in found.items() if n is not None)


def _number(name: str) -> int | None:
  """Returns the number that a server reads in a name, None for no number."""
  match = _SERVED.fullmatch(name)
  number = int(match[1]) if match else None
  return None if number is None or abs(number) > HIGHEST else number


def _ours(path: pathlib.Path, number: int) -> int:
  is_plain = path.name == str(number) and number >= 0
  if is_plain and path.is_dir() and not path.is_symlink():
    return number
  raise InputError(
    f"{path.parent} should hold versions, directories such as 2, holds "
    f"{path.name!r}, which a server takes for version {number}: move it away"
  )


def in_place(root: str | os.PathLike) -> pathlib.Path | None:
  """Returns the version that is served, the highest; None without any.

  Raises:
    InputError: as `numbers`; or it has no manifest, so that nothing can be
      compared with it.
  """
  found = numbers(root)
  if not found:
    return None
  path = pathlib.Path(root) / str(found[-1])
  if not stamped.is_stamped(path):
    raise InputError(
      f"{path} should have a {stamped.MANIFEST}, has none, and nothing tells "
      "whether it is whole: move it away, and the version before is in place; "
      "or export without --promote, and the new one lies above it"
    )
  return path


def new_number(root: str | os.PathLike, wanted: int | None = None) -> int:
  """Returns the number of the next version of `root`.

  Args:
    root: the directory a server polls.
    wanted: the number, if it may be that; None means one above the highest.

  Raises:
    InputError: it is not above 0 and the highest; or as `numbers`.
  """
  highest = max(numbers(root), default=0)
  number = highest + 1 if wanted is None else wanted
  if not 1 <= number <= HIGHEST:
    raise InputError(f"version should be above 0, is {number}")
  if number <= highest:
    raise InputError(
      f"version should be above {highest}, the highest in {root}, is {number}: "
      "numbers only rise"
    )
  return number


def write(
  root: str | os.PathLike,
  fill: Callable[[pathlib.Path, int], None],
  facts: Mapping[str, Any],
  *,
  version: int | None = None,
  above: int | None = None,
  key: Key | None = None,
) -> pathlib.Path:
  """Makes `root/VERSION/`, complete or absent, and on the disk; returns it.

  Args:
    root: the directory a server polls; made if missing.
    fill: writes the content into the directory it is given, of the version
      whose number it is told.
    facts: what its manifest says.
    version: above the highest in `root`; None means one above it.
    above: the highest that the caller knows of, 0 for none; None does not care.
    key: signs the manifest.

  Raises:
    InputError: the highest is another than the caller knows of; or as
      `new_number`.
  """
  root = pathlib.Path(root)
  new_number(root, version)  # before a directory is made of what is none
  with locks.alone(root / locks.FILE):
    highest = max(numbers(root), default=0)
    if above is not None and highest != above:
      raise InputError(
        f"{root} should have {_named(above)} in place, as when this one was "
        f"judged, has {_named(highest)} by now: run again"
      )
    number = new_number(root, version)
    return stamped.write(
      root / str(number),
      lambda path: fill(path, number),
      facts,
      key=key,
      at_once=True,
    )


def _named(number: int) -> str:
  return f"version {number}" if number else "no version"


def keep(root: str | os.PathLike, count: int) -> None:
  """Takes away all but the `count` highest, and what dead writers left.

  Each goes by a rename, or a server that starts meanwhile could load half.
  """
  root = pathlib.Path(root)
  with locks.alone(root / locks.FILE):
    for number in numbers(root)[:-count]:
      gone = root / f"{stamped.ASIDE}{number}-{uuid.uuid4().hex[:8]}"
      os.rename(root / str(number), gone)
    stamped.sweep(root)


def back(
  root: str | os.PathLike,
  *,
  key: Key | None = None,
  renew: Callable[[pathlib.Path, int, int], None] = lambda *_: None,
) -> pathlib.Path:
  """Publishes the version before the one in place anew; returns the new one.

  Before a version that was itself gone back to lies what was before that one,
  so that going back twice goes back two.

  Args:
    root: the directory a server polls.
    key: what must have signed the version before; signs the new one.
    renew: alters what the copy says of itself: it is given its directory, its
      number and that of the version it repeats.

  Raises:
    TornError: the version before is not complete or not as stamped.
    InputError: there is none; or another program published one meanwhile.
  """
  root = pathlib.Path(root)
  found = numbers(root)
  highest = at = found[-1] if found else 0
  while at in found and (same := _facts(root / str(at)).get(_BACK)):
    at = same
  before = [n for n in found if n < at]
  if not before:
    raise InputError(f"{root} should have a version before {at}, has {found}")
  source = root / str(before[-1])
  manifest = stamped.verified(source, key)

  def fill(path: pathlib.Path, number: int) -> None:
    copy(source, path, manifest.files)
    renew(path, number, before[-1])

  facts = {**manifest.facts, _BACK: before[-1]}
  return write(root, fill, facts, above=highest, key=key)


def copy(
  source: pathlib.Path, target: pathlib.Path, names: Iterable[str]
) -> None:
  """Copies files of a directory into another.

  Raises:
    OSError: names one file, and why it could not be written or read.
  """
  for name in names:
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
      shutil.copyfile(source / name, path)
    except OSError as error:
      where = error.filename2 or error.filename or path
      raise OSError(error.errno, error.strerror, str(where)) from None


def _facts(path: pathlib.Path) -> dict[str, Any]:
  return stamped.facts(path) if stamped.is_stamped(path) else {}
