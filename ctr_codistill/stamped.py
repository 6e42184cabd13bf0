"""Directories complete or absent, stamped with the sums of their files.

Snapshots, checkpoints and exports are read by other processes while they are
written (TF Serving and `tf.saved_model.load` both take half a model). So each
is filled aside, renamed, and stamped with a manifest, last; readers take only
what is stamped and whose sums hold.
"""

import errno
import hashlib
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

from ctr_codistill import places
from ctr_codistill.errors import InputError

MANIFEST = "manifest.json"
ASIDE = places.ASIDE
_CHUNK = 1 << 20
_NONE: Mapping[str, Any] = types.MappingProxyType({})


class TornError(InputError):
  """A directory whose stamp is missing or whose files are not as stamped."""


def write(
  path: str | os.PathLike,
  fill: Callable[[pathlib.Path], None],
  facts: Mapping[str, Any],
  known: Mapping[str, Any] = _NONE,
) -> pathlib.Path:
  """Makes the directory `path`: complete, or absent if anything fails.

  Args:
    path: where it will be; an unstamped directory there (a writer that died) is
      replaced, a stamped one is an error.
    fill: writes the content into the directory it is given.
    facts: what the manifest says of the content; JSON values.
    known: `sums` of files that `fill` links; they are not read again.

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
    files = sums(aside, known)
    if path.exists():
      shutil.rmtree(path)
    os.rename(aside, path)
  except BaseException:
    shutil.rmtree(aside, ignore_errors=True)
    raise
  write_json(path / MANIFEST, {"facts": dict(facts), "files": files})
  return path


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
  return _manifest(path)["facts"]


def size(path: str | os.PathLike) -> int:
  """Returns the bytes of the files that are stamped on `path`.

  Raises:
    TornError: there is no readable stamp.
  """
  return sum(file["bytes"] for file in _manifest(path)["files"].values())


def sums(
  path: str | os.PathLike, known: Mapping[str, Any] = _NONE
) -> dict[str, Any]:
  """Returns by name size and sum of each file of `path`, `known` or read."""
  return {
    name: known[name] if name in known else _sum(file)
    for name, file in _files(path).items()
  }


def verify(path: str | os.PathLike) -> dict[str, Any]:
  """Reads every file of `path` and returns its facts if all sums hold.

  Raises:
    TornError: naming the first file that is missing, added or altered; or the
      directory, if its owner deleted it meanwhile.
  """
  try:
    return _verified(pathlib.Path(path))
  except OSError as error:
    if error.errno not in (errno.ENOENT, errno.ESTALE):
      raise
    raise TornError(f"{path} was deleted while it was read") from None


def _verified(path: pathlib.Path) -> dict[str, Any]:
  manifest = _manifest(path)
  found = _files(path)
  found.pop(MANIFEST, None)
  for name, stamp in manifest["files"].items():
    if name not in found:
      raise TornError(f"{path}: {name} is stamped but missing")
    now = _sum(found.pop(name))
    if now != stamp:
      raise TornError(f"{path}: {name} should be {stamp}, is {now}")
  if found:
    raise TornError(f"{path}: {min(found)} is there but not stamped")
  return manifest["facts"]


def numbers(root: str | os.PathLike) -> list[int]:
  """Returns the numbers of the stamped directories in `root`, ascending."""
  try:
    names = os.listdir(root)
  except FileNotFoundError:
    return []
  return sorted(
    int(n)
    for n in names
    if n.isdecimal() and is_stamped(pathlib.Path(root) / n)
  )


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
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _files(path: str | os.PathLike) -> dict[str, pathlib.Path]:
  files = sorted(f for f in pathlib.Path(path).rglob("*") if f.is_file())
  return {str(f.relative_to(path)): f for f in files}


def _sum(path: pathlib.Path) -> dict[str, Any]:
  digest, size = hashlib.sha256(), 0
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
      size += len(chunk)
  return {"sha256": digest.hexdigest(), "bytes": size}


def _manifest(path: str | os.PathLike) -> dict[str, Any]:
  name = pathlib.Path(path) / MANIFEST
  try:
    manifest = json.loads(name.read_text(encoding="utf-8"))
    if not isinstance(manifest["facts"], dict):
      raise TypeError("facts should be an object")
    if not isinstance(manifest["files"], dict):
      raise TypeError("files should be an object")
  except OSError as error:
    raise TornError(
      f"{path} is no complete directory; {MANIFEST} there: {error.strerror}"
    ) from None
  except (ValueError, KeyError, TypeError) as error:
    raise TornError(f"{name} is no manifest: {error}") from None
  return manifest
