"""Files wherever they lie: on this machine, in an object store, behind http.

Local paths take the direct way and need nothing. Others go through TensorFlow's
file systems, which tensorflow-io widens. What it cannot tell is an error here:
its `exists` and `stat` say "not there" of a store that does not answer, so
that only a read is believed.

Errors are Python's: FileNotFoundError where there is nothing, OSError for the
rest, each with one line that names the path.
"""

import contextlib
import glob
import os
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from ctr_codistill import remote

ASIDE = ".tmp-"
"""What the names of things begin with that are not written to their end."""


def is_remote(path: str | os.PathLike) -> bool:
  """Tells whether `path` is one like "s3://bucket/key", not of this machine."""
  return remote.scheme(path) not in ("", "file")


def is_writable(path: str | os.PathLike) -> bool:
  """Tells whether files of a path's kind can be written at all."""
  return remote.scheme(path) not in remote.WITHOUT_LISTING


def check(path: str | os.PathLike, endpoint: str = "") -> None:
  """Tells early, and in bounded time, why a remote path cannot be used.

  Does nothing for local paths.

  Args:
    path: that will be used.
    endpoint: the object store's address, `S3_ENDPOINT`; empty for Amazon's.

  Raises:
    InputError: tensorflow-io is missing or did not load, the endpoint has no
      scheme, or nobody answers there within 10 seconds.
  """
  if not is_remote(path):
    return
  remote.gfile(path)
  if remote.scheme(path) == "s3" and endpoint:
    remote.connect(endpoint)


def open_bytes(path: str | os.PathLike) -> BinaryIO:
  """Opens a file for reading; it can seek.

  Raises:
    OSError: as the module says; a remote file's only when it is read.
  """
  if not is_remote(path):
    return open(path, "rb")
  return remote.open_bytes(os.fspath(path))


def read_bytes(path: str | os.PathLike) -> bytes:
  """Returns the whole content of a file."""
  with open_bytes(path) as file:
    return file.read()


@contextlib.contextmanager
def written(
  path: str | os.PathLike, *, durable: bool = False
) -> Iterator[BinaryIO]:
  """Opens a file to write: whole when the body is done, or what was before.

  A local one is written aside and renamed. A remote one waits in a nameless
  local file, whole, and is then uploaded; an object appears when that is done.

  Args:
    path: its folder is made if it is missing.
    durable: whether it must be there even if the machine stops right after.

  Raises:
    OSError: as the module says.
  """
  if is_remote(path):
    with tempfile.TemporaryFile() as file:
      with naming(tempfile.gettempdir()):
        yield file
      remote.upload(os.fspath(path), file)
    return
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  aside = path.parent / f"{ASIDE}{path.name}-{uuid.uuid4().hex[:8]}"
  try:
    with naming(path), aside.open("wb") as file:
      yield file
      if durable:
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
  except BaseException:
    aside.unlink(missing_ok=True)
    raise


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
  """Lets an error that names no file, such as of a full disk, name `path`."""
  try:
    yield
  except OSError as error:
    if error.errno is not None and error.filename is None:
      error.filename = os.fspath(path)
    raise


def sweep(path: str | os.PathLike) -> None:
  """Deletes what writers of a file that died left aside; for its owner only."""
  if is_remote(path):
    return
  path = pathlib.Path(path)
  for aside in path.parent.glob(f"{ASIDE}{glob.escape(path.name)}-" + 8 * "?"):
    aside.unlink()


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
  """Writes a file, see `written`."""
  try:
    with written(path) as file:
      file.write(content)
  except OSError as error:
    # A write tells no name: only what opens or renames does.
    if error.errno is None or error.filename is not None or is_remote(path):
      raise
    raise OSError(error.errno, error.strerror, os.fspath(path)) from None


def copy(source: str | os.PathLike, target: str | os.PathLike) -> None:
  """Copies a file from any place to any other, see `written`."""
  with open_bytes(source) as file, written(target) as out:
    shutil.copyfileobj(file, out, 1 << 20)


