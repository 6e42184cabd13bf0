"""The alarm of a group whose workers no longer hold the same weights.

All workers start from equal weights and apply equal updates, so they stay equal
to the bit. A fault that ends this (a sparse update that one of them takes
otherwise, a bad memory module) shows in no loss: each trains on, and only the
chief's weights are published.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ctr_codistill.errors import InputError
from ctr_codistill.training.strategy import Agreement

_SUMS = 2
_ODD = -1640531527  # times an odd number it is odd: no bit is lost by it


def compare_replicas(
  weights: Sequence[tf.Variable],
  strategy: tf.distribute.Strategy,
  agreement: Agreement,
) -> Callable[[int], None]:
  """Returns an action that compares the workers' weights by their checksums.

  It costs a few sums over the weights and one collective of 2 numbers a
  variable and worker.

  Args:
    weights: of the model in training.
    strategy: of the group.
    agreement: of the group.

  Raises:
    InputError: (the action, on all workers alike) naming the first variable
      that differs, and on which worker.
  """
  names = [weight.name for weight in weights]
  own = [strategy.experimental_local_results(w)[0] for w in weights]
  sums = tf.function(
    lambda: tf.stack([checksum(variable.read_value()) for variable in own]),
    autograph=False,
  )

  def action(step: int) -> None:
    # Each has a place of its own, so that all of them see all.
    table = np.zeros((agreement.workers, len(own), _SUMS))
    table[agreement.worker] = sums().numpy()
    table = agreement.sum(table.ravel()).reshape(table.shape)
    differs = (table != table[0]).any(2)
    if not differs.any():
      return
    variables = np.flatnonzero(differs.any(0))
    first = variables[0]
    raise InputError(
      f"variable {names[first]} should be the same on all workers after step "
      f"{step}, is another on worker {np.argmax(differs[:, first])} than on "
      f"worker 0; {len(variables)} of {len(own)} variables differ"
    )

  return action


def checksum(value: tf.Tensor) -> tf.Tensor:
  """Returns two sums of a tensor's bits, int32 `[2]`, modulo 2^32.

  One weights its rows and one its columns by odd numbers, so that any single
  change of a number is seen for certain; memory is taken for a number a row and
  a column alone.
  """
  bits = _bits(value)
  width = max(bits.shape[-1], 1) if bits.shape.rank else 1
  bits = tf.reshape(bits, [-1, width])
  return tf.stack([_weighted(tf.reduce_sum(bits, axis)) for axis in (1, 0)])


def _bits(value: tf.Tensor) -> tf.Tensor:
  if value.dtype.size == 4:
    return tf.bitcast(value, tf.int32)
  return tf.cast(tf.bitcast(value, tf.uint8), tf.int32)


def _weighted(sums: tf.Tensor) -> tf.Tensor:
  places = tf.range(tf.size(sums))
  return tf.reduce_sum(sums * (2 * places + 1) * _ODD)
