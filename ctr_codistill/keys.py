"""The key that writers and readers of one exchange share, and what it signs.

Who may write to the exchange and has no key can leave nothing that a reader
with the key takes. The key itself stays in its file: no log, manifest or
experiment holds more than the path.
"""

import dataclasses
import hashlib
import hmac
import os
import pathlib
import stat

from ctr_codistill.errors import InputError

_SHORTEST, _LONGEST = 32, 4096  # bytes


@dataclasses.dataclass(frozen=True)
class Key:
  """A secret of 32 bytes or more, and the file that it is from."""

  path: pathlib.Path
  secret: bytes = dataclasses.field(repr=False)

  def sign(self, message: bytes) -> str:
    """Returns the HMAC-SHA256 of `message`, in hexadecimal digits."""
    return hmac.new(self.secret, message, hashlib.sha256).hexdigest()

  def has_signed(self, message: bytes, signature: str) -> bool:
    """Tells whether `signature` is one of `message`, in constant time."""
    return hmac.compare_digest(
      self.sign(message).encode(), signature.encode("utf-8", "replace")
    )


def read(path: str | os.PathLike) -> Key | None:
  """Returns the key in a file; None for an empty path.

  Line ends after the key are no part of it.

  Raises:
    InputError: there is no such file, others may read it or change it, or the
      key is too short.
  """
  if not os.fspath(path):
    return None
  try:
    with open(path, "rb") as file:
      _check(path, os.fstat(file.fileno()))
      secret = file.read(_LONGEST + 1).rstrip(b"\r\n")
  except OSError as error:
    raise InputError(
      f"exchange.key_file: {path}: {error.strerror or error}"
    ) from None
  if not _SHORTEST <= len(secret) <= _LONGEST:
    raise InputError(
      f"exchange.key_file: {path} should hold {_SHORTEST} to {_LONGEST} bytes, "
      f"holds {len(secret)}"
    )
  return Key(pathlib.Path(path), secret)


def _check(path: str | os.PathLike, found: os.stat_result) -> None:
  if not stat.S_ISREG(found.st_mode):
    raise InputError(f"exchange.key_file: {path} should be a file")
  # A group may read it: so do secrets come that a cluster mounts.
  if found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
    raise InputError(
      f"exchange.key_file: {path} should be read by its owner and at most its "
      f"group, and written by its owner alone (chmod 600), has mode "
      f"{stat.S_IMODE(found.st_mode):o}"
    )
  if found.st_uid not in (0, os.geteuid()):
    raise InputError(
      f"exchange.key_file: {path} should belong to this user or root, belongs "
      f"to user {found.st_uid}"
    )
