"""The outer loop: steps, and actions between them.

An action is a function of the step that every worker of a group calls in the
same order; what only the chief does is decided inside it.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Action:
  """`call(step)` after every `every` steps; 0: never but at the end."""

  call: Callable[[int], None]
  every: int
  at_end: bool = True

  def is_due(self, step: int, *, stop: int) -> bool:
    """Tells whether it comes after `step` steps of a training of `stop`."""
    if step == stop:
      return self.at_end
    return self.every > 0 and step % self.every == 0


def run(
  step_on: Callable[[int, np.ndarray], None],
  batches: Iterator[np.ndarray],
  actions: Sequence[Action],
  *,
  start: int,
  stop: int,
  leaves: Callable[[int], bool] = lambda step: False,
) -> int:
  """Trains from step `start` to `stop`, with the due actions after each step.

  Returns the step that it came to.

  Args:
    step_on: does step s (from 0) on its rows, int32 `[batch, columns]`.
    batches: the rows of the next steps.
    actions: in the order in which they come when several are due.
    start: steps done already.
    stop: steps done at the end.
    leaves: tells after each step but the last whether to end there.
  """
  for step in range(start, stop):
    step_on(step, next(batches))
    for action in actions:
      if action.is_due(step + 1, stop=stop):
        action.call(step + 1)
    if step + 1 < stop and leaves(step + 1):
      return step + 1
  return stop
