"""The inner loop: one replicated step, compiled once.

It knows no teachers: their opinion is a column of the batch and its weight a
scalar tensor, so peers may have any architecture and changing teachers or
weight traces nothing again.
"""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from ctr_codistill.codistill import loss
from ctr_codistill.models.optimizers import Optimizers


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
  ):
    """Builds model and optimizer in the strategy's scope.

    Args:
      strategy: the group's; one replica a worker.
      model: makes the model, from {"numeric", "categorical"} to `[batch]`.
      optimizer: makes the optimizer.
      numerics: number of integer features in a row.
      batch_size: examples a step over all workers of the group.
    """
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
    self, rows: tf.Tensor, teacher: tf.Tensor, weight: float
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Trains on this worker's rows; every worker of the group must call it.

    Args:
      rows: int32 `[batch, columns]`, this worker's share of the batch.
      teacher: its probabilities, float32 `[batch]`; nan where it has none.
      weight: of the teacher term, at least 0.

    Returns:
      `[3]`: the sums over this worker's rows of the label and the teacher term,
      and how many of them were taught; and the logits before the update,
      `[batch]`.
    """
    return self._step(rows, teacher, tf.constant(weight, tf.float32))

  def _replicated(
    self, rows: tf.Tensor, teacher: tf.Tensor, weight: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    return self._strategy.run(self._replica, [rows, teacher, weight])

  def _replica(
    self, rows: tf.Tensor, teacher: tf.Tensor, weight: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    label = tf.cast(rows[:, 0], tf.float32)
    with tf.GradientTape() as tape:
      logit = self.model(self.features(rows), training=True)
      terms = loss.terms(label, teacher, logit)
      total = (terms[0] + weight * terms[1]) / self._batch_size
      if self.model.losses:
        replicas = self._strategy.num_replicas_in_sync
        total += tf.add_n(self.model.losses) / replicas
    variables = self.model.trainable_variables
    gradients = tape.gradient(total, variables)
    self.optimizer.apply(gradients, variables)
    return tf.stack(terms), logit
