"""Live lines on a terminal, or a line now and then in a log."""

import shutil
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import TextIO

_LOG_SECONDS = 10.0


class Display:
  """Shows the same few lines again and again, each as it is now."""

  def __init__(
    self,
    stream: TextIO = sys.stderr,
    clock: Callable[[], float] = time.monotonic,
  ):
    """Writes to `stream`; in place where it is a terminal."""
    self._stream, self._clock = stream, clock
    self._height = 0
    self._next = -1.0

  def show(self, lines: Sequence[str]) -> None:
    """Shows `lines` in place of those shown before."""
    if self._stream.isatty():
      # A line that wraps would be two to go up over.
      width = shutil.get_terminal_size().columns - 1
      cut = "".join(f"{line[:width]}\n" for line in lines)
      self._write(self._up() + cut)
      self._height = len(lines)
    elif lines and self._clock() >= self._next:
      self.leave(lines)
      self._next = self._clock() + _LOG_SECONDS

  def leave(self, lines: Sequence[str]) -> None:
    """Shows `lines` for good; the next are shown below them."""
    self._write(self._up() + "".join(f"{line}\n" for line in lines))
    self._height = 0

  def _up(self) -> str:
    """Returns what goes back to the first line and clears from there."""
    return f"\x1b[{self._height}A\x1b[J" if self._height else ""

  def _write(self, text: str) -> None:
    self._stream.write(text)
    self._stream.flush()
