"""Numbers that change with every step, as tensors.

TensorFlow 2.16 keeps each Python number that it ever made a tensor of, with the
tensor, to the end of the process: about a kilobyte each (its issue 68196). Of
an array, even one without dimensions, it keeps nothing.
"""

import numpy as np
import tensorflow as tf


def tensor(value: float, dtype: tf.DType = tf.float32) -> tf.Tensor:
  """Returns `value` as a scalar tensor that nothing else holds."""
  return tf.constant(np.array(value, dtype.as_numpy_dtype))
