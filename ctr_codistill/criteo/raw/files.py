"""Files of logs as text: plain or compressed, told by their first bytes.

Decompression is pyarrow's, which knows gzip and zstd, sums included, and tells
a file that ends early; it is faster than Python's own gzip.
"""

import contextlib
from collections.abc import Iterator
from typing import BinaryIO

import pyarrow as pa

from ctr_codistill import places
from ctr_codistill.errors import InputError

_COMPRESSED = {
  "gzip": (b"\x1f\x8b\x08", ".gz"),  # with the one method that there is
  "zstd": (b"\x28\xb5\x2f\xfd", ".zst"),
}

_DAMAGED = ("Truncated", "zlib", "ZSTD")  # how pyarrow's messages begin


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
  """Turns a failure to read into an error that names the file."""
  try:
    yield
  except OSError as error:
    said = error.strerror or str(error).removeprefix(f"{path}: ")
    raise InputError(f"input {path}: {said}") from None


def start(path: str) -> bytes:
  """Returns the first four bytes of a file; fewer if it has no more."""
  with places.open_bytes(path) as file:
    return file.read(4)


def is_compressed(path: str) -> bool:
  """Tells whether a file is gzip or zstd."""
  return start(path).startswith(tuple(m for m, _ in _COMPRESSED.values()))


def open_text(path: str) -> BinaryIO:
  """Opens a file for reading, decompressed if it is compressed.

  Raises:
    InputError: its name promises a compression that it has not; while it is
      read: it is truncated or damaged.
    OSError: it is not there, or cannot be read.
  """
  first = start(path)
  for kind, (magic, suffix) in _COMPRESSED.items():
    if first.startswith(magic):
      return _Decompressed(path, kind)
    if path.endswith(suffix) and first:
      raise InputError(f"input {path} is no {kind}: it begins with {first!r}")
  if places.is_remote(path):
    return places.open_bytes(path)
  return open(path, "rb", buffering=0)


class _Decompressed(contextlib.AbstractContextManager):
  """A compressed file; one that ends early or is damaged is told as such."""

  def __init__(self, path: str, kind: str) -> None:
    self._path, self._kind = path, kind
    self._source = places.open_bytes(path)
    self._file = pa.CompressedInputStream(pa.PythonFile(self._source), kind)

  def __exit__(self, *unused: object) -> None:
    self._source.close()

  def read(self, size: int) -> bytes:
    """Returns up to `size` bytes of text, none at the end."""
    try:
      return self._file.read(size)
    except OSError as error:
      said = str(error)
      if not said.startswith(_DAMAGED):
        raise
      if said.startswith("Truncated"):
        said = "it ends before its end mark"
      raise InputError(
        f"input {self._path} is a damaged {self._kind}: {said}"
      ) from None
