"""A version that TF Serving loads: complete or absent, and explained."""

import contextlib
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import small_disk
import tensorflow as tf
import tf_keras
from tensorflow_serving.apis import prediction_log_pb2

from ctr_codistill import manifests
from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.errors import InputError
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import versions
from ctr_codistill.exporting.exports import About
from ctr_codistill.models import parts
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer
from ctr_codistill.stamped import TornError


@pytest.fixture(scope="module")
def published(publish, tmp_path_factory):
  return publish(tmp_path_factory.mktemp("exchange"), 50, seed=3)


def test_versions_count_up_from_one(published, tmp_path):
  root = tmp_path / "served"
  assert exports.export(published, root) == root / "1"
  assert exports.export(published, root) == root / "2"
  assert exports.export(published, root, version=20) == root / "20"
  assert exports.export(published, root) == root / "21"
  assert sorted(os.listdir(root)) == [".lock", "1", "2", "20", "21"]


def test_a_training_s_snapshots_are_no_versions(publish, tmp_path):
  snapshot = publish(tmp_path, 50, seed=3, group=0)
  with pytest.raises(
    InputError, match=rf"holds {snapshot}, which is a snapshot of a training"
  ):
    exports.export(snapshot, tmp_path)
  assert os.listdir(tmp_path) == ["50"]


def test_a_version_predicts_as_its_snapshot(published, features, tmp_path):
  snapshot = Snapshot(published)
  version = Snapshot(exports.export(published, tmp_path))
  for name in ("probability", "logit"):
    assert np.array_equal(
      version.predict_ids(**features)[name],
      snapshot.predict_ids(**features)[name],
    )
  assert version.facts == snapshot.facts


def test_a_version_shares_no_file_with_its_snapshot(published, tmp_path):
  version = exports.export(published, tmp_path)
  for path in published.rglob("*"):
    if path.is_file():
      assert not path.samefile(version / path.relative_to(published))


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_is_above_0(published, tmp_path, version):
  with pytest.raises(InputError, match=f"version .* above 0, is {version}"):
    exports.export(published, tmp_path, version=version)
  assert os.listdir(tmp_path) == []


def test_a_torn_snapshot_is_not_exported(publish, tmp_path, flip):
  torn = publish(tmp_path / "exchange", 1, seed=1)
  flip(torn / "variables" / "variables.index")
  with pytest.raises(TornError, match=r"variables\.index should be"):
    exports.export(torn, tmp_path / "served")
  assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("room", [1000, 30_000])
def test_an_export_to_a_full_disk_leaves_nothing_and_says_so_in_a_line(
  published, tmp_path, full_disk, room
):
  with full_disk(room), pytest.raises(OSError, match="File too large") as told:
    exports.export(published, tmp_path)
  assert os.listdir(tmp_path) == [".lock"]
  said = places.said(told.value, "")
  assert said.startswith(str(tmp_path))
  assert len(said) < 200 + len(str(tmp_path))


