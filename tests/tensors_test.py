import sys

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import tensors


@pytest.mark.parametrize(
  ("value", "dtype"), [(0.321, tf.float32), (2**40 + 1, tf.int64)]
)
def test_a_number_is_its_tensor_and_tensorflow_holds_no_other(value, dtype):
  before = sys.getrefcount(value)
  found = tensors.of(value, dtype.as_numpy_dtype)
  assert (found.dtype, found.shape.rank) == (dtype, 0)
  assert found.numpy() == dtype.as_numpy_dtype(value)
  assert sys.getrefcount(value) == before


def test_a_part_of_an_array_keeps_type_shape_and_values():
  values = np.arange(12, dtype=np.int32).reshape(3, 4)
  found = tensors.of(values[:2, 1:])
  assert found.dtype == tf.int32
  assert found.numpy().tolist() == [[1, 2, 3], [5, 6, 7]]
