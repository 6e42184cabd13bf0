import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from ctr_codistill.criteo import schema
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.models import blocks

PLAIN = Numeric("plain", 0.0, 1.0, (0, 10))
SCALED = Numeric("scaled", 1.0, 2.0, (-5, 0, 5))


def _log(numeric, integers):
  return blocks.NumericLog(numeric)(tf.constant(integers, tf.int32)).numpy()


def _bins(numeric, integers):
  return blocks.NumericBins(numeric)(tf.constant(integers, tf.int32)).numpy()


def test_the_logarithm_is_signed_scaled_and_marks_what_is_missing():
  found = _log([PLAIN, SCALED], [[7, 7], [-1, MISSING], [MISSING, 0], [0, -7]])
  # sign(x) ln(1 + |x|), then (z - 1) / 2 on the right; 0 and a 1 if missing.
  wanted = [
    [math.log(8), (math.log(8) - 1) / 2, 0, 0],
    [-math.log(2), 0, 0, 1],
    [0, (0 - 1) / 2, 1, 0],
    [0, (-math.log(8) - 1) / 2, 0, 0],
  ]
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_logarithm_of_the_largest_integers():
  found = _log([PLAIN], [[LARGEST], [-LARGEST]])
  wanted = 31 * math.log(2)  # 21.4876
  np.testing.assert_allclose(found, [[wanted, 0], [-wanted, 0]], rtol=1e-6)


def test_a_bin_is_one_more_than_the_boundaries_below():
  # Left: missing 0, below 0: 1, 0 ... 9: 2, from 10 on 3. Right: four bins.
  integers = [
    [MISSING, MISSING],
    [-1, -6],
    [0, -5],
    [9, -1],
    [10, 0],
    [11, 4],
    [LARGEST, 5],
    [-LARGEST, LARGEST],
  ]
  wanted = [[0, 0], [1, 1], [2, 2], [2, 2], [3, 3], [3, 3], [3, 4], [1, 4]]
  found = _bins([PLAIN, SCALED], integers)
  assert found.dtype == np.int32
  assert found.tolist() == wanted


def test_a_boundary_at_the_largest_integer_has_a_bin():
  last = Numeric("last", 0.0, 1.0, (0, LARGEST))
  found = _bins([last, PLAIN], [[LARGEST, LARGEST], [LARGEST - 1, 0]])
  assert found.tolist() == [[3, 3], [2, 2]]


def test_without_boundaries_all_share_a_bin():
  none = Numeric("none", 0.0, 1.0, ())
  assert _bins([none], [[-7], [MISSING], [7]]).tolist() == [[1], [0], [1]]
  assert _bins([none, PLAIN], [[-7, 10]]).tolist() == [[1, 3]]


def test_bins_are_those_of_numpy():
  boundaries = schema.log_squared_boundaries()
  numeric = [Numeric("criteo", 0.0, 1.0, boundaries), SCALED]
  random = np.random.RandomState(0)
  wide = random.randint(-LARGEST, LARGEST, [500, 2])
  near = np.array(boundaries)[random.randint(len(boundaries), size=[500, 2])]
  integers = np.concatenate([wide, near + random.randint(-1, 2, [500, 2])])
  found = _bins(numeric, integers)
  for column, feature in enumerate(numeric):
    wanted = 1 + np.searchsorted(
      feature.boundaries, integers[:, column], side="right"
    )
    assert np.array_equal(found[:, column], wanted)
    assert found[:, column].max() < feature.bins


def _embedding():
  """Returns two fields of 2 and 3 ids in a table 0 1 / 2 3 / ... / 8 9."""
  layer = blocks.Embedding(
    [2, 3], 2, initializer=tf_keras.initializers.Zeros(), name="table"
  )
  layer.build(tf.TensorShape([None, 2]))
  layer.table.assign(np.arange(10, dtype=np.float32).reshape(5, 2))
  return layer


def test_a_field_begins_where_the_one_before_ends():
  # Field 1 has its id 0 in row 2: ids [1, 2] are rows 1 and 4.
  found = _embedding()(tf.constant([[1, 2], [0, 0]]))
  assert found.numpy().tolist() == [[[2, 3], [8, 9]], [[0, 1], [4, 5]]]


def test_the_gradient_names_the_rows_of_the_batch_alone():
  layer = _embedding()
  with tf.GradientTape() as tape:
    total = tf.reduce_sum(layer(tf.constant([[1, 2], [1, 0]])))
  gradient = tape.gradient(total, layer.table)
  assert isinstance(gradient, tf.IndexedSlices)
  assert sorted(gradient.indices.numpy().tolist()) == [1, 1, 2, 4]
  assert gradient.values.shape == (4, 2)


def test_ids_of_another_width_are_refused():
  layer = blocks.Embedding([2, 3], 2, initializer="zeros", name="table")
  with pytest.raises(ValueError, match=r"table: ids .* \[batch, 2\], .*4, 3"):
    layer(tf.zeros([4, 3], tf.int32))
