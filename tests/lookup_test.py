import shutil

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.encoding import Encoder
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.parsing import clipped
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

KNOWN = [
  b"05db9164",
  b"a",
  " ä€😀".encode(),
  b"\xff\xfe\x00\x01".replace(b"\0", b"\2"),
  b" ",
  b"long" * 1000,
  b"'\"\\",
]
ODD = [
  b"",
  b"05db9165",
  b"A",
  b"a ",
  b"a\0",
  b"\0",
  b"\r",
  b"\xff",
  b"long" * 1001,
  "日本".encode(),
  *KNOWN,
]
INTEGERS = [
  0,
  -1,
  LARGEST,
  LARGEST + 1,
  -LARGEST,
  -LARGEST - 1,
  2**63 - 1,
  -(2**63) + 1,
  MISSING_INT64,
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  directory = tmp_path_factory.mktemp("prepared")
  categorical = []
  for name, values, oov in (("C1", KNOWN, 5), ("C2", [], 3), ("C3", [b"x"], 1)):
    sha256 = vocabularies.write(pa.array(values, pa.binary()), directory, name)
    categorical.append(Categorical(name, len(values), oov, sha256))
  schema = Schema((Numeric("I1", 0.0, 1.0, (0,)),), tuple(categorical))
  return schema, directory


def _features(integers, strings):
  numeric = {"I1": tf.constant(integers, tf.int64)}
  values = tf.constant(strings, tf.string)
  return numeric, {"C1": values, "C2": values, "C3": values}


def _encoded(schema, directory, integers, strings):
  array = pa.array(strings, pa.binary()).dictionary_encode()
  numeric = clipped(pa.array(integers, pa.int64()))
  rows = Rows(
    labels=np.zeros(len(strings), np.int32),
    numeric=numeric[:, None],
    categorical=(array,) * 3,
    lines=np.arange(len(strings)),
    bad=(),
  )
  encoder = Encoder(schema, vocabularies.read(directory, schema))
  return encoder(rows)


def test_ids_are_missing_then_hashed_then_ranks(made):
  found = Lookup(*made)(*_features([3, 4, 5], [b"", b"a", b"x"])).numpy()
  assert found.dtype == np.int32
  hashed = tf.strings.to_hash_bucket_fast([b"x", b"a"], 5).numpy()
  assert found[:, 0].tolist() == [3, 4, 5]
  # 0 missing; 1 + 5 + rank 1; 1 + hash of what C1 does not know.
  assert found[:, 1].tolist() == [0, 7, 1 + hashed[0]]
  assert set(found[1:, 2]) <= {1, 2, 3}
  assert found[:, 3].tolist() == [0, 1, 2]


def test_integers_are_clipped_and_missing_is_told(made):
  strings = [b""] * len(INTEGERS)
  found = Lookup(*made)(*_features(INTEGERS, strings)).numpy()
  assert found[:, 0].tolist() == [
    0,
    -1,
    LARGEST,
    LARGEST,
    -LARGEST,
    -LARGEST,
    LARGEST,
    -LARGEST,
    MISSING,
  ]


def test_encoder_and_lookup_agree_on_odd_values(made):
  integers = [INTEGERS[i % len(INTEGERS)] for i in range(len(ODD))]
  graph = Lookup(*made)(*_features(integers, ODD)).numpy()
  encoded = _encoded(*made, integers, ODD)
  np.testing.assert_array_equal(encoded[:, 1:], graph)
  # Every known value has its own id, the others hashed ones.
  assert encoded[-len(KNOWN) :, 2].tolist() == list(range(6, 6 + len(KNOWN)))
  assert all(1 <= i <= 5 for i in encoded[1 : -len(KNOWN), 2])


@settings(deadline=None, max_examples=100)
@given(
  strings=st.lists(
    st.one_of(st.binary(max_size=20), st.text(max_size=9).map(str.encode)),
    min_size=1,
    max_size=20,
  ),
  integer=st.integers(-(2**63), 2**63 - 1),
)
def test_encoder_and_lookup_agree(made, strings, integer):
  integers = [integer] * len(strings)
  graph = Lookup(*made)(*_features(integers, strings)).numpy()
  encoded = _encoded(*made, integers, strings)
  np.testing.assert_array_equal(encoded[:, 1:], graph)


def test_an_encoder_takes_no_rows(made):
  assert _encoded(*made, [], []).shape == (0, 5)


class _Exported(tf.Module):
  def __init__(self, lookup):
    super().__init__()
    self.lookup = lookup

  @tf.function(
    input_signature=[
      {"I1": tf.TensorSpec([None], tf.int64)},
      {n: tf.TensorSpec([None], tf.string) for n in ("C1", "C2", "C3")},
    ]
  )
  def rows(self, numeric, categorical):
    return self.lookup(numeric, categorical)


def test_a_saved_model_carries_its_vocabularies_wherever_it_goes(
  made, tmp_path
):
  schema, directory = made
  copied = tmp_path / "prepared"
  shutil.copytree(directory, copied)
  exported = _Exported(Lookup(schema, copied))
  tf.saved_model.save(exported, str(tmp_path / "model"))
  shutil.rmtree(copied)
  shutil.move(tmp_path / "model", tmp_path / "elsewhere" / "1")
  loaded = tf.saved_model.load(str(tmp_path / "elsewhere" / "1"))
  integers = [INTEGERS[i % len(INTEGERS)] for i in range(len(ODD))]
  np.testing.assert_array_equal(
    loaded.rows(*_features(integers, ODD)).numpy(),
    _encoded(schema, directory, integers, ODD)[:, 1:],
  )


def test_an_altered_vocabulary_is_refused(made, tmp_path):
  schema, directory = made
  shutil.copytree(directory, tmp_path / "altered")
  (tmp_path / "altered" / "vocabularies" / "C3.txt").write_bytes(b"y\n")
  with pytest.raises(InputError, match=r"C3.txt: sha256 should be"):
    Lookup(schema, tmp_path / "altered")
