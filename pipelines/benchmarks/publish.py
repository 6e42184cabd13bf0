"""What publications and newer snapshots of a peer keep a training from.

With a table of 1 GiB. What a due step waits for is told apart from what the
work beside the steps makes them slower by: both are paid. Everything is in
turn with steps of one process.
"""

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping

import numpy as np

from pipelines.benchmarks.made_group import MadeGroup
from pipelines.benchmarks.work import Work

UNIT = "s"
_ROWS = 1 << 24
_EVERY = 500  # steps between publications
_WARM, _STEPS = 4, 15
_TURNS = 3


def lines(work: Work) -> list[dict[str, object]]:
  """Returns the seconds of each part, a line each."""
  found = times(dataclasses.replace(work, rows=_ROWS))
  return [{"part": name, UNIT: seconds} for name, seconds in found.items()]


def times(work: Work) -> dict[str, float]:
  """Returns the median seconds of a step, and what others take from it."""
  with tempfile.TemporaryDirectory() as folder:
    group = MadeGroup(pathlib.Path(folder), work)
    _steps(group, _WARM)
    step = _steps(group, _STEPS)
    found = _in_turns(lambda: _publication(group, step))
    group.look()
    group.wait()
    group.take()
    _steps(group, _WARM, taught=True)
    taught = _steps(group, _STEPS, taught=True)
    found |= _in_turns(lambda: _exchange(group, taught))
    return {"step": step, "taught step": taught, **found}


def results(seconds: Mapping[str, float]) -> list[dict[str, object]]:
  """Returns the lines of the benchmark.

  The ratio is the share of the time between two publications; that of
  `swap_stall` in steps.
  """
  found = [
    _line(name, seconds[part], f"{_EVERY} steps", _EVERY * seconds[step])
    for name, part, step in (
      ("publish_stall", "publish stall", "step"),
      ("publish_cost", "publish cost", "step"),
      ("read_cost", "read cost", "taught step"),
    )
  ]
  stall = 1e3 * seconds["swap stall"]
  line = _line("swap_stall", stall, "step", 1e3 * seconds["taught step"])
  return [*found, {**line, "unit": "ms"}]


def _line(name: str, value: float, against: str, whole: float) -> dict:
  return {
    "name": name,
    "value": value,
    "unit": UNIT,
    "against": against,
    "ratio": value / whole,
  }


def _publication(group: MadeGroup, step: float) -> dict[str, float]:
  stall = _seconds(group.publish)
  beside = group.steps_while(lambda: group.publishes)
  cost = stall + sum(beside) - step * len(beside)
  return {"publish stall": stall, "publish cost": cost}


def _exchange(group: MadeGroup, step: float) -> dict[str, float]:
  """Has the next snapshot written, then read beside taught steps, and taken."""
  group.publish()
  group.wait()
  group.look()
  beside = group.steps_while(lambda: group.reads, taught=True)
  took = _seconds(group.take)
  # What a swap leaves to the next step is its own too.
  late = max(group.step(taught=True) - step, 0.0)
  cost = sum(beside) - step * len(beside)
  return {"read cost": cost, "swap stall": took + late}


def _in_turns(turn: Callable[[], dict[str, float]]) -> dict[str, float]:
  found = [turn() for _ in range(_TURNS)]
  return {name: float(np.median([f[name] for f in found])) for name in found[0]}


def _steps(group: MadeGroup, count: int, *, taught: bool = False) -> float:
  return float(np.median([group.step(taught=taught) for _ in range(count)]))


def _seconds(call: Callable[[], None]) -> float:
  start = time.perf_counter()
  call()
  return time.perf_counter() - start