@pytest.mark.skipif(
  bool(small_disk.reason()), reason=small_disk.reason() or "it can be"
)
def test_wherever_the_disk_is_full_its_line_names_the_file(published, tmp_path):
  """With room for a block less each time, from the last file downwards."""
  whole = exports.export(published, tmp_path / "whole")
  files = [p for p in whole.rglob("*") if p.is_file()]
  room = sum(-(-p.stat().st_size // 4096) for p in files)
  named = set()
  with _small_disk(tmp_path / "disk") as disk:
    for blocks in range(room - 12, room):
      ballast = small_disk.fill(disk)
      os.truncate(ballast, ballast.stat().st_size - 4096 * blocks)
      with pytest.raises(OSError, match="No space left") as told:
        exports.export(published, disk / "served")
      assert os.listdir(disk / "served") == [".lock"]
      named.add(pathlib.Path(told.value.filename).name)
      ballast.unlink()
  assert named >= {"tf_serving_warmup_requests", "export.json", "manifest.json"}


@contextlib.contextmanager
def _small_disk(folder):
  try:
    with small_disk.mounted(folder, 4) as disk:
      yield disk
  except subprocess.CalledProcessError as error:
    pytest.skip(f"no small disk: {error}")


def test_a_version_appears_with_all_its_files(published, tmp_path):
  """Looks into the directory at the moment when it gets its name."""
  seen, target = [], tmp_path / "1"

  def look(event, arguments):
    if event == "os.rename" and pathlib.Path(arguments[1]) == target:
      seen.extend(path.name for path in pathlib.Path(arguments[0]).rglob("*"))

  watched = [look]
  # Python's audit hooks cannot be taken away again, but emptied.
  sys.addaudithook(lambda *event: [watch(*event) for watch in watched])
  try:
    exports.export(published, tmp_path)
  finally:
    watched.clear()
  files = {p.name for p in published.rglob("*")}
  files |= {"tf_serving_warmup_requests", "export.json", "model_card.md"}
  assert set(seen) == files
  assert stamped.verify(target)


def test_graph_and_weights_are_the_bits_of_the_snapshot(published, tmp_path):
  version = exports.export(published, tmp_path)
  for path in published.rglob("*"):
    if path.is_file() and path.name != stamped.MANIFEST:
      copied = version / path.relative_to(published)
      assert copied.read_bytes() == path.read_bytes()


def test_its_weights_are_those_of_the_model_and_no_more(
  published, servable, tmp_path
):
  """No slots of an optimizer, no teacher."""
  version = exports.export(published, tmp_path)
  names = tf.train.list_variables(str(version / "variables" / "variables"))
  assert len(names) == len(servable.weights) + 1  # and the object graph
  report = json.loads(exports.report(version).read_text())
  assert report["parameters"] == sum(
    int(np.prod(weight.shape)) for weight in servable.weights
  )


def test_the_report_says_what_the_signatures_take(published, tmp_path):
  report = json.loads(
    exports.report(exports.export(published, tmp_path / "clicks")).read_text()
  )
  found = report["signatures"]
  one = {"dtype": "float32", "shape": [-1]}
  assert set(found) == {"predict", "predict_ids", "serving_default"}
  for signature in found.values():
    assert signature["outputs"] == {"probability": one, "logit": one}
  # After C1, C2 and C3.
  integer = {"dtype": "int64", "shape": [-1], "optional": True, "arg": 3}
  assert found["predict"]["inputs"]["I1"] == integer
  assert found["predict_ids"]["inputs"]["numeric"] == {
    "dtype": "int32",
    "shape": [-1, 2],
    "arg": 1,
  }
  assert (report["model"], report["version"]) == ("clicks", 1)
  assert (report["weights"], report["step"]) == ("float32", 50)


def test_the_card_says_what_was_not_given(published, tmp_path):
  version = exports.export(published, tmp_path / "clicks")
  card = (version / "assets.extra" / "model_card.md").read_text()
  assert card.startswith("# clicks, version 1\n")
  assert "`I1` `I2`: int64 `[batch]`, optional" in card
  assert "- `predict`: C1, C2, C3, I1, I2\n" in card
  assert "Not given (`--quality`" in card
  assert "Between independent trainings: not given (`--churn=FILE`" in card
  assert "version in place: not given (`--promote` with rows `--on`)" in card
  assert "Not compared." in card


def test_the_card_says_what_was_given(published, tmp_path):
  about = About(
    source="RUN/exchange/group-0/50",
    quality={"of": "a.parquet", "log_loss": 0.25, "examples": 7},
    churn={
      **{"of": "churn.json", "runs": 3, "examples": 9, "mean_absolute": 0.01},
      "interval_runs": {"mean_absolute": [0.009, 0.011]},
      "interval_examples": {"mean_absolute": [0.005, 0.02]},
      "maximum": 0.3,
    },
    judged={
      **{"against": 1, "on": "day_8", "examples": 1234, "mean_absolute": 0.02},
      "interval_runs": {"mean_absolute": None},
      "interval_examples": {"mean_absolute": [0.015, 0.03]},
      "verdicts": ["ok      measures.mean_absolute: 0.02"],
    },
    experiment={"data": {"rows": 230}},
  )
  version = exports.export(published, tmp_path, about=about)
  card = (version / "assets.extra" / "model_card.md").read_text()
  assert "Step 50 of `RUN/exchange/group-0/50`" in card
  assert "On `a.parquet`:\n\n| measure | |\n|---|---|\n| examples | 7 |" in card
  assert "Between 3 independent trainings, on 9 examples" in card
  assert (
    "9 examples (`churn.json`):\n\n| measure | | 95 %, over trainings |\n"
    "|---|---|---|\n| mean_absolute | 0.01 | 0.009 to 0.011 |\n"
    "| maximum | 0.3 | – |"
  ) in card
  assert "version 1, which was in place, and this one, on 1,234 exa" in card
  assert "| mean_absolute | 0.02 | 0.015 to 0.03 |" in card
  assert "Version 1, on `day_8`:\n\n    ok      measures.mean_absolute" in card
  assert "not given" not in card.lower()
  assert "Trained on 230 rows" in card


def test_warm_up_requests_are_answered_as_a_server_would(published, tmp_path):
  version = exports.export(published, tmp_path / "clicks")
  path = version / "assets.extra" / "tf_serving_warmup_requests"
  snapshot, seen = Snapshot(version), []
  for record in tf.data.TFRecordDataset(str(path)):
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    request = log.predict_log.request
    inputs = {
      name: tf.constant(tf.make_ndarray(value).tolist(), value.dtype)
      for name, value in request.inputs.items()
    }
    spec = request.model_spec
    found = snapshot.signature(spec.signature_name)(**inputs)["probability"]
    assert spec.name == "clicks"
    seen.append((spec.signature_name, len(found), found.numpy().tolist()))
  assert [name for name, _, _ in seen[::2]] == [
    "serving_default",
    "predict",
    "predict_ids",
  ]
  assert {rows for _, rows, _ in seen} == {1, 32}
  # Of the same rows, which differ.
  assert seen[1][2] == seen[3][2] == seen[5][2]
  assert len(set(seen[1][2])) > 16


def test_a_graph_that_calls_python_is_refused(prepared, schema, tmp_path):
  class Doubled(tf_keras.layers.Layer):
    def call(self, x):
      found = tf.numpy_function(lambda v: 2 * v, [x], tf.float32)
      return tf.ensure_shape(found, x.shape)

  inner = parts.inputs(schema)
  first = tf.cast(inner["numeric"], tf.float32)
  logit = tf_keras.layers.Dense(1)(Doubled()(first))
  model = tf_keras.Model(inner, tf_keras.layers.Reshape([])(logit))
  servable = Servable(model, schema, Lookup(schema, prepared))
  writer = Writer(
    servable,
    servable.signatures(),
    {"schema.json": prepared / "schema.json"},
    tmp_path / "template",
  )
  snapshot = writer.write(tmp_path, 1, servable.weights, {})
  with pytest.raises(InputError, match="has the op PyFunc"):
    exports.export(snapshot, tmp_path / "served")
  assert not (tmp_path / "served").exists()


def _altered(published, path, alter, **facts):
  """Returns a copy of a snapshot, whole and stamped, that was altered."""

  def fill(folder):
    files = manifests.read(published, None).files
    versions.copy(published, folder, files)
    alter(folder)

  return stamped.write(path, fill, {**stamped.facts(published), **facts})


@pytest.mark.parametrize(
  "name",
  [
    *("saved_model.cpb", "saved_model.pbtxt", "saved_model_config.pb"),
    *("assets/run.sh", "assets.extra/run.sh", "variables/run.sh"),
  ],
)
def test_what_belongs_to_no_model_does_not_travel(published, tmp_path, name):
  def alter(folder):
    (folder / name).write_text("x")

  snapshot = _altered(published, tmp_path / "50", alter)
  with pytest.raises(InputError, match=f"holds '{name}', which belongs to non"):
    exports.export(snapshot, tmp_path / "served")
  assert not (tmp_path / "served").exists()


def test_the_graph_for_teachers_is_checked_too(published, tmp_path):
  class Writing(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def write(self, text):
      tf.io.write_file(str(tmp_path / "written"), text)
      return text

  made = Writing()
  tf.saved_model.save(made, str(tmp_path / "made"), signatures=made.write)

  def alter(folder):
    target = folder / "assets.extra" / "teacher" / "saved_model.pb"
    target.write_bytes((tmp_path / "made" / "saved_model.pb").read_bytes())

  snapshot = _altered(published, tmp_path / "50", alter)
  with pytest.raises(InputError, match=r"teacher/saved_model\.pb.* WriteFile"):
    exports.export(snapshot, tmp_path / "served")
  assert not (tmp_path / "served").exists()


@pytest.mark.parametrize("step", ["20\n# Safe", None, True])
def test_a_step_is_a_number(published, tmp_path, step):
  snapshot = _altered(published, tmp_path / "50", lambda folder: 0, step=step)
  with pytest.raises(InputError, match="its step should be a number, is "):
    exports.export(snapshot, tmp_path / "served")


def test_measures_that_are_not_defined_are_null(published, tmp_path):
  """Such as AUC, of rows that nobody clicked."""
  about = About(quality={"of": "a", "log_loss": 0.25, "auc": float("nan")})
  version = exports.export(published, tmp_path, about=about)
  text = exports.report(version).read_text()
  assert "NaN" not in text
  assert json.loads(text)["quality"]["auc"] is None
  card = (version / "assets.extra" / "model_card.md").read_text()
  assert "| auc | not defined |" in card


def test_back_says_its_own_number_and_what_it_repeats(published, tmp_path):
  root = tmp_path / "clicks"
  for _ in range(2):
    exports.export(published, root)
  root = root.rename(tmp_path / "views")
  version = exports.back(root)
  report = json.loads(exports.report(version).read_text())
  assert (version.name, report["version"], report["same_as"]) == ("3", 3, 1)
  assert report["model"] == "views"
  card = (version / "assets.extra" / "model_card.md").read_text()
  assert card.startswith(
    "# views, version 3\n\nThe same as version 1, gone back to.\n\nStep 50"
  )
  assert stamped.verify(version)["same_as"] == 1
