"""What a worker is given of the world around it: clocks, a pulse, a request.

The library reads no clock and hears no signal; a script hands them in.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

JOINING = "joining"
"""The phase in which a worker waits for those of its group."""
BUILDING = "building"
"""The phase in which it makes its model, reads its checkpoint, compiles."""
TRAINING = "training"
"""The phase of the steps after the first, and of what lies between them."""


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
