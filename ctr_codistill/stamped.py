"""Directories complete or absent, stamped with the sums of their files.

Snapshots, checkpoints and exports are read by other processes while they are
written (TF Serving and `tf.saved_model.load` both take half a model). So each
is filled aside, renamed, and stamped with a manifest, last; readers take only
what is stamped and whose sums hold. What servers read, which look at no stamp,
is stamped before it is renamed.
"""

import errno
import json
import math
import os
import pathlib
import shutil
import types
import uuid
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from ctr_codistill import manifests
from ctr_codistill import places
from ctr_codistill import sums
from ctr_codistill.keys import Key
from ctr_codistill.manifests import Manifest
from ctr_codistill.manifests import TornError

MANIFEST = manifests.FILE
ASIDE = places.ASIDE
_LISTINGS = 20
_TORN = "torn-"
"""What the name of a directory begins with that its owner put aside."""
_NONE: Mapping[str, Any] = types.MappingProxyType({})


def write(
  path: str | os.PathLike,
  fill: Callable[[pathlib.Path], None],
  facts: Mapping[str, Any],
  known: Mapping[str, Any] = _NONE,
  *,
  key: Key | None = None,
  at_once: bool = False,
) -> pathlib.Path:
  """Makes the directory `path`: complete, or absent if anything fails.

  Args:
    path: where it will be; an unstamped directory there (a writer that died) is
      replaced, a stamped one is an error.
    fill: writes the content into the directory it is given.
    facts: what the manifest says of the content; JSON values.
    known: `sums.of` files that `fill` links; they are not read again.
    key: signs the manifest.
    at_once: files and stamp appear by one rename, and are on the disk before
      it, which waits for each file. Else the stamp comes last, which holds on
      stores whose renames move file by file, too.

  Raises:
    FileExistsError: `path` is stamped already; what is stamped never changes.
  """
  path = pathlib.Path(path)
  if is_stamped(path):
    raise FileExistsError(f"{path} is complete; it is never written again")
  path.parent.mkdir(parents=True, exist_ok=True)
  aside = path.parent / f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}"
  aside.mkdir()
  try:
    fill(aside)
    files = sums.of(aside, known)
    if at_once:
      _stamp(aside, facts, files, key)
      places.flush(aside)
    if path.exists():
      shutil.rmtree(path)
    os.rename(aside, path)
    if not at_once:
      aside = path  # without its stamp it is nothing but lost room
      _stamp(path, facts, files, key)
  except BaseException:
    shutil.rmtree(aside, ignore_errors=True)
    raise
  if at_once:
    places.sync(path.parent)
  return path


def _stamp(
  path: pathlib.Path,
  facts: Mapping[str, Any],
  files: dict[str, Any],
  key: Key | None,
) -> None:
  text = manifests.text(Manifest(dict(facts), files), key)
  write_text(path / MANIFEST, text)


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes `value` as JSON at `path`: the whole file, or the one before it."""
  write_text(path, json.dumps(value, indent=1) + "\n")


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes `text` at `path`: the whole file, or the one before it."""
  places.write_bytes(path, text.encode())


def is_stamped(path: str | os.PathLike) -> bool:
  """Tells whether `path` is a directory that was written to its end."""
  return (pathlib.Path(path) / MANIFEST).is_file()


def facts(path: str | os.PathLike) -> dict[str, Any]:
  """Returns the facts stamped on `path`, without reading its other files.

  Raises:
    TornError: there is no readable stamp.
  """
  return manifests.read(path, None).facts


def size(path: str | os.PathLike) -> int:
  """Returns the bytes of the files that are stamped on `path`.

  Raises:
    TornError: there is no readable stamp.
  """
  return manifests.read(path, None).bytes


def verify(path: str | os.PathLike, key: Key | None = None) -> dict[str, Any]:
  """Reads every file of `path` and returns its facts if all sums hold.

  Raises:
    TornError: as `verified` does.
  """
  return verified(path, key).facts


