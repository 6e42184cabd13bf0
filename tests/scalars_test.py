import sys

import pytest
import tensorflow as tf

from ctr_codistill.training import scalars


@pytest.mark.parametrize(
  ("value", "dtype"), [(0.321, tf.float32), (2**40 + 1, tf.int64)]
)
def test_a_scalar_is_its_number_and_tensorflow_holds_no_other(value, dtype):
  before = sys.getrefcount(value)
  found = scalars.tensor(value, dtype)
  assert (found.dtype, found.shape.rank) == (dtype, 0)
  assert found.numpy() == dtype.as_numpy_dtype(value)
  assert sys.getrefcount(value) == before
