"""Raw logs as pieces that can be worked on apart, each some whole lines.

Text is cut at ends of lines by a look at a few places, so that a piece is read
without its neighbours. Nothing but its beginning finds a line in a compressed
file, so that one is a piece, and so is a parquet file.
"""

import dataclasses
import functools
import os
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import BinaryIO

from ctr_codistill import places
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo.raw import files
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.errors import InputError

PIECE_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True)
class Piece:
  """Some whole lines of a file, or all of them.

  Attributes:
    number: its place among the pieces of the input, from 0.
    path: of the file.
    start: byte where its first line begins.
    stop: byte after its last line; `None` is the whole of a file that cannot
      be cut.
    line: number of the first one in its file, from 1; 0 until it is known.
    lines: how many there are, once they are counted.
    row: number of the first one in the whole input, from 0, once it is known.
  """

  number: int
  path: str
  start: int
  stop: int | None
  line: int
  lines: int = 0
  row: int = 0


def split(
  paths: Sequence[str], piece_bytes: int, *, header: bool = False
) -> list[Piece]:
  """Returns the pieces of all files in order, not counted yet.

  Args:
    paths: of the files.
    piece_bytes: of text in a piece, at least 1; a piece ends with the line
      that holds the last of them.
    header: whether the first line of each text is none, hence in no piece.

  Raises:
    InputError: as `lines.blocks`.
  """
  found = []
  for path in paths:
    line = 1 + header
    for start, stop in _cuts(path, piece_bytes, header):
      found.append(Piece(len(found), path, start, stop, line))
      line = 0
  return found


def numbered(pieces: Sequence[Piece]) -> list[Piece]:
  """Returns all pieces, counted, with the numbers of their first lines."""
  found, line, row = [], 1, 0
  for piece in pieces:
    line = piece.line or line
    found.append(dataclasses.replace(piece, line=line, row=row))
    line, row = line + piece.lines, row + piece.lines
  return found


def counted(
  piece: Piece,
  *,
  header: bool = False,
  progress: Callable[[int], None] = lambda rows: None,
) -> Piece:
  """Returns a piece with the number of its lines; raises as `blocks`."""
  if piece.stop is None:
    count = lines.count([piece.path], progress, header=header)
    return dataclasses.replace(piece, lines=count)
  count = 0
  for block in blocks(piece):
    count += block.lines
    progress(block.lines)
  return dataclasses.replace(piece, lines=count)


def all_counted(
  pieces: Iterable[Piece],
  *,
  header: bool = False,
  threads: int = 2,
  progress: Callable[[int], None] = lambda rows: None,
) -> list[Piece]:
  """Returns all pieces, counted by threads and numbered.

  Args:
    pieces: of all files, in order.
    header: whether the first line of each text is none.
    threads: that count, each one piece at a time.
    progress: called with the number of lines newly seen, by one at a time.

  Raises:
    InputError: as `blocks`.
  """
  alone = threading.Lock()

  def said(rows: int) -> None:
    with alone:
      progress(rows)

  count = functools.partial(counted, header=header, progress=said)
  return numbered(list(parallel.in_order(count, pieces, threads)))


def blocks(
  piece: Piece, block_bytes: int = lines.BLOCK_BYTES, *, header: bool = False
) -> Iterator[Block]:
  """Yields the lines of a piece as `lines.blocks` does, with its numbers.

  Raises:
    InputError: as `lines.blocks`; the file became shorter.
  """
  if piece.stop is None:
    for block in lines.blocks([piece.path], block_bytes, header=header):
      yield dataclasses.replace(block, row=piece.row + block.row)
    return
  chunks = _chunks(piece.path, piece.start, piece.stop, block_bytes)
  yield from lines.text_blocks(
    piece.path, chunks, line=piece.line, row=piece.row
  )


def _cuts(
  path: str, piece_bytes: int, header: bool
) -> Iterator[tuple[int, int | None]]:
  """Yields where each piece of a file starts and stops."""
  with files.named(path):
    if lines.is_parquet(path) or files.is_compressed(path):
      yield 0, None
      return
    with places.open_bytes(path) as file:
      size = file.seek(0, os.SEEK_END)
      file.seek(0)
      start = len(lines.BOM) * (file.read(len(lines.BOM)) == lines.BOM)
      if header:
        start = _line_end(file, start, path)
      while start < size:
        stop = start + piece_bytes
        stop = _line_end(file, stop - 1, path) if stop < size else size
        yield start, stop
        start = stop


def _line_end(file: BinaryIO, place: int, path: str) -> int:
  """Returns where the line ends that holds the byte at `place`."""
  file.seek(place)
  rest = file.readline(lines.LONGEST_LINE + 1)
  if len(rest) > lines.LONGEST_LINE:
    raise InputError(
      f"{path} has a line of more than {lines.LONGEST_LINE} bytes; a log has "
      "newlines"
    )
  return place + len(rest)


def _chunks(path: str, start: int, stop: int, size: int) -> Iterator[bytes]:
  with files.named(path), places.open_bytes(path) as file:
    file.seek(start)
    while start < stop:
      chunk = file.read(min(size, stop - start))
      if not chunk:
        raise InputError(
          f"input {path} should have {stop} bytes as before, ends at {start}"
        )
      yield chunk
      start += len(chunk)
