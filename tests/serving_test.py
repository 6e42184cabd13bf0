import os
import pathlib
import sys

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import serving
from ctr_codistill import stamped
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.errors import InputError
from ctr_codistill.manifests import TornError
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


def test_versions_count_up_from_one(published, tmp_path):
  root = tmp_path / "served"
  assert serving.export(published, root) == root / "1"
  assert serving.export(published, root) == root / "2"
  assert serving.export(published, root, version=20) == root / "20"
  assert serving.export(published, root) == root / "21"
  assert sorted(os.listdir(root)) == ["1", "2", "20", "21"]


def test_a_version_predicts_as_its_snapshot(published, snapshot, tmp_path):
  version = Snapshot(serving.export(published, tmp_path))
  features = {
    "numeric": tf.constant(NUMERIC),
    "categorical": tf.constant(CATEGORICAL),
  }
  for name in ("probability", "logit"):
    assert np.array_equal(
      version.predict_ids(**features)[name],
      snapshot.predict_ids(**features)[name],
    )
  assert version.facts == snapshot.facts


def test_a_version_shares_no_file_with_its_snapshot(published, tmp_path):
  version = serving.export(published, tmp_path)
  for path in published.rglob("*"):
    if path.is_file():
      assert not path.samefile(version / path.relative_to(published))


def test_a_version_that_is_there_is_refused(published, tmp_path):
  serving.export(published, tmp_path, version=5)
  with pytest.raises(InputError, match=r"version 5 should be new, .* has it"):
    serving.export(published, tmp_path, version=5)
  # Somebody else's, without a stamp, is not replaced either.
  (tmp_path / "7").mkdir()
  with pytest.raises(InputError, match="version 7 should be new"):
    serving.export(published, tmp_path, version=7)


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_is_above_0(published, tmp_path, version):
  with pytest.raises(InputError, match=f"version .* above 0, is {version}"):
    serving.export(published, tmp_path, version=version)
  assert os.listdir(tmp_path) == []


def test_a_torn_snapshot_is_not_exported(publish, tmp_path, flip):
  torn = publish(tmp_path / "exchange", 1, seed=1)
  flip(torn / "variables" / "variables.index")
  with pytest.raises(TornError, match=r"variables\.index should be"):
    serving.export(torn, tmp_path / "served")
  assert not (tmp_path / "served").exists()


def test_an_export_to_a_full_disk_leaves_nothing(
  published, tmp_path, full_disk
):
  with full_disk(1000), pytest.raises(OSError, match="File too large"):
    serving.export(published, tmp_path)
  assert os.listdir(tmp_path) == []


def test_the_manifest_comes_when_all_else_is_there(published, tmp_path):
  """Looks into the directories at the moment they and the stamp get names."""
  seen, target = {}, tmp_path / "1"

  def look(event, arguments):
    if event != "os.rename":
      return
    source, to = map(pathlib.Path, arguments[:2])
    if tmp_path in to.parents:
      folder = source if to == target else target
      seen[to.name] = {path.name for path in folder.rglob("*")}

  watched = [look]
  # Python's audit hooks cannot be taken away again, but emptied.
  sys.addaudithook(lambda *event: [watch(*event) for watch in watched])
  try:
    serving.export(published, tmp_path)
  finally:
    watched.clear()
  files = {p.name for p in published.rglob("*")} - {stamped.MANIFEST}
  assert seen["1"] == files
  assert {n for n in seen[stamped.MANIFEST] if n[0] != "."} == files
  assert stamped.verify(target)
