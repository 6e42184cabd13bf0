"""Rules: how a gradient g moves a variable w and the slots beside it.

Each rule stands twice. `dense` moves every row, in one pass over memory by a
kernel of TensorFlow's. `sparse` moves the rows that a gradient names, and reads
and writes no others: a table of 1e7 rows costs what one of 1e5 does.

For Adagrad, FTRL and SGD without momentum that is the dense rule exactly, since
a row whose g is 0 stays where it is. With momentum and with Adam the dense rule
goes on moving such a row, and lets its slots fade; here both wait until a batch
names the row again. That is what people mean by lazy Adam.
"""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.models.gradient_sums import Gradient

_LEAST_RATE = 1e-30  # where a kernel divides by it


@dataclasses.dataclass(frozen=True)
class Move:
  """What one step does to one variable.

  `gradient` is of the variable's shape, or slices whose ids are unique. `rate`
  is a float32 scalar; `count`, a float64 scalar, counts steps, this one too.
  """

  variable: tf.Variable
  slots: Sequence[tf.Variable]
  gradient: Gradient
  rate: tf.Tensor
  count: tf.Tensor

  @property
  def handles(self) -> list[tf.Tensor]:
    """The handles of the variable and of its slots.

    In replica context they are those of the worker's own copies, where an
    assignment to the variable would be aggregated over workers.
    """
    return [held.handle for held in (self.variable, *self.slots)]


@dataclasses.dataclass(frozen=True)
class Rule:
  """How a gradient moves a variable.

  `slots` makes the slots' first values of a variable; `dense` and `sparse` do a
  move whose gradient is so.
  """

  name: str
  slots: Mapping[str, Callable[[tf.Variable], tf.Tensor]]
  dense: Callable[[Move], None]
  sparse: Callable[[Move], None]


def build(name: str, optimizer: config.Optimizer, *, peak: float) -> Rule:
  """Returns the rule of that name; `peak` is the highest rate it will see."""
  if name == "sgd":
    return momentum(optimizer.momentum) if optimizer.momentum else sgd()
  if name == "adam":
    return adam(
      beta1=optimizer.beta1, beta2=optimizer.beta2, epsilon=optimizer.epsilon
    )
  if name == "ftrl":
    return ftrl(
      initial=optimizer.initial_accumulator,
      power=-optimizer.learning_rate_power,
      l1=peak * optimizer.l1,
      l2=peak * optimizer.l2,
    )
  return adagrad(optimizer.initial_accumulator)


def sgd() -> Rule:
  """w <- w - rate g."""

  def dense(move: Move) -> None:
    (w,) = move.handles
    tf.raw_ops.ResourceApplyGradientDescent(
      var=w, alpha=move.rate, delta=move.gradient
    )

  def sparse(move: Move) -> None:
    (w,) = move.handles
    moved = move.rate * move.gradient.values
    tf.raw_ops.ResourceScatterSub(
      resource=w, indices=move.gradient.indices, updates=moved
    )

  return Rule("sgd", {}, dense, sparse)


def momentum(kept: float) -> Rule:
  """v <- kept v - rate g;  w <- w + v.  From v = 0, as in tf_keras."""

  def dense(move: Move) -> None:
    w, v = move.handles
    tf.raw_ops.ResourceApplyKerasMomentum(
      var=w, accum=v, lr=move.rate, grad=move.gradient, momentum=kept
    )

  def sparse(move: Move) -> None:
    w, v = move.handles
    tf.raw_ops.ResourceSparseApplyKerasMomentum(
      var=w,
      accum=v,
      lr=move.rate,
      grad=move.gradient.values,
      indices=move.gradient.indices,
      momentum=kept,
    )

  return Rule("momentum", {"velocity": _filled(0.0)}, dense, sparse)


def adagrad(initial: float) -> Rule:
  """n <- n + g^2;  w <- w - rate g / sqrt(n).  From n = `initial`.

  Duchi et al. 2011. tf_keras divides by sqrt(n + 1e-7): the same, from an
  initial value that is 1e-7 larger.
  """

  def dense(move: Move) -> None:
    w, n = move.handles
    tf.raw_ops.ResourceApplyAdagrad(
      var=w, accum=n, lr=move.rate, grad=move.gradient
    )

  def sparse(move: Move) -> None:
    w, n = move.handles
    tf.raw_ops.ResourceSparseApplyAdagrad(
      var=w,
      accum=n,
      lr=move.rate,
      grad=move.gradient.values,
      indices=move.gradient.indices,
    )

  return Rule("adagrad", {"accumulator": _filled(initial)}, dense, sparse)


