"""Raw logs as blocks of whole lines, each line numbered.

Blocks of some megabytes are what a parser wants, and what threads can share;
the numbers are what a bad line is reported by, and what splits rows by time.
"""

import dataclasses
import glob
import gzip
import os
import zlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from ctr_codistill.errors import InputError

BLOCK_BYTES = 1 << 22
LONGEST_LINE = 1 << 24
"""Bytes; more without a newline is no log, and must not fill the memory."""
BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclasses.dataclass(frozen=True)
class Block:
  """Some whole lines of a file.

  Attributes:
    path: of the file.
    line: number of the first line in its file, from 1.
    row: number of the first line in the whole input, from 0.
    text: the lines; only a file's last may lack its newline.
    lines: how many there are.
  """

  path: str
  line: int
  row: int
  text: bytes
  lines: int


def find(patterns: str | Sequence[str]) -> list[str]:
  """Returns the files that match, sorted within each pattern.

  Raises:
    InputError: a pattern that matches nothing, or a directory.
  """
  patterns = [patterns] if isinstance(patterns, str) else patterns
  found = []
  for pattern in patterns:
    paths = sorted(glob.glob(pattern))
    if not paths:
      raise InputError(f"input {pattern!r} matches no file")
    found += paths
  for path in found:
    if os.path.isdir(path):
      raise InputError(f"input {path} should be a file, is a directory")
  if not found:
    raise InputError("there should be an input, there is none")
  return found


def count(
  paths: Sequence[str], progress: Callable[[int], None] = lambda rows: None
) -> int:
  """Returns the number of lines in all files; a last one needs no newline.

  Raises:
    InputError: as `blocks`.
  """
  total = 0
  for path in paths:
    last = b"\n"
    for chunk in _chunks(path, BLOCK_BYTES):
      lines, last = _newlines(chunk), chunk[-1:]
      total += lines
      progress(lines)
    total += last != b"\n"
  return total


def blocks(
  paths: Sequence[str], block_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
  """Yields the lines of all files in order, about `block_bytes` at a time.

  A file is plain or gzip, by its first bytes; a byte order mark at its start is
  dropped.

  Raises:
    InputError: naming a file that is missing, unreadable, empty, a truncated or
      broken gzip, or has a line longer than `LONGEST_LINE` bytes.
  """
  row = 0
  for path in paths:
    first = row
    for text in _whole_lines(path, block_bytes):
      lines = _newlines(text) + (not text.endswith(b"\n"))
      yield Block(path, row - first + 1, row, text, lines)
      row += lines


def first_line(path: str) -> bytes:
  """Returns the first line of a file, without its end.

  Raises:
    InputError: as `blocks`.
  """
  text = next(_whole_lines(path, 1 << 16))
  return text.split(b"\n", 1)[0].removesuffix(b"\r")


def _newlines(text: bytes) -> int:
  return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


def _whole_lines(path: str, block_bytes: int) -> Iterator[bytes]:
  rest = b""
  for chunk in _chunks(path, block_bytes):
    text = rest + chunk
    cut = text.rfind(b"\n") + 1
    if cut:
      yield text[:cut]
    rest = text[cut:]
    if len(rest) > LONGEST_LINE:
      raise InputError(
        f"{path} has a line of more than {LONGEST_LINE} bytes; a log has "
        "newlines"
      )
  if rest:
    yield rest


def _chunks(path: str, size: int) -> Iterator[bytes]:
  """Yields the bytes of a file without a byte order mark, never none."""
  try:
    with _open(path) as file:
      chunk = file.read(size + len(BOM)).removeprefix(BOM)
      if not chunk:
        raise InputError(f"input {path} is empty")
      while chunk:
        yield chunk
        chunk = file.read(size)
  except EOFError:
    raise InputError(
      f"input {path} is a truncated gzip: it ends before its end mark"
    ) from None
  except (gzip.BadGzipFile, zlib.error) as error:
    raise InputError(f"input {path} is a broken gzip: {error}") from None
  except OSError as error:
    raise InputError(f"input {path}: {error.strerror or error}") from None


def _open(path: str) -> BinaryIO:
  with open(path, "rb") as file:
    start = file.read(len(_GZIP_MAGIC))
  if start == _GZIP_MAGIC:
    return gzip.open(path, "rb")
  if path.endswith(".gz") and start:
    raise InputError(f"input {path} is no gzip: it begins with {start!r}")
  return open(path, "rb", buffering=0)
