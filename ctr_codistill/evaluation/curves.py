"""Curves of a training, read back from the event files that it wrote."""

import os

from tensorboard.backend.event_processing.event_accumulator import (
  EventAccumulator,
)
from tensorboard.util import tensor_util


def read(folder: str | os.PathLike, name: str) -> tuple[list[int], list[float]]:
  """Returns the steps and values of scalar `name`, both empty if it has none.

  Where a training was started again, the later of two values of a step counts.

  Args:
    folder: where the event files of one group lie.
    name: the scalar's tag, such as "validation/log_loss".
  """
  if not os.path.isdir(folder):
    return [], []
  events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
  events.Reload()
  if name not in events.Tags()["tensors"]:
    return [], []
  found = {
    event.step: float(tensor_util.make_ndarray(event.tensor_proto))
    for event in events.Tensors(name)
  }
  return sorted(found), [found[step] for step in sorted(found)]
