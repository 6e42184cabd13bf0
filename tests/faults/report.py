"""The faults that a run is put through, by name, and what came of each.

How one is added: a file in this folder, of any name, has a function that does
it for real, as often as it likes, and tells what came of it:

  from faults import report

  @report.fault("a snapshot cut at any byte")
  def cut(trial):
    ...
    return report.Outcome(tried=200, survived=199, lost=0.3)

`run.py` finds it there. It may write below `trial.folder`, which is new, and
raises `report.Skipped` with the reason where it cannot be tried, such as
without root. What else it raises counts as one that was not survived.
"""

import dataclasses
import json
import pathlib
import tempfile
import traceback
from collections.abc import Callable


class Skipped(Exception):
  """This machine does not allow a fault; the message says why."""


@dataclasses.dataclass(frozen=True)
class Trial:
  """What a fault is given.

  Attributes:
    folder: a new directory for all that it writes.
    times: how often it is tried, where it can be often.
    minutes: how long it is tried, where it takes long.
    say: tells what is going on.
  """

  folder: pathlib.Path
  times: int
  minutes: float
  say: Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How often a fault was tried and survived, and its cost.

  `lost` are seconds a fault, on the mean.
  """

  tried: int
  survived: int
  lost: float = 0.0


FAULTS: dict[str, Callable[[Trial], Outcome]] = {}
AFTERWARDS: list[Callable[[], None]] = []
"""What is done after each fault, whatever came of it."""


def fault(name: str):
  """Returns a decorator that registers a function under a fault's name."""

  def register(call):
    if name in FAULTS:
      raise ValueError(f"there are two faults {name!r}")
    FAULTS[name] = call
    return call

  return register


def run(names, path, *, times, minutes, say) -> bool:
  """Tries faults, and writes the report at `path` after each.

  What the report says of others stays. Returns whether all were survived.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  good = True
  for name in names:
    say(f"{name} ...")
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
      trial = Trial(pathlib.Path(folder), times, minutes, say)
      try:
        outcome = FAULTS[name](trial)
      except Skipped as reason:
        say(f"{name}: skipped, {reason}")
        continue
      except Exception:
        say(traceback.format_exc())
        outcome = Outcome(tried=1, survived=0)
      finally:
        for call in AFTERWARDS:
          call()
    say(f"{name}: {outcome}")
    good &= outcome.tried == outcome.survived
    _write(path, name, outcome)
  return good


def _write(path, name, outcome):
  found = json.loads(path.read_text()) if path.exists() else []
  found = [entry for entry in found if entry["fault"] != name]
  found.append({"fault": name, **dataclasses.asdict(outcome)})
  path.write_text(json.dumps(found, indent=1) + "\n")
