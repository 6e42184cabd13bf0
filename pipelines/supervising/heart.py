"""The pulse of a worker: what it did last, for whoever looks after it.

A file without a name that both hold open: nothing is left of it when they are
gone, no disk can be too full for it, and no two machines' clocks are compared.
"""

import dataclasses
import os
import tempfile
from typing import BinaryIO

_SIZE = 64  # bytes, all written at once


@dataclasses.dataclass(frozen=True)
class Beat:
  """A sign of life: the `count`-th, with the phase and the steps done."""

  phase: str
  step: int
  count: int


_NONE = Beat("", 0, 0)


class Heart:
  """Beats into an open file."""

  def __init__(self, descriptor: int):
    """`descriptor` is the file's, below 0 for nobody who listens."""
    self._file, self._last = descriptor, _NONE

  def beat(self, phase: str, step: int | None = None) -> None:
    """Says what the worker is about; `step` None: the same as before."""
    before = self._last
    self._last = Beat(
      phase, before.step if step is None else step, before.count + 1
    )
    if self._file >= 0:
      words = f"{phase} {self._last.step} {self._last.count}"
      os.pwrite(self._file, words.ljust(_SIZE).encode(), 0)


def new() -> BinaryIO:
  """Returns a file to beat into."""
  return tempfile.TemporaryFile()


def last(file: BinaryIO) -> Beat:
  """Returns the last beat; without a phase before the first."""
  words = os.pread(file.fileno(), _SIZE, 0).decode().split()
  return Beat(words[0], int(words[1]), int(words[2])) if words else _NONE
