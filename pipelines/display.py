"""Live lines on a terminal, or a line now and then in a log."""

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

  def show(self, lines: Sequence[str], *, last: bool = False) -> None:
    """Shows `lines`; `last` leaves them standing and begins anew below."""
    if self._stream.isatty():
      up = f"\x1b[{self._height}A" if self._height else ""
      self._write(up + "".join(f"\x1b[2K{line}\n" for line in lines))
      self._height = 0 if last else len(lines)
    elif last or self._clock() >= self._next:
      self._write("".join(f"{line}\n" for line in lines))
      self._next = self._clock() + _LOG_SECONDS

  def _write(self, text: str) -> None:
    self._stream.write(text)
    self._stream.flush()
