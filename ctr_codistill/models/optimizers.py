"""Optimizers whose sparse updates cost what the batch costs.

Tables have a rule and a rate of their own: a row is hit by few examples, a
dense weight by all of them. The rules are in `rules`, the course of the rates
in `rates`, what becomes of gradients before they move anything in
`gradient_sums`.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from ctr_codistill import config
from ctr_codistill.errors import InputError
from ctr_codistill.models import gradient_sums
from ctr_codistill.models import rates
from ctr_codistill.models import rules
from ctr_codistill.models.blocks import Embedding
from ctr_codistill.models.gradient_sums import Gradient
from ctr_codistill.models.rules import Move
from ctr_codistill.models.rules import Rule


class Optimizer(tf.Module):
  """One rule for some variables: their slots, and the step it is at."""

  def __init__(self, rule: Rule, rate: Callable[[tf.Tensor], tf.Tensor]):
    """Holds both; `rate` is a function of the steps done, float64 scalar."""
    super().__init__()
    self._rule, self._rate = rule, rate
    self._ids: tuple[int, ...] = ()

  def build(self, variables: Sequence[tf.Variable]) -> None:
    """Makes the slots of `variables`, in the scope of their strategy."""
    self._ids = tuple(map(id, variables))
    state = {"step": _own(tf.zeros([], tf.int64), "step")}
    for name, initial in self._rule.slots.items():
      state[name] = [_own(initial(v), name) for v in variables]
    # The name is what a checkpoint finds it by: the state of one rule does not
    # fit another, even where their slots are alike or there are none.
    setattr(self, self._rule.name, state)

  def apply(
    self, gradients: Sequence[Gradient], variables: Sequence[tf.Variable]
  ) -> None:
    """Moves the variables by gradients that are equal on all workers."""
    steps = self._state["step"]
    done = steps.read_value()
    rate = tf.cast(self._rate(done), tf.float32)
    count = tf.cast(done + 1, tf.float64)
    for gradient, variable in zip(gradients, variables, strict=True):
      is_sparse = isinstance(gradient, tf.IndexedSlices)
      do = self._rule.sparse if is_sparse else self._rule.dense
      do(Move(variable, self._slots(variable), gradient, rate, count))
      if variable.constraint is not None:
        tf.raw_ops.AssignVariableOp(
          resource=variable.handle, value=variable.constraint(variable)
        )
    tf.raw_ops.AssignVariableOp(resource=steps.handle, value=done + 1)

  def shrink(self, variables: Sequence[tf.Variable], decay: tf.Tensor) -> None:
    """Takes w <- w - rate decay w of each, at the rate of the step to come."""
    rate = tf.cast(self._rate(self._state["step"].read_value()), tf.float32)
    for variable in variables:
      held = tf.raw_ops.ReadVariableOp(
        resource=variable.handle, dtype=variable.dtype
      )
      tf.raw_ops.AssignSubVariableOp(
        resource=variable.handle, value=rate * decay * held
      )

  @property
  def _state(self) -> dict[str, Any]:
    return getattr(self, self._rule.name)

  def _slots(self, variable: tf.Variable) -> list[tf.Variable]:
    place = self._ids.index(id(variable))
    return [self._state[name][place] for name in self._rule.slots]


class Optimizers(tf.Module):
  """One optimizer for the tables of a model, another for the rest."""

  def __init__(
    self, *, tables: Optimizer, dense: Optimizer, clip_norm: float = 0.0
  ):
    """Holds both.

    Args:
      tables: moves the tables of embedding layers.
      dense: moves all other variables.
      clip_norm: largest norm of all gradients together; 0: any.
    """
    super().__init__(name="optimizers")
    self.tables, self.dense = tables, dense
    self._clip_norm = clip_norm
    self._is_table: set[int] = set()
    self._is_kernel: set[int] = set()

  def build(self, model: tf_keras.Model) -> None:
    """Makes the slots of all trainable variables of `model`.

    Raises:
      InputError: a variable is not of float32.
    """
    for variable in model.trainable_variables:
      if variable.dtype != tf.float32:
        raise InputError(
          f"variable {variable.name} should be of float32 to be trained, is of "
          f"{variable.dtype.name}"
        )
    self._is_table = {
      id(variable)
      for layer in model.submodules
      if isinstance(layer, (Embedding, tf_keras.layers.Embedding))
      for variable in layer.trainable_variables
    }
    self._is_kernel = {
      id(layer.kernel)
      for layer in model.submodules
      if isinstance(getattr(layer, "kernel", None), tf.Variable)
    }
    for optimizer, places in self._split(model.trainable_variables):
      optimizer.build([model.trainable_variables[i] for i in places])

  def apply(
    self,
    gradients: Sequence[Gradient | None],
    variables: Sequence[tf.Variable],
    *,
    weight_decay: tf.Tensor | None = None,
    embedding_l2: tf.Tensor | None = None,
  ) -> None:
    """Adds the gradients up over the group's workers and moves the variables.

    In replica context; every worker must call it. A variable whose gradient is
    None stays.

    Args:
      gradients: this worker's, in the order of `variables`.
      variables: trainable ones of the model.
      weight_decay: what kernels of layers lose before they are moved: the rate
        times this of themselves (Loshchilov & Hutter 2019: decoupled).
      embedding_l2: l of the term l/2 |v|^2 for each row v of a table that the
        batch names, once however often it does.

    Raises:
      InputError: all gradients are None.
    """
    variables = [
      v for g, v in zip(gradients, variables, strict=True) if g is not None
    ]
    if not variables:
      raise InputError("the loss should depend on a variable, does on none")
    sums = gradient_sums.add_up([g for g in gradients if g is not None])
    if embedding_l2 is not None:
      sums = [
        gradient_sums.pulled(g, v, embedding_l2)
        if id(v) in self._is_table
        else g
        for g, v in zip(sums, variables, strict=True)
      ]
    if self._clip_norm:
      sums = gradient_sums.clip(sums, norm=self._clip_norm)
    if weight_decay is not None:
      kernels = [v for v in variables if id(v) in self._is_kernel]
      self.dense.shrink(kernels, weight_decay)
    for optimizer, places in self._split(variables):
      if places:
        optimizer.apply(
          [sums[i] for i in places], [variables[i] for i in places]
        )

  def _split(
    self, variables: Sequence[tf.Variable]
  ) -> list[tuple[Optimizer, list[int]]]:
    """Returns both optimizers, each with the places of its variables."""
    tables, dense = [], []
    for place, variable in enumerate(variables):
      (tables if id(variable) in self._is_table else dense).append(place)
    return [(self.tables, tables), (self.dense, dense)]


def build(optimizer: config.Optimizer, *, steps: int) -> Optimizers:
  """Returns the optimizers for a training of `steps` steps.

  Raises:
    InputError: the warm-up is as long as the training.
  """
  share = rates.course(optimizer, steps=steps)

  def one(name: str, peak: float) -> Optimizer:
    rule = rules.build(name, optimizer, peak=peak)
    return Optimizer(rule, lambda step: peak * share(step))

  return Optimizers(
    tables=one(
      optimizer.embedding_name or optimizer.name,
      optimizer.embedding_learning_rate,
    ),
    dense=one(optimizer.name, optimizer.learning_rate),
    clip_norm=optimizer.clip_norm,
  )


def _own(value: tf.Tensor, name: str) -> tf.Variable:
  return tf.Variable(value, trainable=False, name=name)
