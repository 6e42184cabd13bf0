"""Learning from exactly the snapshots that a student's step asks for.

"The newest there is" depends on the clock. In a reproducible run the teacher's
step is a function of the student's (`Exchange.due`), and who has it not yet
waits for it. All workers of a group ask for the same, so they need not agree.
"""

import math
import pathlib
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill import stamped
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.errors import PassingError
from ctr_codistill.method_config import Exchange

_PAUSE = 0.05  # seconds between two looks for a snapshot that is waited for


class Following:
  """The peers' snapshots that a step asks for, waited for and taken."""

  def __init__(
    self, teacher: Teacher, exchange: Exchange, all_steps: Sequence[int]
  ):
    """Has asked for nothing yet.

    Args:
      teacher: takes them.
      exchange: says of which step they are, and how long they are waited for.
      all_steps: how many steps each group trains; its last snapshot's step.
    """
    self._teacher, self._exchange = teacher, exchange
    self._all_steps = all_steps

  def wanted(self, step: int) -> list[int]:
    """Returns for each peer the step of its snapshot, -1 for none.

    One that trains less is heard by its last snapshot from then on.
    """
    due = self._exchange.due(step)
    return [
      min(due, self._all_steps[peer]) if due > 0 else -1
      for peer in self._teacher.peers
    ]

  def look(self, step: int) -> None:
    """Starts to read ahead what is there of what `step` asks for."""
    for peer, wanted in zip(
      self._teacher.peers, self.wanted(step), strict=True
    ):
      if wanted > 0:
        self._teacher.awaited(peer, wanted)

  def action(
    self, clock: Callable[[], float], sleep: Callable[[float], None]
  ) -> Callable[[int], None]:
    """Returns the taking over of what a step asks for, once it is there.

    Args:
      clock: gives seconds.
      sleep: returns after so many seconds.
    """

    def call(step: int) -> None:
      wanted = self.wanted(step)
      deadline = clock() + self._exchange.wait_timeout
      for peer, number in zip(self._teacher.peers, wanted, strict=True):
        while number > 0 and not self._teacher.awaited(peer, number):
          if clock() > deadline:
            raise self._late(peer, number, step)
          sleep(_PAUSE)
      used = self._teacher.snapshots
      self._teacher.take(
        [
          -1 if peer in used and used[peer].step == number else number
          for peer, number in zip(self._teacher.peers, wanted, strict=True)
        ]
      )

    return call

  def _late(self, peer: int, number: int, step: int) -> PassingError:
    trouble = self._teacher.trouble(peer)
    return PassingError(
      f"snapshot {number} of group {peer} should be there within "
      f"{self._exchange.wait_timeout:g} s (exchange.wait_timeout) of step "
      f"{step}, is not" + (f"; {trouble}" if trouble else "")
    )


def needed_from(
  checkpoints: Sequence[pathlib.Path], exchange: Exchange
) -> float:
  """Returns the oldest step that may be asked for again; inf: none ever.

  A group that is started again goes back to a checkpoint, at worst its oldest.

  Args:
    checkpoints: the folders of those that learn from this group.
    exchange: says what a step asks for.
  """
  steps = [next(iter(stamped.numbers(folder)), 0) for folder in checkpoints]
  return min((exchange.due(step) for step in steps), default=math.inf)
