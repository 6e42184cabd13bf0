"""Raw logs as blocks of whole lines, each line numbered.

Blocks of some megabytes are what a parser wants, and what threads can share;
the numbers are what a bad line is reported by, and what splits rows by time. A
row of a parquet file counts as a line.
"""

import dataclasses
import functools
import logging
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill import globs
from ctr_codistill import places
from ctr_codistill.criteo.raw import files
from ctr_codistill.criteo.raw import parquet
from ctr_codistill.errors import InputError

_LOG = logging.getLogger(__name__)
BLOCK_BYTES = 1 << 22
LONGEST_LINE = 1 << 24
"""Bytes; more without a newline is no log, and must not fill the memory."""
BOM = b"\xef\xbb\xbf"
BAD_LINES = ".quarantine.tsv"
"""How a file's name ends where a job keeps bad lines beside its output."""
_SHOWN = 3
"""Files that are named of those that are left out."""


@dataclasses.dataclass(frozen=True)
class Block:
  """Some whole lines of a file.

  Attributes:
    path: of the file.
    line: number of the first line in its file, from 1.
    row: number of the first line in the whole input, from 0.
    text: the lines; only a file's last may lack its newline.
    lines: how many there are.
    batch: the rows, where the file is parquet; `text` is empty then.
  """

  path: str
  line: int
  row: int
  text: bytes
  lines: int
  batch: pa.RecordBatch | None = None


def find(patterns: str | Sequence[str]) -> list[str]:
  """Returns the files that match, sorted within each pattern.

  What else a pattern matches is left out, and said: folders, names that begin
  with `_` or `.` (marks and sums that other programs leave), what scoring jobs
  keep of bad lines, files without a row. A file that is named itself is never
  left out.

  Raises:
    InputError: a pattern that matches no file with rows, a directory, or a
      place that does not answer.
  """
  patterns = [patterns] if isinstance(patterns, str) else patterns
  found = []
  for pattern in patterns:
    try:
      paths = globs.find(pattern)
    except OSError as error:
      raise InputError(f"input {error}") from None
    if not paths:
      raise InputError(f"input {pattern!r} matches no file")
    found += _logs(paths, pattern) if globs.is_pattern(pattern) else paths
  for path in found:
    if os.path.isdir(path):
      raise InputError(f"input {path} should be a file, is a directory")
  if not found:
    raise InputError("there should be an input, there is none")
  return found


def _logs(paths: Sequence[str], pattern: str) -> list[str]:
  """Returns those of the paths that `pattern` matches which can hold rows."""
  reasons = {path: _no_log(path, pattern) for path in paths}
  found = [path for path in paths if not reasons[path]]
  if len(found) == len(paths):
    return found
  skipped = [f"{path} ({why})" for path, why in reasons.items() if why]
  more = ", ..." if len(skipped) > _SHOWN else ""
  shown = ", ".join(skipped[:_SHOWN]) + more
  if not found:
    raise InputError(f"input {pattern!r} matches no file with rows: {shown}")
  _tell(f"input {pattern!r}: {len(skipped)} of {len(paths)} skipped: {shown}")
  return found


def _no_log(path: str, pattern: str) -> str:
  """Returns why a file that `pattern` matches holds no rows; "" if it may."""
  if is_marked(path, pattern):
    return f"begins with {os.path.basename(path)[0]}"
  if path.endswith(BAD_LINES):
    return "bad lines of a job"
  # A store lists folders as well, of which nothing can be read.
  is_remote = places.is_remote(path)
  if not places.is_file(path) if is_remote else os.path.isdir(path):
    return "a folder"
  if is_parquet(path):
    return "" if parquet.rows(path) else "no row"
  with files.named(path), files.open_text(path) as file:
    return "" if file.read(len(BOM) + 1).removeprefix(BOM) else "empty"


@functools.lru_cache
def _tell(message: str) -> None:
  """Says something once: a job may look for its files more than once."""
  _LOG.warning("%s", message)


def is_marked(path: str, pattern: str) -> bool:
  """Tells whether a name says "no log", and `pattern` does not begin so."""
  first, wanted = (os.path.basename(p)[:1] for p in (path, pattern))
  return first in ("_", ".") and first != wanted


