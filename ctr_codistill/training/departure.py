"""Leaving before the end: asked of one worker, done by all at the same step.

A worker that left alone would leave the others in a collective that never ends.
To ask all costs a collective, so it is done every few steps.
"""

from collections.abc import Callable

import numpy as np

from ctr_codistill.training.strategy import Agreement

_EVERY = 10  # steps


class Leaving(Exception):
  """A worker leaves from where it waits for something of another group."""


class Departure:
  """Tells after which step a group leaves."""

  def __init__(self, agreement: Agreement, is_asked: Callable[[], bool]):
    """`is_asked` tells whether this worker should leave."""
    self._agreement, self._is_asked = agreement, is_asked
    self._every = _EVERY if agreement.workers > 1 else 1

  def __call__(self, step: int) -> bool:
    """Tells whether to leave after `step`; every worker calls it."""
    if step % self._every:
      return False
    return self._agreement.sum(np.array([float(self._is_asked())]))[0] > 0

  def check(self) -> None:
    """Raises Leaving if this worker should leave.

    For waits between two steps, which may last longer than a worker is given
    to leave: what is waited for may come from a group that has left.
    """
    if self._is_asked():
      raise Leaving
