"""What a worker is given of the world around it: clocks, a pulse, a request.

The library reads no clock and hears no signal; a script hands them in. Whoever
looks after a worker is told its phase, for how long it may be silent depends on
that.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from ctr_codistill.config import Training

JOINING = "joining"
"""The phase in which a worker waits for those of its group."""
BUILDING = "building"
"""The phase in which it makes its model, reads its checkpoint, compiles."""
TRAINING = "training"
"""The phase of the steps after the first, and of what lies between them."""
STORAGE = "storage"
"""The phase in which a worker of the group may write, or wait for a peer's
snapshot, before all go on; it lasts to the end of the next step."""
LEAVES = (TRAINING, STORAGE)
"""The phases in which a worker that is asked to leave can do so in order."""


@dataclasses.dataclass(frozen=True)
class Outside:
  """The world of a worker.

  Attributes:
    clock: gives seconds since 1970; for what others read, never for deadlines,
      since clocks are set and machines differ.
    ticks: gives seconds of a clock that is never set.
    sleep: returns after so many seconds.
    beat: is told of each sign of life: the phase, and the steps done where
      they are another number than before.
    is_asked_to_leave: tells whether this worker should end before its time.
    surroundings: software and machine, for the manifest of the run.
  """

  clock: Callable[[], float]
  ticks: Callable[[], float]
  sleep: Callable[[float], None]
  beat: Callable[..., None] = lambda phase, step=None: None
  is_asked_to_leave: Callable[[], bool] = lambda: False
  surroundings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Patience:
  """How long a worker may be silent in a phase, and the field that says so."""

  seconds: float
  rule: str


def patience(training: Training) -> dict[str, Patience]:
  """Returns what a worker is given in the phases of a group that has met."""
  usual = Patience(training.collective_timeout, "training.collective_timeout")
  # To read a checkpoint takes what it takes, and so does storage.
  start = Patience(training.start_timeout, "training.start_timeout")
  storage = Patience(training.storage_timeout, "training.storage_timeout")
  return {
    TRAINING: usual,
    BUILDING: longest(usual, start),
    STORAGE: longest(usual, storage),
  }


def longest(*those: Patience) -> Patience:
  """Returns the one of most seconds, of equal ones the first."""
  return max(those, key=lambda one: one.seconds)
