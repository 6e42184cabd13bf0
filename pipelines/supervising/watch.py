"""A worker's watch over itself: it ends where others keep it waiting too long.

A collective waits for ever for a worker that does not call it, and a worker
need not have a supervisor.
"""

import threading
from collections.abc import Callable

from ctr_codistill.config import Training
from ctr_codistill.training import outside

RULE = "training.collective_timeout"
"""What it says that a worker waited longer than."""
_LOOKS = 20  # in the time that it may be silent


class Watch:
  """Hears the signs of life of its own process, and when they stop."""

  def __init__(
    self,
    training: Training,
    beat: Callable[..., None],
    *,
    ticks: Callable[[], float],
  ):
    """Has heard nothing yet.

    Args:
      training: says how long a worker may wait.
      beat: is told what is heard, see `Outside`.
      ticks: gives seconds of a clock that is never set.
    """
    self._shortest = training.collective_timeout
    self._limits = {
      outside.TRAINING: self._shortest,
      # To read a checkpoint takes what it takes.
      outside.BUILDING: max(self._shortest, training.start_timeout),
    }
    self._beat, self._ticks = beat, ticks
    self._heard = ("", 0.0)

  def beat(self, phase: str, step: int | None = None) -> None:
    """Hears a sign of life, and passes it on."""
    self._heard = (phase, self._ticks())
    self._beat(phase, step)

  def late(self) -> str:
    """Tells what to say of a silence that lasts too long, "" if none does."""
    phase, since = self._heard
    silence = self._ticks() - since
    if silence <= self._limits.get(phase, float("inf")):
      return ""
    return (
      f"no step for {silence:.0f} s: the workers of its group should answer "
      f"within {self._limits[phase]:g} s ({RULE})"
    )

  def start(
    self, end: Callable[[str], None], sleep: Callable[[float], None]
  ) -> None:
    """Looks now and then from a thread; `end` is told if it is late."""

    def look() -> None:
      while not (said := self.late()):
        sleep(self._shortest / _LOOKS)
      end(said)

    threading.Thread(target=look, name="watch", daemon=True).start()