def verified(
  path: str | os.PathLike,
  key: Key | None = None,
  check: Callable[[Manifest], None] = lambda manifest: None,
) -> Manifest:
  """Reads every file of `path` and returns its manifest if all sums hold.

  Args:
    path: the directory.
    key: what must have signed it; None: nobody needs to have.
    check: raises what is wrong with the manifest, before any file is read.

  Raises:
    TornError: naming the first file that is missing, added, altered or a link;
      or the directory, if its owner deleted it meanwhile or the key did not
      sign it.
  """
  manifest = manifests.read(path, key)
  check(manifest)
  try:
    _verify(pathlib.Path(path), manifest)
  except (OSError, TornError) as error:
    gone = (errno.ENOENT, errno.ESTALE)
    if isinstance(error, OSError) and error.errno not in gone:
      raise
    # Its stamp goes first, so what is missing after it is no damage.
    if isinstance(error, TornError) and is_stamped(path):
      raise
    raise TornError(f"{path} was deleted while it was read") from None
  return manifest


def _verify(path: pathlib.Path, manifest: Manifest) -> None:
  found = sums.files(path)
  found.pop(MANIFEST, None)
  for name, stamp in manifest.files.items():
    if name not in found:
      raise TornError(f"{path}: {name} is stamped but missing")
    file = found.pop(name)
    # A file that grew without end would be read without end.
    if (size := file.stat().st_size) != stamp["bytes"]:
      raise TornError(
        f"{path}: {name} should be {stamp['bytes']} bytes, is {size}"
      )
    if (now := sums.of_file(file)) != stamp:
      raise TornError(f"{path}: {name} should be {stamp}, is {now}")
  if found:
    raise TornError(f"{path}: {min(found)} is there but not stamped")


def numbers(root: str | os.PathLike) -> list[int]:
  """Returns the numbers of the stamped directories in `root`, ascending."""
  root, found = pathlib.Path(root), []
  names = _numbered(root)
  for _ in range(_LISTINGS):
    found = [name for name in names if is_stamped(root / name)]
    # What was deleted since it was listed may have made room for newer ones.
    before, names = names, _numbered(root)
    if names == before:
      break
  return sorted(map(int, found))


def _numbered(root: pathlib.Path) -> set[str]:
  try:
    return {name for name in os.listdir(root) if name.isdecimal()}
  except FileNotFoundError:
    return set()


def keep_newest(
  root: str | os.PathLike, count: int, *, below: float = math.inf
) -> None:
  """Deletes all but the `count` newest stamped directories in `root`.

  One whose number is not below `below` stays as well.
  """
  found = numbers(root)
  for number in found[: max(len(found) - count, 0)]:
    if number < below:
      delete(pathlib.Path(root) / str(number))


def delete(path: str | os.PathLike) -> None:
  """Deletes a stamped directory.

  The stamp goes first, so that a reader never takes a half-deleted directory.
  """
  (pathlib.Path(path) / MANIFEST).unlink(missing_ok=True)
  shutil.rmtree(path, ignore_errors=True)


def sweep(root: str | os.PathLike) -> None:
  """Deletes what writers that died left aside in `root`; for its owner only."""
  for path in pathlib.Path(root).glob(ASIDE + "*"):
    real = path.is_dir() and not path.is_symlink()
    shutil.rmtree(path) if real else path.unlink()


def sweep_unstamped(root: str | os.PathLike) -> None:
  """As `sweep`, and numbered directories without a stamp; for the owner."""
  sweep(root)
  for path in pathlib.Path(root).glob("*"):
    if path.name.isdecimal() and not is_stamped(path):
      shutil.rmtree(path, ignore_errors=True)


def put_aside(path: str | os.PathLike) -> pathlib.Path:
  """Renames a torn directory, for a look at it, and returns its new path.

  For its owner alone. At most one stays in a place: it may hold a table.
  """
  path = pathlib.Path(path)
  for older in path.parent.glob(_TORN + "*"):
    delete(older)
  return path.rename(path.parent / f"{_TORN}{path.name}")
