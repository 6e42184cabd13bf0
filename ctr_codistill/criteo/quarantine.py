"""Where bad lines go, and how many are too many.

A row is never lost: what is not a row lies here as it came, with its place and
the reason.
"""

import math
import os
import pathlib
import shutil
from collections.abc import Sequence

from ctr_codistill import places
from ctr_codistill.criteo.parsing import BadLine
from ctr_codistill.errors import InputError

FOLDER = "quarantine"
_FILE = "lines.tsv"
_SHOWN = 3


class Quarantine:
  """Keeps bad lines in `quarantine/lines.tsv`: file, line, reason, the line.

  Use it in a `with`. There is no file where there is no bad line.

  Args:
    rows: lines of the whole input.
    max_fraction: of them that may be bad, in [0, 1].
    directory: gets the folder; `None` only counts.
    bad: lines that were bad before.
    size: bytes of the file that hold those; the rest of it is dropped.
  """

  def __init__(
    self,
    rows: int,
    max_fraction: float,
    directory: str | os.PathLike | None,
    *,
    bad: int = 0,
    size: int = 0,
  ) -> None:
    self._rows = rows
    self._max_fraction = max_fraction
    self._path = None if directory is None else path(directory)
    self._file = None
    self.shown: tuple[str, ...] = ()
    self.rows = bad
    self.size = size
    if self._path:
      self._cut()

  def __enter__(self) -> "Quarantine":
    return self

  def __exit__(self, *unused: object) -> None:
    self.close()

  def close(self) -> None:
    """Closes the file, if there is one."""
    if self._file:
      self._file.close()

  @property
  def allowed(self) -> int:
    """Lines that may be bad."""
    return math.floor(self._rows * self._max_fraction)

  def add(self, bad: Sequence[BadLine]) -> None:
    """Adds bad lines.

    Raises:
      InputError: there are now more than the fraction of all lines allows.
    """
    for line in bad:
      self._write(line)
    shown = [f"{b.path}:{b.line}: {b.reason}" for b in bad[:_SHOWN]]
    self.note(len(bad), shown)

  def note(self, bad: int, shown: Sequence[str]) -> None:
    """Counts bad lines that are kept elsewhere; raises as `add`.

    Args:
      bad: how many.
      shown: what the error says of the first of them.
    """
    self.shown = (*self.shown, *shown)[:_SHOWN]
    self.rows += bad
    if self.rows > self.allowed:
      raise InputError(
        f"of {self._rows} lines at most {self.allowed} may be bad "
        f"(max_bad_fraction={self._max_fraction:g}), {self.rows} are so far: "
        + "; ".join(self.shown)
      )

  def flush(self) -> None:
    """Leaves nothing in memory that a killed process would lose."""
    if self._file:
      self._file.flush()
      os.fsync(self._file.fileno())

  def _cut(self) -> None:
    found = self._path.stat().st_size if self._path.exists() else 0
    if found < self.size:
      raise InputError(
        f"{self._path} was left with {self.size} bytes, has {found}"
      )
    if self.size:
      os.truncate(self._path, self.size)
    else:
      self._path.unlink(missing_ok=True)

  def _write(self, line: BadLine) -> None:
    if not self._path:
      return
    if not self._file:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      self._file = self._path.open("ab")
    self.size += self._file.write(_text(line))


def write(path: str | os.PathLike, bad: Sequence[BadLine]) -> None:
  """Writes bad lines as a file like those of `Quarantine`."""
  places.write_bytes(path, b"".join(map(_text, bad)))


def path(directory: str | os.PathLike) -> pathlib.Path:
  """Returns where the bad lines of a prepared directory lie, if it has any."""
  return pathlib.Path(directory, FOLDER, _FILE)


def join(directory: str | os.PathLike, parts: Sequence[pathlib.Path]) -> None:
  """Makes the file that `Quarantine` keeps in `directory` of parts of it."""
  with places.written(path(directory)) as file:
    for part in parts:
      with part.open("rb") as source:
        shutil.copyfileobj(source, file)


def _text(line: BadLine) -> bytes:
  place = f"{line.path}\t{line.line}\t{line.reason}\t"
  return place.encode(errors="surrogateescape") + line.text + b"\n"
