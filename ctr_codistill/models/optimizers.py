"""Optimizers whose sparse updates cost what the batch costs.

Adagrad and SGD of `tf_keras` add up repeated ids and touch only the rows a
batch names; Adam there touches them all, at ten times the cost for 1e7 rows.
Tables learn at a rate of their own: a row is hit by few examples, a dense
weight by all of them.
"""

from collections.abc import Iterable
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.models.blocks import Embedding


class Optimizers(tf.Module):
  """One optimizer for the tables of a model, another for the rest."""

  def __init__(
    self,
    tables: tf_keras.optimizers.Optimizer,
    dense: tf_keras.optimizers.Optimizer,
  ):
    """Holds both; `build` says what each of them moves."""
    super().__init__(name="optimizers")
    self.tables, self.dense = tables, dense
    self._is_table: set[int] = set()

  def build(self, model: tf_keras.Model) -> None:
    """Makes the slots of all trainable variables of `model`."""
    self._is_table = {
      id(variable)
      for layer in model.submodules
      if isinstance(layer, (Embedding, tf_keras.layers.Embedding))
      for variable in layer.trainable_variables
    }
    for optimizer, variables in self._split(model.trainable_variables):
      optimizer.build(variables)

  def apply(
    self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]
  ) -> None:
    """Adds the gradients up over the group's workers and moves the variables.

    In replica context; every worker must call it.
    """
    gradient = {id(v): g for v, g in zip(variables, gradients, strict=True)}
    for optimizer, own in self._split(variables):
      if own:
        optimizer.apply_gradients([(gradient[id(v)], v) for v in own])

  def _split(
    self, variables: Iterable[tf.Variable]
  ) -> list[tuple[tf_keras.optimizers.Optimizer, list[tf.Variable]]]:
    tables, dense = [], []
    for variable in variables:
      (tables if id(variable) in self._is_table else dense).append(variable)
    return [(self.tables, tables), (self.dense, dense)]


def build(optimizer: config.Optimizer, *, steps: int) -> Optimizers:
  """Returns the optimizers for a training of `steps` steps."""
  return Optimizers(
    tables=_one(optimizer, optimizer.embedding_learning_rate, steps),
    dense=_one(optimizer, optimizer.learning_rate, steps),
  )


def _one(
  optimizer: config.Optimizer, rate: float, steps: int
) -> tf_keras.optimizers.Optimizer:
  course = rate
  if optimizer.decay == "linear":
    course = tf_keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0)
  if optimizer.name == "sgd":
    return tf_keras.optimizers.SGD(course)
  return tf_keras.optimizers.Adagrad(
    course, initial_accumulator_value=optimizer.initial_accumulator
  )
