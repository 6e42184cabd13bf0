"""Curves of a training, read back from the event files that it wrote."""

import os
from collections.abc import Sequence

from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)
from tensorboard.util import tensor_util

Line = tuple[list[int], list[float]]
"""Steps, ascending, and the value of each."""


def read(folder: str | os.PathLike, name: str) -> Line:
  """Returns the steps and values of scalar `name`, both empty if it has none.

  Where a training was started again, the later of two values of a step counts.

  Args:
    folder: where the event files of one group lie.
    name: the scalar's tag, such as "validation/log_loss".
  """
  return read_all(folder, [name])[name]


def read_all(
  folder: str | os.PathLike, names: Sequence[str]
) -> dict[str, Line]:
  """Returns what `read` does for each of `names`, from one reading."""
  if not os.path.isdir(folder):
    return {name: ([], []) for name in names}
  events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
  events.Reload()
  there = events.Tags()["tensors"]
  return {n: _line(events, n) if n in there else ([], []) for n in names}


def mean(lines: Sequence[Line]) -> Line:
  """Returns the mean of lines, at the steps that all of them have."""
  values = [dict(zip(*line)) for line in lines]
  steps = sorted(set.intersection(*map(set, values))) if values else []
  return steps, [sum(v[step] for v in values) / len(values) for step in steps]


def steps_to(line: Line, target: float) -> float | None:
  """Returns the step at which a falling line reaches `target`, None if never.

  Linear between two points; the first step where the line begins below.
  """
  before = None
  for step, value in zip(*line):
    if value <= target:
      if before is None:
        return float(step)
      share = (before[1] - target) / (before[1] - value)
      return before[0] + share * (step - before[0])
    before = (step, value)
  return None


def _line(events: EventAccumulator, name: str) -> Line:
  found = {
    event.step: float(tensor_util.make_ndarray(event.tensor_proto))
    for event in events.Tensors(name)
  }
  return sorted(found), [found[step] for step in sorted(found)]
