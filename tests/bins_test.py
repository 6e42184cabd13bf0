import math

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from ctr_codistill.criteo import bins
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.models import blocks


def _fuxictr(value):
  """`convert_to_bucket` of FuxiCTR, as its authors say it."""
  return math.floor(math.log(value) ** 2) if value > 2 else int(value)


def _bins(values):
  return bins.bins(np.array(values, np.int32)).tolist()


def test_bins_are_floor_of_the_squared_logarithm_above_2():
  # ln 3 = 1.0986, squared 1.21; ln 4: 1.92; ln 5: 2.59; ln 6: 3.21; ln 7: 3.79;
  # ln 8: 4.32; ln 100: 21.2; ln 1000: 47.7
  assert _bins([-3, -1, 0, 1, 2]) == [-3, -1, 0, 1, 2]
  assert _bins([3, 4, 5, 6, 7, 8]) == [1, 1, 2, 3, 3, 4]
  assert _bins([100, 1000]) == [21, 47]
  assert _bins([MISSING, LARGEST]) == [MISSING, 461]


def test_bins_are_those_of_fuxictr():
  starts = [b for b in schemas.log_squared_boundaries() if b > 2]
  values = {*range(-5, 2000), LARGEST, LARGEST - 1}
  values |= {s + d for s in starts for d in (-1, 0, 1) if s + d <= LARGEST}
  values = sorted(values)
  assert _bins(values) == [_fuxictr(value) for value in values]


def test_a_column_of_bins_is_text_and_empty_where_missing():
  column = bins.column(np.array([4, MISSING, -1, 1, 5], np.int32))
  assert column.to_pylist() == [b"1", b"", b"-1", b"1", b"2"]
  assert bins.column(np.zeros(0, np.int32)).to_pylist() == []


def _numeric(*often):
  names = pa.array([b"%d" % bin for bin in often], pa.binary())
  plain = Schema((Numeric("I1", 0.0, 1.0, (0,)),), ())
  return bins.binned(plain, [names]).numeric[0]


def _ids(numeric, values):
  layer = blocks.NumericBins([numeric])
  return layer(tf.constant([[v] for v in values], tf.int32))[:, 0].numpy()


def test_a_bin_seen_often_has_an_id_wherever_its_integers_lie():
  # Most frequent first: bin 1 (1, 3 and 4) has id 2, 0 has 3, -1 has 4.
  numeric = _numeric(1, 0, -1)
  # ... -2 | -1 | 0 | 1 | 2 | 3 4 | 5 ...
  assert numeric.boundaries == (-1, 0, 1, 2, 3, 5)
  assert numeric.ids == (1, 4, 3, 2, 1, 2, 1)
  assert numeric.bins == 5
  values = [MISSING, -2, -1, 0, 1, 2, 3, 4, 5, LARGEST]
  assert _ids(numeric, values).tolist() == [0, 1, 4, 3, 2, 1, 2, 2, 1, 1]


def test_without_a_frequent_bin_all_integers_share_an_id():
  numeric = _numeric()
  assert (numeric.boundaries, numeric.ids, numeric.bins) == ((), (1,), 2)
  assert _ids(numeric, [-1, MISSING, 9]).tolist() == [1, 0, 1]


def test_ids_of_a_layer_are_the_ranks_of_the_bins():
  often = [3, 47, -7, 2, 0, 461, 21]
  numeric = _numeric(*often)
  random = np.random.RandomState(0)
  values = [*range(-9, 999), *random.randint(0, LARGEST, 500), LARGEST]
  wanted = [
    2 + often.index(b) if b in often else 1 for b in map(_fuxictr, values)
  ]
  assert _ids(numeric, values).tolist() == wanted


def test_features_with_and_without_ids_share_a_layer():
  plain = Numeric("I2", 0.0, 1.0, (0, 10))
  layer = blocks.NumericBins([_numeric(1), plain, _numeric(0, 1)])
  found = layer(tf.constant([[4, 4, 4], [0, 10, 0], [MISSING, -1, 2]]))
  assert found.numpy().tolist() == [[2, 2, 3], [1, 3, 2], [0, 1, 1]]


def test_a_schema_keeps_ids_and_one_without_them_its_fingerprint():
  schema = Schema((_numeric(1, 0),), ())
  again = schemas.from_json(schemas.to_json(schema))
  assert again == schema
  plain = Schema((Numeric("I1", 0.0, 1.0, (0,)),), ())
  assert "ids" not in schemas.to_json(plain)
  # As it was before there were ids.
  assert plain.fingerprint.startswith("7d16b95793db134a")
  assert plain.fingerprint != schema.fingerprint


@pytest.mark.parametrize("ids", [(1,), (1, 2, 3), (0, 1)])
def test_ids_must_be_one_an_interval_from_1(ids):
  with pytest.raises(InputError, match=rf"I1: ids should be 2, .* {len(ids)}"):
    Numeric("I1", 0.0, 1.0, (0,), ids)
