"""Size and SHA-256 of files: what a manifest says of each."""

import hashlib
import os
import pathlib
import stat
import types
from collections.abc import Mapping
from typing import Any

from ctr_codistill.manifests import TornError

_CHUNK = 1 << 20
_NONE: Mapping[str, Any] = types.MappingProxyType({})


def of(
  path: str | os.PathLike, known: Mapping[str, Any] = _NONE
) -> dict[str, Any]:
  """Returns by name size and sum of each file of `path`, `known` or read.

  Raises:
    TornError: as `files`.
  """
  return {
    name: known[name] if name in known else of_file(file)
    for name, file in files(path).items()
  }


def of_bytes(content: bytes) -> dict[str, Any]:
  """Returns size and sum of what a file holds."""
  return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def of_file(path: pathlib.Path) -> dict[str, Any]:
  """Returns size and sum of a file."""
  digest, size = hashlib.sha256(), 0
  with path.open("rb") as file:
    while chunk := file.read(_CHUNK):
      digest.update(chunk)
      size += len(chunk)
  return {"sha256": digest.hexdigest(), "bytes": size}


def files(path: str | os.PathLike) -> dict[str, pathlib.Path]:
  """Returns by name the files below `path`.

  Raises:
    TornError: there is something else, such as a link to what is not in it.
  """
  found = {}
  for folder, folders, names in os.walk(path, onerror=_raise):
    for name in sorted([*folders, *names]):
      entry = pathlib.Path(folder, name)
      mode = entry.lstat().st_mode
      if stat.S_ISREG(mode):
        found[str(entry.relative_to(path))] = entry
      elif not stat.S_ISDIR(mode):
        raise TornError(
          f"{path}: {entry.relative_to(path)} should be a file, is a link or a "
          "device"
        )
  return dict(sorted(found.items()))


def _raise(error: OSError) -> None:
  raise error
