"""What is said of a directory and of each file in it, summed and signed.

A manifest holds `facts`, `files` (size and SHA-256 by name), the `sum` of both
and, with a key, their `signature`. It is taken only as it was written, byte by
byte, so that an altered one is found like an altered file.
"""

import dataclasses
import errno
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key

FILE = "manifest.json"
_LARGEST = 1 << 24  # bytes; what is read before anything is known of it
_WRONG = (
  *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
  *(errno.ESTALE, errno.EACCES, errno.EPERM),
)
"""What tells of the directory. Else the store is in trouble, or the machine."""
_DOMAIN = b"ctr_codistill manifest 1\n"
"""Before what is signed: no other use of the key can give the same."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PARTS = {"facts", "files"}
_SEALS = {"sum", "signature"}


class TornError(InputError):
  """A directory whose stamp is missing or whose files are not as stamped."""


class UntrustedError(TornError):
  """A directory that the key does not vouch for."""


@dataclasses.dataclass(frozen=True)
class Manifest:
  """`facts` of the content; of each file "bytes" and "sha256", by its name."""

  facts: dict[str, Any]
  files: dict[str, dict[str, Any]]

  @property
  def bytes(self) -> int:
    """Of all files."""
    return sum(file["bytes"] for file in self.files.values())


def text(manifest: Manifest, key: Key | None) -> str:
  """Returns what the file holds; signed with a key."""
  value = {"facts": manifest.facts, "files": manifest.files}
  message = _message(value)
  value["sum"] = hashlib.sha256(message).hexdigest()
  if key:
    value["signature"] = key.sign(message)
  return _text(value)


def read(folder: str | os.PathLike, key: Key | None) -> Manifest:
  """Returns the manifest of a directory.

  Args:
    folder: the directory.
    key: what must have signed it; None: nobody needs to have.

  Raises:
    TornError: there is none, or not as it was written.
    UntrustedError: it is not signed with the key.
    OSError: it may be there, but cannot be read now.
  """
  path = pathlib.Path(folder) / FILE
  try:
    with path.open("rb") as file:
      content = file.read(_LARGEST + 1)
    found = _parsed(content)
  except OSError as error:
    if error.errno not in _WRONG:
      raise OSError(error.errno, error.strerror, str(path)) from None
    raise TornError(
      f"{folder} is no complete directory; {FILE} there: {error.strerror}"
    ) from None
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise TornError(f"{path} is no manifest: {error}") from None
  message = _message({name: found[name] for name in sorted(_PARTS)})
  # Those of older versions have no sum.
  if "sum" in found and found["sum"] != hashlib.sha256(message).hexdigest():
    raise TornError(f"{path} is not as it was written: its sum does not hold")
  if key:
    _check_signature(path, found, message, key)
  return Manifest(found["facts"], found["files"])


def _check_signature(
  path: pathlib.Path, found: Mapping[str, Any], message: bytes, key: Key
) -> None:
  if "signature" not in found:
    raise UntrustedError(
      f"{path} should be signed with the key of {key.path}, is not signed"
    )
  if not key.has_signed(message, found["signature"]):
    raise UntrustedError(
      f"{path} should be signed with the key of {key.path}, is signed with "
      "another or altered"
    )


def _message(value: Mapping[str, Any]) -> bytes:
  # There and back: what is signed is what a reader will parse.
  plain = json.loads(json.dumps(value))
  return _DOMAIN + json.dumps(plain, sort_keys=True).encode()


def _text(value: Any) -> str:
  return json.dumps(value, indent=1) + "\n"


def _parsed(content: bytes) -> dict[str, Any]:
  if len(content) > _LARGEST:
    raise ValueError(f"it should have at most {_LARGEST} bytes")
  found = json.loads(content.decode("utf-8"))
  for name in sorted(_PARTS):
    if not isinstance(found[name], dict):
      raise TypeError(f"{name} should be an object")
  for name, file in found["files"].items():
    _check_file(name, file)
  for name in sorted(set(found) - _PARTS):
    if name not in _SEALS or not isinstance(found[name], str):
      raise ValueError(f"it should have no {name!r}")
  if _text(found).encode() != content:
    raise ValueError("its text should be as it was written")
  return found


def _check_file(name: str, file: Any) -> None:
  path = pathlib.PurePosixPath(name)
  if (
    not name
    or path.is_absolute()
    or ".." in path.parts
    or str(path) != name
    or "\0" in name
  ):
    raise ValueError(f"{name!r} should be the name of a file in the directory")
  if set(file) != {"sha256", "bytes"} or not _DIGEST.fullmatch(file["sha256"]):
    raise ValueError(f"{name!r} should have a sum and a size")
  if type(file["bytes"]) is not int or file["bytes"] < 0:
    raise ValueError(f"{name!r} should have a size, has {file['bytes']!r}")
