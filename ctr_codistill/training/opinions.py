"""What the peers say of a batch: asked of their snapshots, or left by them.

Both ways give the step the same thing, a column and a weight, so that the step
knows neither.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.codistill import schedule
from ctr_codistill.codistill.prediction_exchange import PredictionExchange
from ctr_codistill.codistill.teacher import Teacher

_NAN = float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class Opinion:
  """What the peers say of a batch.

  Attributes:
    probability: float32 `[batch]`, nan where they say nothing.
    weight: of the teacher term where they do.
    staleness_steps: between the student and the oldest that is heard.
    staleness_seconds: the same; nan where only steps are known.
  """

  probability: tf.Tensor
  weight: float = 0.0
  staleness_steps: float = _NAN
  staleness_seconds: float = _NAN


class FromSnapshots:
  """Asks the peers' snapshots about the first rows of each batch.

      1 / B  sum over i <= f B of (w / f) H(q_i, p_i)

  Rows are shuffled, so in the mean over batches this is the term of all rows,
  at f of the price.
  """

  def __init__(
    self,
    teacher: Teacher,
    features: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    codistill: config.Codistill,
    *,
    clock: Callable[[], float],
  ):
    """Asks `teacher`; `features` is what it reads of rows."""
    self._teacher, self._features = teacher, features
    self._codistill, self._clock = codistill, clock

  def __call__(self, step: int, rows: tf.Tensor) -> Opinion:
    """Returns what they say of `rows`, int32 `[batch, columns]`."""
    taught_by = self._teacher.snapshots.values()
    weight = schedule.weight(self._codistill, step=step, peers=len(taught_by))
    batch = len(rows)
    asked = max(1, round(self._codistill.taught_share * batch))
    said = tf.fill([batch if not weight else batch - asked], _NAN)
    if weight:
      answer = self._teacher(self._features(rows[:asked]))
      said = tf.concat([answer, said], 0)
    then = [snapshot.facts["published"] for snapshot in taught_by]
    return Opinion(
      said,
      weight * batch / asked,
      max((step - s.step for s in taught_by), default=_NAN),
      self._clock() - min(then, default=_NAN),
    )

  def hear(self, step: int, logit: tf.Tensor) -> None:
    """Takes the student's own logits `[batch]`: of no use here."""


class FromPredictions:
  """Takes what the peers left, and leaves what this worker predicted."""

  def __init__(self, exchange: PredictionExchange, codistill: config.Codistill):
    """Takes from and leaves in `exchange`."""
    self._exchange, self._codistill = exchange, codistill

  def __call__(self, step: int, rows: tf.Tensor) -> Opinion:
    """Returns what they left of `rows`, the batch of `step`."""
    said, staleness = self._exchange.take(step)
    heard = int(not np.isnan(said).all())
    weight = schedule.weight(self._codistill, step=step, peers=heard)
    return Opinion(tf.constant(said), weight, staleness)

  def hear(self, step: int, logit: tf.Tensor) -> None:
    """Leaves the student's own logits `[batch]` of the batch of `step`."""
    self._exchange.leave(step, logit.numpy())
