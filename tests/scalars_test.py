import sys

import pytest
import tensorflow as tf

from ctr_codistill.training import scalars
from ctr_codistill.training.journal import Journal
from ctr_codistill.training.strategy import Agreement


@pytest.mark.parametrize(
  ("value", "dtype"), [(0.321, tf.float32), (2**40 + 1, tf.int64)]
)
def test_a_scalar_is_its_number_and_tensorflow_holds_no_other(value, dtype):
  before = sys.getrefcount(value)
  found = scalars.tensor(value, dtype)
  assert (found.dtype, found.shape.rank) == (dtype, 0)
  assert found.numpy() == dtype.as_numpy_dtype(value)
  assert sys.getrefcount(value) == before


def test_what_was_logged_is_held_by_nothing(tmp_path):
  journal = Journal(
    tmp_path,
    Agreement(tf.distribute.get_strategy()),
    batch_size=10,
    stop=8,
    clock=lambda: 100.0,
    is_chief=True,
  )
  step, value = int("123456"), float("0.4321")
  before = sys.getrefcount(step), sys.getrefcount(value)
  journal.scalars(step, {"loss": value})
  assert (sys.getrefcount(step), sys.getrefcount(value)) == before
  journal.close()
