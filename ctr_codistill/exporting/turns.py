"""Whose turn it is to write in a directory that several programs write in.

It is the lock of a file, `.lock`, which stays: over NFS a lock is one of bytes,
and those of a directory, or of a file that is only read, cannot be locked.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

FILE = ".lock"


@contextlib.contextmanager
def alone(folder: str | os.PathLike) -> Iterator[None]:
  """Waits until no other writer is here; the system ends a dead one's turn.

  Args:
    folder: made if it is missing.

  Raises:
    OSError: its disk cannot lock, or nothing can be written there.
  """
  path = pathlib.Path(folder) / FILE
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open("ab") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
      raise OSError(error.errno, error.strerror, str(path)) from None
    yield
