import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill.models import gradient_sums


def _rows(ids, values):
  return tf.IndexedSlices(
    tf.constant(values), tf.constant(ids), tf.constant([4, 2])
  )


@pytest.fixture
def gradients():
  """A dense gradient, and one of a table that hits row 1 three times."""
  values = [[0.5, 1.0], [1.0, 0.0], [-0.2, 1.0], [-0.3, 0.0], [0.4, 1.0]]
  return [tf.constant([3.0, 0.0]), _rows([1, 3, 1, 0, 1], values)]


# What the table's gradient is: 0.5 - 0.2 + 0.4 = 0.7 and 3 x 1 in row 1.
DENSE = np.array([[-0.3, 0], [0.7, 3], [0, 0], [1, 0]])


def _dense(gradient):
  return tf.convert_to_tensor(gradient).numpy()


@pytest.mark.parametrize("ids", [tf.int32, tf.int64])
def test_each_row_is_named_once_with_its_sum(gradients, ids):
  table = gradients[1]
  table = tf.IndexedSlices(
    table.values, tf.cast(table.indices, ids), table.dense_shape
  )
  dense, rows = gradient_sums.add_up([gradients[0], table])
  assert np.array_equal(dense, [3, 0])
  assert sorted(rows.indices.numpy()) == [0, 1, 3]
  np.testing.assert_allclose(_dense(rows), DENSE, atol=1e-7)


def test_gradients_come_back_in_their_order(gradients):
  dense, table = gradients
  found = gradient_sums.add_up([table, dense, table, table])
  kinds = [isinstance(gradient, tf.IndexedSlices) for gradient in found]
  assert kinds == [True, False, True, True]
  assert np.array_equal(_dense(found[2]), _dense(found[0]))


def test_clipping_keeps_rows_and_takes_their_sums_into_the_norm(gradients):
  # 3^2 + 0.3^2 + 0.7^2 + 3^2 + 1^2 = 19.58; of the parts it would be less.
  norm = np.sqrt(19.58)
  sums = gradient_sums.add_up(gradients)
  dense, rows = gradient_sums.clip(sums, norm=norm / 2)
  np.testing.assert_allclose(dense, [1.5, 0], rtol=1e-6)
  assert isinstance(rows, tf.IndexedSlices)
  assert sorted(rows.indices.numpy()) == [0, 1, 3]
  np.testing.assert_allclose(_dense(rows), DENSE / 2, rtol=1e-6)


def test_clipping_is_that_of_dense_gradients(gradients):
  found = gradient_sums.clip(gradient_sums.add_up(gradients), norm=0.3)
  wanted, _ = tf.clip_by_global_norm(
    [gradients[0], tf.constant(DENSE, tf.float32)], 0.3
  )
  for one, other in zip(found, wanted, strict=True):
    np.testing.assert_allclose(_dense(one), other, rtol=1e-6)


def test_what_is_within_the_norm_keeps_its_bits(gradients):
  sums = gradient_sums.add_up(gradients)
  for one, other in zip(sums, gradient_sums.clip(sums, norm=4.43)):
    assert np.array_equal(_dense(one), _dense(other))


def test_gradients_of_zero_stay_zero():
  found = gradient_sums.clip([tf.zeros([3]), _rows([1], [[0.0, 0.0]])], norm=1)
  assert not np.any(_dense(found[0])) and not np.any(_dense(found[1]))
