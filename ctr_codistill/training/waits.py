"""How long a loop waits for what it takes: the input's part of its time."""

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any


class Waits:
  """Hands on an iterator's items and sums up the time until each is there."""

  def __init__(self, source: Iterator, *, clock: Callable[[], float]):
    """Counts from now on; `clock` gives seconds."""
    self._source, self._clock = source, clock
    self._waited = 0.0
    self._begin = clock()
    self._told_waited, self._told_at = 0.0, self._begin

  def __iter__(self) -> "Waits":
    return self

  def __next__(self) -> Any:
    start = self._clock()
    try:
      return next(self._source)
    finally:
      self._waited += self._clock() - start

  @property
  def whole_share(self) -> float:
    """Share of all the time so far that was waiting, in [0, 1]."""
    return self._waited / max(self._clock() - self._begin, 1e-9)

  def share(self) -> float:
    """Returns the share of the time since the last call, in [0, 1]."""
    now, waited = self._clock(), self._waited
    share = (waited - self._told_waited) / max(now - self._told_at, 1e-9)
    self._told_waited, self._told_at = waited, now
    return share
