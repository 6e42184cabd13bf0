"""What the peers say of a batch: asked of their snapshots, or left by them.

Both ways give the step the same thing, a column and a weight, so that the step
knows neither.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ctr_codistill import tensors
from ctr_codistill.codistill.column import Reduction
from ctr_codistill.codistill.listening import Listening
from ctr_codistill.codistill.prediction_exchange import PredictionExchange
from ctr_codistill.codistill.teacher import Teacher

_NAN = float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class Opinion:
  """What the peers say of a batch.

  Attributes:
    logit: what they come to, float32 `[batch]`, nan where they say nothing.
    weight: of the teacher term where they do.
    staleness_steps: between the student and the oldest that is heard.
    staleness_seconds: the same; nan where only steps are known.
  """

  logit: tf.Tensor
  weight: float = 0.0
  staleness_steps: float = _NAN
  staleness_seconds: float = _NAN


class FromSnapshots:
  """Asks snapshots about the first rows of each batch.

      1 / B  sum over i <= f B of (w / f) D(c_i, z_i)

  Rows are shuffled, so in the mean over batches this is the term of all rows,
  at f of the price.
  """

  def __init__(
    self,
    teacher: Teacher,
    features: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    listening: Listening,
    *,
    taught_share: float,
    clock: Callable[[], float],
  ):
    """Asks `teacher`; `features` is what it reads of rows.

    Args:
      teacher: the snapshots.
      features: of rows.
      listening: says who is heard.
      taught_share: f, in (0, 1].
      clock: gives seconds since 1970.
    """
    self._teacher = teacher
    # Outside a function each slice would lose memory, see `tensors`.
    self._asked_of = tf.function(
      lambda rows, count: features(rows[:count]), autograph=False
    )
    self._listening, self._taught_share = listening, taught_share
    self._clock = clock

  def __call__(self, step: int, rows: tf.Tensor) -> Opinion:
    """Returns what they say of `rows`, int32 `[batch, columns]`."""
    used = self._teacher.snapshots
    stale = {peer: step - snapshot.step for peer, snapshot in used.items()}
    fixed = len(self._teacher.fixed)
    heard = self._listening(step, stale, fixed=fixed)
    batch = len(rows)
    asked = max(1, round(self._taught_share * batch))
    said = _silence(batch - asked if heard.weight else batch)
    if heard.weight:
      answer = self._teacher(self._asked_of(rows, asked), heard.shares)
      said = tf.concat([answer, said], 0)
    then = [used[peer].facts["published"] for peer in heard.shares]
    return Opinion(
      said,
      heard.weight * batch / asked,
      max((stale[peer] for peer in heard.shares), default=_NAN),
      self._clock() - min(then, default=_NAN),
    )

  def hear(self, step: int, logit: tf.Tensor) -> None:
    """Takes the student's own logits `[batch]`: of no use here."""


class FromPredictions:
  """Takes what the peers left, and leaves what this worker predicted."""

  def __init__(
    self,
    exchange: PredictionExchange,
    listening: Listening,
    reduction: Reduction,
  ):
    """Takes from and leaves in `exchange`.

    Args:
      exchange: of this worker.
      listening: says who is heard.
      reduction: what all that are heard come to.
    """
    self._exchange, self._listening = exchange, listening
    self._reduce = tf.function(reduction, autograph=False)

  def __call__(self, step: int, rows: tf.Tensor) -> Opinion:
    """Returns what they left of `rows`, the batch of `step`."""
    logits, stale = self._exchange.take(step)
    heard = self._listening(step, stale)
    oldest = max((stale[peer] for peer in heard.shares), default=_NAN)
    if not heard.weight:
      return Opinion(_silence(len(rows)), staleness_steps=oldest)
    peers = self._exchange.peers
    shares = [heard.shares.get(peer, 0.0) for peer in peers]
    # Who is not heard may have left something all the same.
    logits[[peer not in heard.shares for peer in peers]] = _NAN
    logits, shares = (tensors.of(v, np.float32) for v in (logits, shares))
    said = self._reduce(logits, shares)
    return Opinion(said, heard.weight, oldest)

  def hear(self, step: int, logit: tf.Tensor) -> None:
    """Leaves the student's own logits `[batch]` of the batch of `step`."""
    self._exchange.leave(step, logit.numpy())


@functools.lru_cache
def _silence(rows: int) -> tf.Tensor:
  """Returns what nobody says of so many rows."""
  return tf.fill([rows], _NAN)
