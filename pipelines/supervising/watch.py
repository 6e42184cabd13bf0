"""A worker's watch over itself: it ends where others keep it waiting too long.

A collective waits for ever for a worker that does not call it, and a worker
need not have a supervisor.
"""

import threading
from collections.abc import Callable
from collections.abc import Mapping

from ctr_codistill.training import outside
from ctr_codistill.training.outside import Patience

SAID = "the workers of its group should answer within"
"""What it says where a worker waited too long."""
_LOOKS = 20  # in the time that it may be silent


class Watch:
  """Hears the signs of life of its own process, and when they stop."""

  def __init__(
    self,
    patience: Mapping[str, Patience],
    beat: Callable[..., None],
    *,
    ticks: Callable[[], float],
  ):
    """Has heard nothing yet.

    Args:
      patience: how long a worker may wait, by phase; in others for ever.
      beat: is told what is heard, see `Outside`.
      ticks: gives seconds of a clock that is never set.
    """
    self._patience = patience
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
    given = self._patience.get(phase)
    if given is None or silence <= given.seconds:
      return ""
    return (
      f"no step for {silence:.0f} s: {SAID} {given.seconds:g} s ({given.rule})"
    )

  def start(
    self, end: Callable[[str], None], sleep: Callable[[float], None]
  ) -> None:
    """Looks now and then from a thread; `end` is told if it is late."""

    pause = self._patience[outside.TRAINING].seconds / _LOOKS

    def look() -> None:
      while not (said := self.late()):
        sleep(pause)
      end(said)

    threading.Thread(target=look, name="watch", daemon=True).start()