def flush(folder: str | os.PathLike) -> None:
  """Waits until all below a local folder is on the disk, names as well."""
  for inner, _, files in os.walk(folder):
    for name in files:
      sync(os.path.join(inner, name))
    sync(inner)


def sync(path: str | os.PathLike) -> None:
  """Waits until a local file, or the names in a folder, are on the disk."""
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  except OSError as error:
    raise OSError(error.errno, error.strerror, os.fspath(path)) from None
  finally:
    os.close(descriptor)


def is_file(path: str | os.PathLike) -> bool:
  """Tells whether there is a file; raises OSError where that cannot be told."""
  if not is_remote(path):
    return os.path.isfile(path)
  try:
    with open_bytes(path) as file:
      file.read(1)
  except FileNotFoundError:
    return False
  return True


def version(path: str | os.PathLike) -> str:
  """Returns what changes with a file's content: its size and its time.

  Of a store's time only seconds are known, and none of a web server's.

  Raises:
    OSError: as the module says.
  """
  if not is_remote(path):
    stat = os.stat(path)
    return f"{stat.st_size} bytes of {stat.st_mtime_ns} ns"
  with open_bytes(path) as file:  # which `stat` alone is not believed about
    size = file.seek(0, os.SEEK_END)
  with remote.told(str(path)):
    time = remote.gfile(path).stat(str(path)).mtime_nsec
  return f"{size} bytes of {time} ns"


def names(directory: str | os.PathLike) -> list[str]:
  """Returns the names in a directory, sorted; folders without their slash.

  Raises:
    FileNotFoundError: there is none (in an object store: nothing below it).
    OSError: the store does not answer, or cannot list, as http cannot.
  """
  if not is_remote(directory):
    return sorted(os.listdir(directory))
  if remote.scheme(directory) in remote.WITHOUT_LISTING:
    raise OSError(f"{directory}: http has no listing; name each file")
  folder = str(directory).rstrip("/") + "/"
  try:
    with remote.told(folder):
      found = remote.gfile(folder).listdir(folder)
  except FileNotFoundError:
    # Said of a store that is out of reach, too; only a read can tell.
    is_file(folder + f".probe-{uuid.uuid4().hex[:8]}")
    raise
  return sorted({name.rstrip("/") for name in found} - {""})


def rename(old: str | os.PathLike, new: str | os.PathLike) -> None:
  """Moves a file to another name in the same place, over what is there.

  At once on this machine; in an object store it is a copy and a deletion, and
  between them both are there.
  """
  if is_remote(old) != is_remote(new):
    raise ValueError(f"{old} and {new} should lie in one place")
  if not is_remote(old):
    os.replace(old, new)
    return
  with open_bytes(old) as file:
    empty = not file.read(1)
  if empty:  # tensorflow-io refuses to copy it
    write_bytes(new, b"")
    remove(old)
    return
  with remote.told(str(old)):
    remote.gfile(old).rename(str(old), str(new), overwrite=True)


def remove(path: str | os.PathLike) -> None:
  """Deletes a file."""
  if not is_remote(path):
    os.unlink(path)
    return
  with remote.told(str(path)):
    remote.gfile(path).remove(str(path))


def remove_all(folder: str | os.PathLike) -> None:
  """Deletes a folder of files, if there is one."""
  if not is_remote(folder):
    if os.path.exists(folder):
      shutil.rmtree(folder)
    return
  try:
    found = names(folder)
  except FileNotFoundError:
    return
  for name in found:
    remove(os.path.join(folder, name))


def said(error: OSError, path: str | os.PathLike) -> str:
  """Returns a line that says why, and where (at `path` if it names none)."""
  if error.filename is None and is_remote(text := str(error)):
    return text  # of this module's, hence begins with the path
  where = path if error.filename is None else os.fsdecode(error.filename)
  return f"{where}: {error.strerror or error}"
