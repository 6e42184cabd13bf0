"""One writer at a time in a place: locks that go when their process dies.

They are on files that are open for writing, since over NFS neither a directory
nor a file that is only read can be locked. Stores have no locks.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator

from ctr_codistill import places
from ctr_codistill.errors import InputError

FILE = ".lock"
"""How the names of the files end that are locked."""
_TRIES = 100
_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def alone(file: str | os.PathLike) -> Iterator[None]:
  """Waits until no other process is here.

  Args:
    file: that is locked, and stays; its folder is made if it is missing.

  Raises:
    OSError: it cannot be written, or its disk has no locks.
  """
  os.makedirs(os.path.dirname(file) or os.curdir, exist_ok=True)
  with open(file, "ab") as held:
    with places.naming(file):
      fcntl.flock(held, fcntl.LOCK_EX)
    yield


@contextlib.contextmanager
def claimed(output: str | os.PathLike, file: str) -> Iterator[None]:
  """Keeps other jobs off an output; does nothing for remote ones.

  Args:
    output: file or directory, for errors.
    file: that is locked, and deleted at the end; its folder is made if it is
      missing, and deleted if nothing was left there.

  Raises:
    InputError: another job has it, or it cannot be written.
  """
  if places.is_remote(output):
    yield
    return
  folder = os.path.dirname(file) or os.curdir
  is_new = not os.path.isdir(folder)
  try:
    held = _locked(output, file)
  except OSError as error:
    raise InputError(
      f"output {output} cannot be written: {error.strerror}"
    ) from None
  try:
    yield
  finally:
    # Before it is let go: whoever opened it meanwhile sees that it is gone.
    with contextlib.suppress(OSError):
      os.unlink(file)
    os.close(held)
    if is_new:
      with contextlib.suppress(OSError):
        os.rmdir(folder)


def _locked(output: str | os.PathLike, file: str) -> int:
  """Returns the locked file, opened."""
  for left in reversed(range(_TRIES)):
    os.makedirs(os.path.dirname(file) or os.curdir, exist_ok=True)
    try:
      opened = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:  # a job that just ended took its folder along
      if left:
        continue
      raise
    try:
      fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      os.close(opened)
      raise InputError(
        f"output {output} is in use: another job writes there"
      ) from None
    except OSError as error:
      _LOG.warning(
        "%s cannot be locked (%s): start no other job there", file, error
      )
      return opened
    if os.fstat(opened).st_nlink:
      return opened
    os.close(opened)  # of a job that just ended
  raise InputError(f"output {output} is in use: jobs come and go there")
