"""What happens between steps: each returns a function of the step.

All workers of a group call all of them in the same order; whatever only the
chief does is decided in here.
"""

import logging
from collections.abc import Callable
from collections.abc import Sequence

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
  """Returns the taking over of newer snapshots of the peers.

  The chief chooses among those that it has read ahead. All take one over at the
  step at which all have read it, since all must learn from the same; what one
  of them cannot read is taken by none.
  """

  def action(step: int) -> None:
    del step
    if not teacher.peers:
      return
    chosen = agreement.chosen(len(teacher.peers), teacher.newer)
    if max(chosen) < 0:
      return
    asked = list(zip(teacher.peers, chosen, strict=True))
    have = [teacher.has(p, s) if s >= 0 else None for p, s in asked]
    votes = np.array([[h is False, h is None] for h in have], np.float64)
    votes = agreement.sum(votes.ravel()).reshape(votes.shape)
    for (peer, number), (broken, _) in zip(asked, votes, strict=True):
      if broken:
        _LOG.warning("snapshot %d of group %d is refused", number, peer)
        teacher.refuse(peer, number)
    teacher.take(
      [-1 if v.any() else s for s, v in zip(chosen, votes, strict=True)]
    )

  return action


def by_clock(
  calls: Sequence[Callable[[int], None]],
  agreement: Agreement,
  *,
  seconds: float,
  clock: Callable[[], float],
) -> Callable[[int], None]:
  """Returns an action that does `calls` when `seconds` have passed, about.

  The chief's clock decides. To ask it is a collective, so it is made an action
  of every few steps.

  Args:
    calls: in their order.
    agreement: of the group.
    seconds: between two times, above 0.
    clock: gives seconds.
  """
  last = clock()

  def action(step: int) -> None:
    nonlocal last
    now = clock()
    if agreement.chosen(1, lambda: [now - last >= seconds])[0]:
      last = now
      for call in calls:
        call(step)

  return action


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
