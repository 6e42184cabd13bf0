"""TensorFlow's file systems as Python has files; what `places` stands on.

tensorflow-io widens them. TensorFlow is imported where a remote path is met: it
takes some seconds, and local work does without.
"""

import contextlib
import io
import os
import re
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any
from typing import BinaryIO

from ctr_codistill.errors import InputError

CONNECT_SECONDS = 10.0
WITHOUT_LISTING = ("http", "https")
"""Schemes that are only read."""
_CHUNK = 1 << 20
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://")
_PORTS = {"http": 80, "https": 443}


def scheme(path: str | os.PathLike) -> str:
  """Returns "s3" of "s3://bucket/key", "" of a local path."""
  found = _SCHEME.match(os.fspath(path))
  return found[1] if found else ""


def gfile(path: str | os.PathLike) -> Any:
  """Returns `tf.io.gfile` after a look whether it knows the path's scheme."""
  try:
    # Some seconds at import, and wanted only for remote paths.
    import tensorflow as tf
    import tensorflow_io  # noqa: F401
  except ImportError as error:
    raise InputError(f"{path} needs tensorflow-io: {error}") from None
  # A library that does not fit TensorFlow only warns at its import.
  known = tf.io.gfile.get_registered_schemes()
  if scheme(path) not in known:
    raise InputError(
      f"{path}: tensorflow-io knows no {scheme(path)}://; either there is no "
      "such place, or its library did not load beside TensorFlow "
      f"{tf.__version__} (requirements.txt names a pair that works)"
    )
  return tf.io.gfile


def connect(endpoint: str) -> None:
  """Raises InputError if nobody answers there within `CONNECT_SECONDS`."""
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
def told(path: str) -> Iterator[None]:
  """Turns TensorFlow's errors into Python's, each one line with the path."""
  import tensorflow as tf

  try:
    yield
  except tf.errors.NotFoundError:
    raise FileNotFoundError(f"{path}: no such file") from None
  except tf.errors.OpError as error:
    said = " ".join(str(error.message).strip(": \n").split())
    if "(23)" in said and scheme(path) in WITHOUT_LISTING:
      said = "the server gives whole files only, it should know Range requests"
    raise OSError(f"{path}: {said[:300]}") from None


def open_bytes(path: str) -> BinaryIO:
  """Opens a file for reading; what is wrong is told when it is read."""
  return io.BufferedReader(_RemoteFile(path), _CHUNK)


def upload(path: str, source: BinaryIO) -> None:
  """Makes an object of all that is in `source`.

  Raises:
    OSError: naming `path`, which is then as it was, or of another size.
  """
  source.seek(0)
  wanted = 0
  try:
    with told(path):
      files = gfile(path)
      target = files.GFile(path, "wb")
      # Its `close` uploads, hence no `with`: what broke off must not.
      while chunk := source.read(_CHUNK):
        target.write(chunk)
        wanted += len(chunk)
      target.write(b"")  # there is no object of a file that nobody wrote to
      target.close()
      # An upload that failed at its end may have said nothing.
      size = files.stat(path).length
  except FileNotFoundError:
    raise OSError(f"{path} cannot be written: no such bucket") from None
  if size != wanted:
    raise OSError(f"{path} should have {wanted} bytes, has {size}")


class _RemoteFile(io.RawIOBase):
  """A remote file as Python has files, for decompressors and parquet."""

  def __init__(self, path: str) -> None:
    super().__init__()
    self._path = path
    self._file = gfile(path).GFile(path, "rb")

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def tell(self) -> int:
    with told(self._path):
      return self._file.tell()

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    with told(self._path):
      if whence == os.SEEK_CUR:
        offset += self._file.tell()
      elif whence == os.SEEK_END:
        offset += self._file.size()
      self._file.seek(offset)
      return offset

  def readinto(self, buffer: Any) -> int:
    with told(self._path):
      content = self._file.read(len(buffer))
    buffer[: len(content)] = content
    return len(content)

  def close(self) -> None:
    if not self.closed:
      self._file.close()
    super().close()
