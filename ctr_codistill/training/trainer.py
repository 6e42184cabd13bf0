"""The inner loop: one replicated step, compiled once.

It knows no teachers: their opinion is a column of the batch and its weight a
scalar tensor, so peers may have any architecture and changing teachers or
weight traces nothing again. What regularises is scalar tensors likewise.
"""

from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from ctr_codistill import tensors
from ctr_codistill.codistill import loss
from ctr_codistill.codistill.loss import Divergence
from ctr_codistill.models import noise
from ctr_codistill.models.noise import Noise
from ctr_codistill.models.optimizers import Optimizers
from ctr_codistill.training import regularizers


class Trainer:
  """A model, its optimizer and the step that trains it, in one group."""

  def __init__(
    self,
    strategy: tf.distribute.Strategy,
    model: Callable[[], tf_keras.Model],
    optimizer: Callable[[], Optimizers],
    *,
    numerics: int,
    batch_size: int,
    diverge: Divergence = loss.cross_entropy,
    smoothed_to: float = 0.5,
  ):
    """Builds model and optimizer in the strategy's scope.

    Args:
      strategy: the group's; one replica a worker.
      model: makes the model, from {"numeric", "categorical"} to `[batch]`.
      optimizer: makes the optimizer.
      numerics: number of integer features in a row.
      batch_size: examples a step over all workers of the group.
      diverge: the loss between teacher and student.
      smoothed_to: what label smoothing draws labels to, in [0, 1].
    """
    self._diverge, self._smoothed_to = diverge, smoothed_to
    self._strategy, self._numerics = strategy, numerics
    self._batch_size = batch_size
    with strategy.scope():
      self.model, self.optimizer = model(), optimizer()
      self.optimizer.build(self.model)
    self._step = tf.function(self._replicated, autograph=False)
    rows = batch_size // strategy.num_replicas_in_sync
    self._silence = tf.fill([rows], float("nan"))

  @property
  def no_opinion(self) -> tf.Tensor:
    """The teacher column `[batch]` of a teacher that is not asked."""
    return self._silence

  def features(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns what a model reads of rows, int32 `[batch, columns]`."""
    return {
      "numeric": rows[:, 1 : 1 + self._numerics],
      "categorical": rows[:, 1 + self._numerics :],
    }

  def step(
    self,
    rows: tf.Tensor,
    teacher: tf.Tensor,
    weight: float,
    values: Mapping[str, tf.Tensor] = regularizers.NONE,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Trains on this worker's rows; every worker of the group must call it.

    Args:
      rows: int32 `[batch, columns]`, this worker's share of the batch.
      teacher: its logits, float32 `[batch]`; nan where it has none.
      weight: of the teacher term, at least 0.
      values: of `Regularizers` at this step; always of the same names.

    Returns:
      `[3]`: the sums over this worker's rows of the label and the teacher term,
      and how many of them were taught; and the logits before the update,
      `[batch]`.
    """
    weight = tensors.of(weight, np.float32)
    return self._step(rows, teacher, weight, dict(values))

  def _replicated(self, *given: object) -> tuple[tf.Tensor, tf.Tensor]:
    return self._strategy.run(self._replica, given)

  def _replica(
    self,
    rows: tf.Tensor,
    teacher: tf.Tensor,
    weight: tf.Tensor,
    values: Mapping[str, tf.Tensor],
  ) -> tuple[tf.Tensor, tf.Tensor]:
    label = tf.cast(rows[:, 0], tf.float32)
    if "label_smoothing" in values:
      label = regularizers.smoothed(
        label, values["label_smoothing"], self._smoothed_to
      )
    with tf.GradientTape() as tape, noise.dropping(_noise(values)):
      logit = self.model(self.features(rows), training=True)
      terms = loss.terms(label, teacher, logit, self._diverge)
      total = (terms[0] + weight * terms[1]) / self._batch_size
      if self.model.losses:
        replicas = self._strategy.num_replicas_in_sync
        total += tf.add_n(self.model.losses) / replicas
    variables = self.model.trainable_variables
    gradients = tape.gradient(total, variables)
    pulls = ("weight_decay", "embedding_l2")
    self.optimizer.apply(
      gradients, variables, **{n: values[n] for n in pulls if n in values}
    )
    return tf.stack(terms), logit


def _noise(values: Mapping[str, tf.Tensor]) -> Noise | None:
  """Returns what this worker drops, None for nothing."""
  if "dropout" not in values:
    return None
  worker = tf.distribute.get_replica_context().replica_id_in_sync_group
  seed = tf.random.experimental.stateless_fold_in(values["noise"], worker)
  return Noise(values["dropout"], seed)