def count(
  paths: Sequence[str],
  progress: Callable[[int], None] = lambda rows: None,
  *,
  header: bool = False,
) -> int:
  """Returns the number of lines in all files; a last one needs no newline.

  Args:
    paths: of the files.
    progress: called with the number of lines newly seen.
    header: whether the first line of each file of text is none.

  Raises:
    InputError: as `blocks`.
  """
  total = 0
  for path in paths:
    if is_parquet(path):
      total += parquet.rows(path)
      continue
    last = b"\n"
    for chunk in _chunks(path, BLOCK_BYTES):
      lines, last = _newlines(chunk), chunk[-1:]
      total += lines
      progress(lines)
    total += (last != b"\n") - header
  return total


def blocks(
  paths: Sequence[str],
  block_bytes: int = BLOCK_BYTES,
  *,
  header: bool = False,
) -> Iterator[Block]:
  """Yields the lines of all files in order, about `block_bytes` at a time.

  A file is plain, gzip, zstd or parquet, by its first bytes; a byte order mark
  at a text's start is dropped. With `header` the first line of each text is
  left out; the next one is line 2.

  Raises:
    InputError: naming a file that is missing, unreadable, empty, truncated or
      damaged, or has a line longer than `LONGEST_LINE` bytes.
  """
  row = 0
  for path in paths:
    for block in _blocks(path, block_bytes, header):
      yield dataclasses.replace(block, row=row)
      row += block.lines


def text_blocks(
  path: str, chunks: Iterable[bytes], *, line: int, row: int
) -> Iterator[Block]:
  """Yields the lines of a text that is given in chunks.

  Args:
    path: of the file that they are of.
    chunks: the first one begins a line.
    line: number of that line in its file, from 1.
    row: and in the whole input, from 0.

  Raises:
    InputError: a line is longer than `LONGEST_LINE` bytes.
  """
  for text in _whole_lines(path, chunks):
    count = _newlines(text) + (not text.endswith(b"\n"))
    yield Block(path, line, row, text, count)
    line, row = line + count, row + count


def first_line(path: str) -> bytes:
  """Returns the first line of a text, without its end.

  Raises:
    InputError: as `blocks`.
  """
  return next(first_lines(path))


def first_lines(path: str) -> Iterator[bytes]:
  """Yields the lines of a text's first 64 KiB without their ends, at least one.

  Raises:
    InputError: as `blocks`.
  """
  text = next(_whole_lines(path, _chunks(path, 1 << 16)))
  for line in text.removesuffix(b"\n").split(b"\n"):
    yield line.removesuffix(b"\r")


def is_parquet(path: str) -> bool:
  """Tells whether a file is parquet; raises InputError as `blocks`."""
  with files.named(path):
    return files.start(path) == parquet.MAGIC


def _blocks(path: str, block_bytes: int, header: bool) -> Iterator[Block]:
  line = 1
  if is_parquet(path):
    for batch in parquet.batches(path):
      yield Block(path, line, 0, b"", batch.num_rows, batch)
      line += batch.num_rows
    return
  for text in _whole_lines(path, _chunks(path, block_bytes)):
    if header and line == 1:
      _, _, text = text.partition(b"\n")
      line = 2
    if text:
      lines = _newlines(text) + (not text.endswith(b"\n"))
      yield Block(path, line, 0, text, lines)
      line += lines


def _newlines(text: bytes) -> int:
  return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))


def _whole_lines(path: str, chunks: Iterable[bytes]) -> Iterator[bytes]:
  rest = b""
  for chunk in chunks:
    cut = chunk.rfind(b"\n") + 1
    if cut:
      yield b"".join((rest, memoryview(chunk)[:cut]))  # one copy, not two
      rest = b""
    rest += chunk[cut:]
    if len(rest) > LONGEST_LINE:
      raise InputError(
        f"{path} has a line of more than {LONGEST_LINE} bytes; a log has "
        "newlines"
      )
  if rest:
    yield rest


def _chunks(path: str, size: int) -> Iterator[bytes]:
  """Yields the bytes of a file without a byte order mark, never none."""
  with files.named(path), files.open_text(path) as file:
    chunk = file.read(size + len(BOM)).removeprefix(BOM)
    if not chunk:
      raise InputError(f"input {path} is empty")
    while chunk:
      yield chunk
      chunk = file.read(size)
