"""Numbers that change with every step, as tensors.

TensorFlow 2.16 keeps each Python number that it ever made a tensor of, with the
tensor, to the end of the process: about a kilobyte each (its issue 68196). Of
each array that became one by tf.constant 337 bytes are lost, of one that is
given to an operation none.
"""

import numpy as np
import tensorflow as tf


def tensor(value: float, dtype: tf.DType = tf.float32) -> tf.Tensor:
  """Returns `value` as a scalar tensor that nothing else holds."""
  return tf.raw_ops.Identity(input=np.array(value, dtype.as_numpy_dtype))
