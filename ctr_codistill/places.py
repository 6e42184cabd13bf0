"""Files wherever they lie: on this machine, in an object store, behind http.

Local paths take the direct way and need nothing. Others go through TensorFlow's
file systems, which tensorflow-io widens. What it cannot tell is an error here:
its `exists` and `stat` say "not there" of a store that does not answer, so
that only a read is believed.

Errors are Python's: FileNotFoundError where there is nothing, OSError for the
rest, each with one line that names the path.
"""

import contextlib
import fnmatch
import glob
import io
import os
import pathlib
import re
import socket
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import Any
from typing import BinaryIO

from ctr_codistill.errors import InputError

CONNECT_SECONDS = 10.0
_BUFFER = 1 << 20
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_WITHOUT_LISTING = ("http", "https")
_PORTS = {"http": 80, "https": 443}


def is_remote(path: str | os.PathLike) -> bool:
  """Tells whether `path` is one like "s3://bucket/key", not of this machine."""
  return _scheme(path) not in ("", "file")


def check(path: str | os.PathLike, endpoint: str = "") -> None:
  """Tells early, and in bounded time, why a remote path cannot be used.

  Does nothing for local paths.

  Args:
    path: that will be used.
    endpoint: the object store's address, `S3_ENDPOINT`; empty for Amazon's.

  Raises:
    InputError: tensorflow-io is missing or did not load, the endpoint has no
      scheme, or nobody answers there within `CONNECT_SECONDS`.
  """
  if not is_remote(path):
    return
  _gfile(path)
  if _scheme(path) == "s3" and endpoint:
    _connect(endpoint)


def open_bytes(path: str | os.PathLike) -> BinaryIO:
  """Opens a file for reading; it can seek.

  Raises:
    OSError: as the module says; a remote file's only when it is read.
  """
  if not is_remote(path):
    return open(path, "rb")
  return io.BufferedReader(_RemoteFile(str(path)), _BUFFER)


def read_bytes(path: str | os.PathLike) -> bytes:
  """Returns the whole content of a file."""
  with open_bytes(path) as file:
    return file.read()


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
  """Writes a file: whole, or what was there before.

  A local one is written aside and renamed; an object appears when its upload is
  complete, so that it needs no place aside.
  """
  if is_remote(path):
    _upload(str(path), content)
    return
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  aside = path.parent / f".tmp-{path.name}-{uuid.uuid4().hex[:8]}"
  try:
    aside.write_bytes(content)
    os.replace(aside, path)
  except BaseException:
    aside.unlink(missing_ok=True)
    raise


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


def names(directory: str | os.PathLike) -> list[str]:
  """Returns the names in a directory, sorted; folders without their slash.

  Raises:
    FileNotFoundError: there is none (in an object store: nothing below it).
    OSError: the store does not answer, or cannot list, as http cannot.
  """
  if not is_remote(directory):
    return sorted(os.listdir(directory))
  if _scheme(directory) in _WITHOUT_LISTING:
    raise OSError(f"{directory}: http has no listing; name each file")
  folder = str(directory).rstrip("/") + "/"
  try:
    with _told(folder):
      found = _gfile(folder).listdir(folder)
  except FileNotFoundError:
    # Said of a store that is out of reach, too; only a read can tell.
    is_file(folder + f".probe-{uuid.uuid4().hex[:8]}")
    raise
  return sorted({name.rstrip("/") for name in found} - {""})


def find(pattern: str) -> list[str]:
  """Returns the paths that match, sorted; `*`, `?`, `[]` in the last part.

  A local pattern may have them in any part. A path without them is returned
  whether or not it is there, unless it is local.

  Raises:
    OSError: the place does not answer or cannot list.
  """
  if not is_remote(pattern):
    return sorted(glob.glob(pattern))
  directory, _, last = pattern.rpartition("/")
  # A question mark is part of an http address.
  if _scheme(pattern) in _WITHOUT_LISTING and not set("*[") & set(last):
    return [pattern]
  if glob.escape(last) == last:
    return [pattern]
  try:
    found = names(directory)
  except FileNotFoundError:
    return []
  return [f"{directory}/{name}" for name in fnmatch.filter(found, last)]


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
  with _told(str(old)):
    _gfile(old).rename(str(old), str(new), overwrite=True)


def remove(path: str | os.PathLike) -> None:
  """Deletes a file."""
  if not is_remote(path):
    os.unlink(path)
    return
  with _told(str(path)):
    _gfile(path).remove(str(path))


def _scheme(path: str | os.PathLike) -> str:
  found = _SCHEME.match(os.fspath(path))
  return found[1] if found else ""


def _gfile(path: str | os.PathLike) -> Any:
  """Returns `tf.io.gfile` after a look whether it knows the path's scheme."""
  try:
    # Some seconds at import, and wanted only for remote paths.
    import tensorflow as tf
    import tensorflow_io  # noqa: F401
  except ImportError as error:
    raise InputError(f"{path} needs tensorflow-io: {error}") from None
  # A library that does not fit TensorFlow only warns at its import.
  known = tf.io.gfile.get_registered_schemes()
  if _scheme(path) not in known:
    raise InputError(
      f"{path}: tensorflow-io knows no {_scheme(path)}://; either there is no "
      "such place, or its library did not load beside TensorFlow "
      f"{tf.__version__} (requirements.txt names a pair that works)"
    )
  return tf.io.gfile


def _connect(endpoint: str) -> None:
  url = urllib.parse.urlsplit(endpoint)
  if url.scheme not in _PORTS or not url.hostname:
    raise InputError(
      "S3_ENDPOINT should be like http://host:port or https://host, is "
      f"{endpoint!r}"
    )
  address = (url.hostname, url.port or _PORTS[url.scheme])
  try:
    socket.create_connection(address, CONNECT_SECONDS).close()
  except OSError as error:
    raise InputError(
      f"S3_ENDPOINT {endpoint} does not answer: {error}"
    ) from None


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
  """Turns TensorFlow's errors into Python's, each one line with the path."""
  import tensorflow as tf

  try:
    yield
  except tf.errors.NotFoundError:
    raise FileNotFoundError(f"{path}: no such file") from None
  except tf.errors.OpError as error:
    said = " ".join(str(error.message).strip(": \n").split())
    if "(23)" in said and _scheme(path) in _WITHOUT_LISTING:
      said = "the server gives whole files only, it should know Range requests"
    raise OSError(f"{path}: {said[:300]}") from None


def _upload(path: str, content: bytes) -> None:
  with _told(path):
    gfile = _gfile(path)
    with gfile.GFile(path, "wb") as file:
      file.write(content)
    # An upload that failed at its end may have said nothing.
    size = gfile.stat(path).length
  if size != len(content):
    raise OSError(f"{path} should have {len(content)} bytes, has {size}")


class _RemoteFile(io.RawIOBase):
  """A remote file as Python has files, for decompressors and parquet."""

  def __init__(self, path: str) -> None:
    super().__init__()
    self._path = path
    self._file = _gfile(path).GFile(path, "rb")

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def tell(self) -> int:
    with _told(self._path):
      return self._file.tell()

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    with _told(self._path):
      if whence == os.SEEK_CUR:
        offset += self._file.tell()
      elif whence == os.SEEK_END:
        offset += self._file.size()
      self._file.seek(offset)
      return offset

  def readinto(self, buffer: Any) -> int:
    with _told(self._path):
      content = self._file.read(len(buffer))
    buffer[: len(content)] = content
    return len(content)

  def close(self) -> None:
    if not self.closed:
      self._file.close()
    super().close()
