import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot

# The same five requests raw and prepared. Ids of strings are 0 for none, 1 + 2
# + its place for a value of the vocabulary; None is what is not said.
I1 = [7, None, -3, 0, 2**40]
I2 = [None, 0, -(2**40), 5, None]
C1 = [b"a", b"e", None, b"c", b"b"]
C2 = [None, b"a", b"d", b"", b"e"]
C3 = [b"c", b"c", b"a", None, None]
LARGEST = 2**31 - 1
NUMERIC = [
  [7, MISSING],
  [MISSING, 0],
  [-3, -LARGEST],
  [0, 5],
  [LARGEST, MISSING],
]
CATEGORICAL = [[3, 0, 5], [7, 3, 5], [0, 6, 3], [5, 0, 0], [4, 7, 0]]


def _feature(value):
  if isinstance(value, int):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _example(**values):
  feature = {k: _feature(v) for k, v in values.items() if v is not None}
  return tf.train.Example(
    features=tf.train.Features(feature=feature)
  ).SerializeToString()


def _integers(values):
  return tf.constant(
    [MISSING_INT64 if v is None else v for v in values], tf.int64
  )


def _strings(values):
  return tf.constant([v or b"" for v in values])


@pytest.fixture(scope="module")
def published(publish, tmp_path_factory):
  return publish(tmp_path_factory.mktemp("exchange"), 50, seed=3)


@pytest.fixture(scope="module")
def snapshot(published):
  return Snapshot(published)


def test_all_signatures_give_the_same_probabilities(snapshot):
  by_ids = snapshot.predict_ids(
    numeric=tf.constant(NUMERIC), categorical=tf.constant(CATEGORICAL)
  )
  by_name = snapshot.signature("predict")(
    I1=_integers(I1),
    I2=_integers(I2),
    C1=_strings(C1),
    C2=_strings(C2),
    C3=_strings(C3),
  )
  by_example = snapshot.signature("serving_default")(
    examples=tf.constant(
      [
        _example(I1=a, I2=b, C1=c, C2=d, C3=e)
        for a, b, c, d, e in zip(I1, I2, C1, C2, C3)
      ]
    )
  )
  for found in (by_ids, by_name, by_example):
    assert sorted(found) == ["logit", "probability"]
    assert np.array_equal(found["probability"], by_ids["probability"])
    logit = found["logit"].numpy().astype(np.float64)
    wanted = 1 / (1 + np.exp(-logit))
    np.testing.assert_allclose(found["probability"], wanted, atol=1e-6)
  assert len(set(by_ids["probability"].numpy().tolist())) == 5


def test_a_value_beyond_the_vocabulary_is_hashed(snapshot):
  """Each of the two rows for others is somebody's."""
  nothing = {"I1": _integers([0] * 20), "I2": _integers([0] * 20)}
  others = tf.constant([f"new {i}" for i in range(20)])
  rows = 1 + tf.strings.to_hash_bucket_fast(others, 2).numpy()
  empty = _strings([None] * 20)
  found = snapshot.signature("predict")(
    **nothing, C1=others, C2=empty, C3=empty
  )["probability"].numpy()
  wanted = snapshot.predict_ids(
    numeric=tf.zeros([20, 2], tf.int32),
    categorical=tf.constant([[row, 0, 0] for row in rows.tolist()]),
  )["probability"].numpy()
  assert set(rows) == {1, 2}
  assert np.array_equal(found, wanted)


def test_an_example_that_says_nothing_has_a_probability(snapshot):
  found = snapshot.signature("serving_default")(
    examples=tf.constant([_example()])
  )
  wanted = snapshot.predict_ids(
    numeric=tf.constant([[MISSING, MISSING]]),
    categorical=tf.zeros([1, 3], tf.int32),
  )
  assert np.array_equal(found["probability"], wanted["probability"])


def test_inputs_are_named_and_typed_as_a_client_sends_them(snapshot):
  def inputs(name):
    _, keywords = snapshot.signature(name).structured_input_signature
    return {k: (s.dtype, s.shape.as_list()) for k, s in keywords.items()}

  assert inputs("serving_default") == {"examples": (tf.string, [None])}
  assert inputs("predict") == {
    **dict.fromkeys(["I1", "I2"], (tf.int64, [None])),
    **dict.fromkeys(["C1", "C2", "C3"], (tf.string, [None])),
  }
  assert inputs("predict_ids") == {
    "numeric": (tf.int32, [None, 2]),
    "categorical": (tf.int32, [None, 3]),
  }


def test_a_feature_that_is_not_sent_is_missing_in_every_row(snapshot):
  """As TF Serving fills it in: a tensor without values."""
  predict = snapshot.signature("predict")
  none = {"I1": tf.constant([], tf.int64), "C2": tf.constant([], tf.string)}
  sent = {"I2": _integers(I2), "C1": _strings(C1), "C3": _strings(C3)}
  said = {"I1": _integers([None] * 5), "C2": _strings([None] * 5)}
  found = predict(**none, **sent)["logit"].numpy()
  assert found.tolist() == predict(**said, **sent)["logit"].numpy().tolist()
  assert len(set(found.tolist())) > 1


def test_nothing_sent_is_nothing_answered(snapshot):
  none = {
    **dict.fromkeys(["I1", "I2"], tf.constant([], tf.int64)),
    **dict.fromkeys(["C1", "C2", "C3"], tf.constant([], tf.string)),
  }
  assert snapshot.signature("predict")(**none)["logit"].shape == [0]


def test_features_of_other_lengths_are_refused(snapshot):
  sent = {"I1": _integers(I1), "I2": _integers(I2[:2])}
  strings = {"C1": _strings(C1), "C2": _strings(C2), "C3": _strings(C3)}
  with pytest.raises(
    tf.errors.InvalidArgumentError,
    match=r"one number .*\[I1 I2 C1 C2 C3\] \[have\] \[5 2 5 5 5\]",
  ):
    snapshot.signature("predict")(**sent, **strings)


@pytest.mark.parametrize(
  ("numeric", "bins"),
  [("log", ()), ("bins", ()), ("both", ()), ("both", (1, 2, 1))],
)
def test_any_integer_gives_a_finite_probability(
  prepared, schema, numeric, bins
):
  first, *others = schema.numeric
  first = dataclasses.replace(first, ids=bins)
  schema = dataclasses.replace(schema, numeric=(first, *others))
  model = config.Model(hidden=(4,), embedding_dim=2, numeric=numeric)
  servable = Servable(
    networks.build(model, schema, seed=1), schema, Lookup(schema, prepared)
  )
  ends = [
    0,
    1,
    -1,
    *(
      s * (2**n + d) for n in (31, 53, 62) for s in (1, -1) for d in (-1, 0, 1)
    ),
    2**63 - 1,
    -(2**63) + 1,
    -(2**63),
  ]
  empty = _strings([None] * len(ends))
  found = servable.signatures()["predict"](
    I1=_integers(ends), I2=_integers(ends[::-1]), C1=empty, C2=empty, C3=empty
  )
  for values in found.values():
    assert np.isfinite(values).all()
