"""Numbers that change with every step, as tensors that nothing else holds.

TensorFlow 2.16 keeps each Python number that it ever made a tensor of, with the
tensor, to the end of the process: about a kilobyte each (its issue 68196). So
does a slice of a tensor outside a function. Of each array that became one by
tf.constant, or as it was given to a function, 337 bytes are lost; of one that
is given to an operation none.
"""

import numpy as np
import numpy.typing as npt
import tensorflow as tf


def of(values: npt.ArrayLike, dtype: npt.DTypeLike = None) -> tf.Tensor:
  """Returns `values` as a tensor of their shape.

  Args:
    values: an array, which may not change later; or numbers.
    dtype: of the tensor; None: that of the array.
  """
  return tf.raw_ops.Identity(input=np.asarray(values, dtype))
