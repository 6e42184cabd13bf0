"""What happened to the groups of a run: a line of JSON each, for good.

Several supervisors may write to the same file: a line is one write at its end.
"""

import dataclasses
import datetime
import json
import os
import pathlib
import time
from collections.abc import Callable

FILE = "events.jsonl"
_QUIET = ("started", "done")


@dataclasses.dataclass(frozen=True)
class Event:
  """Something that happened to a group.

  Attributes:
    event: started, failed, restart, recovered, left, done or ended.
    group: of it.
    worker: the one that it happened to, None for all.
    step: at which the group was.
    cause: in words.
    lost: seconds from the last step before a failure to the first step that had
      not been done before it.
  """

  event: str
  group: int
  worker: int | None = None
  step: int | None = None
  cause: str = ""
  lost: float | None = None

  def __str__(self) -> str:
    who = f"group {self.group}"
    if self.worker is not None:
      who += f" worker {self.worker}"
    at = "" if self.step is None else f" at step {self.step}"
    cost = "" if self.lost is None else f", {self.lost:.1f} s lost"
    return f"{who}: {self.event}{at}{cost}" + (self.cause and f": {self.cause}")


class Events:
  """Writes events to a run's directory, and says them."""

  def __init__(
    self,
    workdir: pathlib.Path,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.time,
  ):
    """`say` takes a line; `clock` gives seconds since 1970."""
    self._path, self._say, self._clock = workdir / FILE, say, clock

  def __call__(self, event: Event) -> None:
    """Notes `event`; one that everything is well with is only written."""
    if event.event not in _QUIET:
      self._say(str(event))
    now = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
    value = {"time": now.isoformat(timespec="milliseconds")}
    line = json.dumps(value | dataclasses.asdict(event)) + "\n"
    try:
      with self._path.open("ab", buffering=0) as file:
        file.write(line.encode())
    except OSError as error:  # such as a full disk: no reason to stop a run
      self._say(f"{self._path}: {os.strerror(error.errno or 0)}")