def adam(*, beta1: float, beta2: float, epsilon: float) -> Rule:
  """The rule of Kingma & Ba 2015, in the efficient form of their section 2.

      m <- m + (1 - beta1) (g - m)
      v <- v + (1 - beta2) (g^2 - v)
      w <- w - a m / (sqrt(v) + epsilon),
      a = rate sqrt(1 - beta2^count) / (1 - beta1^count)

  from m = v = 0. For a row, too, the count is that of all steps.
  """

  def a(move: Move) -> tf.Tensor:
    unbias = tf.sqrt(1 - beta2**move.count) / (1 - beta1**move.count)
    return move.rate * tf.cast(unbias, tf.float32)

  def dense(move: Move) -> None:
    w, m, v = move.handles
    tf.raw_ops.ResourceApplyAdam(
      var=w,
      m=m,
      v=v,
      beta1_power=0.0,  # they are in `a`, to more digits
      beta2_power=0.0,
      lr=a(move),
      beta1=beta1,
      beta2=beta2,
      epsilon=epsilon,
      grad=move.gradient,
    )

  def rows(
    move: Move, w: tf.Tensor, m: tf.Tensor, v: tf.Tensor
  ) -> Sequence[tf.Tensor]:
    g = move.gradient.values
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    return w - a(move) * m / (tf.sqrt(v) + epsilon), m, v

  slots = {"mean": _filled(0.0), "square": _filled(0.0)}
  return Rule("adam", slots, dense, _by_rows(rows))


def ftrl(*, initial: float, power: float, l1: float, l2: float) -> Rule:
  """FTRL-Proximal (McMahan et al. 2013, algorithm 1), for rates that change.

      z <- z + rate g - ((n + g^2)^power - n^power) w;   n <- n + g^2
      w <- 0 where |z| <= l1, else (sign(z) l1 - z) / (n^power + 2 l2)

  from n = `initial` and the z at which w stays: from z = 0, as usual, weights
  that were drawn at random fall to 0 in the first steps. The z of the paper is
  this one over the rate, its regularisation l1 and l2 over the highest rate:
  with z as it is here, a rate that falls slows the weights down and does not
  shrink them. Without l1 and l2 and with a power of 1/2 this is Adagrad.

  Args:
    initial: above 0.
    power: at least 0.
    l1: regularisation times the highest rate, at least 0.
    l2: regularisation times the highest rate, at least 0.
  """

  def linear(variable: tf.Variable) -> tf.Tensor:
    w = tf.convert_to_tensor(variable)
    return -w * (initial**power + 2 * l2) - tf.sign(w) * l1

  def dense(move: Move) -> None:
    w, n, z = move.handles
    rate = tf.maximum(move.rate, _LEAST_RATE)
    tf.raw_ops.ResourceApplyFtrl(
      var=w,
      accum=n,
      linear=z,
      grad=move.gradient,
      lr=rate,
      l1=l1 / rate,
      l2=l2 / rate,
      lr_power=-power,
      multiply_linear_by_lr=True,
    )

  def rows(
    move: Move, w: tf.Tensor, n: tf.Tensor, z: tf.Tensor
  ) -> Sequence[tf.Tensor]:
    g, before = move.gradient.values, n**power
    n += g * g
    after = n**power
    z += move.rate * g - (after - before) * w
    return (tf.clip_by_value(z, -l1, l1) - z) / (after + 2 * l2), n, z

  slots = {"accumulator": _filled(initial), "linear": linear}
  return Rule("ftrl", slots, dense, _by_rows(rows))


def _filled(value: float) -> Callable[[tf.Variable], tf.Tensor]:
  return lambda variable: tf.fill(variable.shape, tf.constant(value))


def _by_rows(
  formula: Callable[..., Sequence[tf.Tensor]],
) -> Callable[[Move], None]:
  """Returns what replaces the named rows by those that `formula` makes.

  Args:
    formula: of a move and the rows of the variable and of each of its slots,
      `[ids, dim]` each; returns their new rows.
  """

  def sparse(move: Move) -> None:
    ids = move.gradient.indices
    # Not `tf.gather`: of a group's variable it would first read all rows.
    old = [
      tf.raw_ops.ResourceGather(resource=h, indices=ids, dtype=tf.float32)
      for h in move.handles
    ]
    for handle, rows in zip(move.handles, formula(move, *old), strict=True):
      tf.raw_ops.ResourceScatterUpdate(
        resource=handle, indices=ids, updates=rows
      )

  return sparse
