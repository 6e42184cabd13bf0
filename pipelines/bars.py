"""Progress for people who wait: a bar a pass, in a log a line every 10 s."""

import sys
from collections.abc import Callable

import tqdm


class Bars:
  """One progress bar after the other, by the name of the pass."""

  def __init__(self) -> None:
    self._bar: tqdm.tqdm | None = None

  def __call__(self, name: str, rows: int | None) -> Callable[[int], None]:
    """Ends the bar before and begins one; returns what moves it by rows."""
    self.close()
    self._bar = tqdm.tqdm(
      desc=name,
      total=rows,
      unit="row",
      unit_scale=True,
      mininterval=0.1 if sys.stderr.isatty() else 10,
    )
    return self._bar.update

  def close(self) -> None:
    """Ends the bar, if there is one."""
    if self._bar is not None:
      self._bar.close()
      self._bar = None

  def __enter__(self) -> "Bars":
    return self

  def __exit__(self, *_: object) -> None:
    self.close()
