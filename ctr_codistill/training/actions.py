"""What happens between steps: each returns a function of the step.

All workers of a group call all of them in the same order; whatever only the
chief does is decided in here.
"""

import logging
from collections.abc import Callable

import numpy as np

from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.criteo import records
from ctr_codistill.criteo.records import Shards
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.served import Served
from ctr_codistill.training.strategy import Agreement

_LOG = logging.getLogger(__name__)
_VALIDATION_ROWS = 8192


def refresh_teacher(
  teacher: Teacher, agreement: Agreement
) -> Callable[[int], None]:
  """Returns the look for newer snapshots of the peers.

  The chief chooses. A peer whose snapshot only some workers could take is
  without a say until the next look: all must learn from the same.
  """

  def action(step: int) -> None:
    del step
    if not teacher.peers:
      return
    chosen = agreement.chosen(len(teacher.peers), teacher.newer)
    if all(number < 0 for number in chosen):
      return
    for peer, error in zip(teacher.peers, teacher.take(chosen), strict=True):
      if error:
        _LOG.warning("no newer snapshot of group %d: %s", peer, error)
    used = _used(teacher)
    wrong = used != agreement.chosen(len(used), lambda: used)
    differs = agreement.sum(np.full(len(used), float(wrong)))
    if differs.any():
      _LOG.warning("workers hold different snapshots; no teacher for now")
      for peer in teacher.peers:
        teacher.drop(peer)

  return action


def _used(teacher: Teacher) -> list[int]:
  """Returns the step of each peer's snapshot in use, -1 for none."""
  held = teacher.snapshots
  return [held[p].step if p in held else -1 for p in teacher.peers]


def evaluate(
  served: Served,
  probability: Callable[[np.ndarray], np.ndarray],
  shards: Shards,
  agreement: Agreement,
  journal: Journal,
  *,
  worker: int,
  workers: int,
) -> Callable[[int], None]:
  """Returns the validation: each worker predicts a share, the sums are added.

  Args:
    served: the model to judge.
    probability: its predictions `[batch]` for rows `[batch, columns]`.
    shards: the validation rows.
    agreement: of the group.
    journal: takes the figures.
    worker: index of this worker, in [0, workers).
    workers: of the group.
  """
  bounds = np.linspace(0, shards.rows, workers + 1).astype(int)

  def action(step: int) -> None:
    served.refresh(step)
    own = Quality.empty()
    low, high = int(bounds[worker]), int(bounds[worker + 1])
    for start in range(low, high, _VALIDATION_ROWS):
      stop = min(start + _VALIDATION_ROWS, high)
      rows = np.concatenate(list(records.read_rows(shards, start, stop)))
      own = own.merge(Quality.of(probability(rows), rows[:, 0]))
    quality = Quality.from_vector(agreement.sum(own.to_vector()))
    figures = quality.to_dict()
    journal.scalars(
      step, {f"validation/{name}": value for name, value in figures.items()}
    )
    journal.note(validation=figures)

  return action
