"""Training and serving cannot differ: raw lines, records and requests agree."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import serving
from ctr_codistill import snapshots
from ctr_codistill import stamped
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import synthetic
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import inputs
from ctr_codistill.evaluation import metrics
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.models import networks

ROOT = pathlib.Path(__file__).parents[1]
ROWS = 1000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """A directory with clicks.tsv, data/ (prepared) and 7/ (a snapshot)."""
  folder = tmp_path_factory.mktemp("made")
  raw = folder / "clicks.tsv"
  raw.write_bytes(synthetic.text(synthetic.rows(synthetic.Spec(), 0, ROWS)))
  preparation.prepare(
    str(raw), folder / "data", preparation.Options(), clock=time.monotonic
  )
  schema = schemas.read(folder / "data")
  model = networks.build(config.Model(hidden=(8,)), schema, seed=3)
  for weight in model.weights:  # far from 0, so that probabilities differ
    weight.assign(weight * 5)
  servable = serving.Servable(model, schema, Lookup(schema, folder / "data"))
  writer = snapshots.Writer(
    servable,
    servable.signatures(),
    {schemas.FILE: folder / "data" / schemas.FILE},
    folder / "template",
  )
  writer.write(folder, 7, servable.weights, {})
  return folder


@pytest.fixture(scope="module")
def predictor(made):
  return predict.Predictor(snapshots.Snapshot(made / "7"))


def raw_features(made, schema):
  """Returns the raw columns of clicks.tsv as a served request has them."""
  lines = (made / "clicks.tsv").read_bytes().splitlines()
  columns = list(zip(*(line.split(b"\t") for line in lines)))
  features = {}
  for feature, values in zip(schema.numeric, columns[1:14]):
    features[feature.name] = np.array(
      [int(v) if v else schemas.MISSING_INT64 for v in values], np.int64
    )
  for feature, values in zip(schema.categorical, columns[14:]):
    features[feature.name] = np.array(values, object)
  return features


def test_raw_lines_and_records_give_equal_probabilities(
  made, predictor, tmp_path
):
  raw = tmp_path / "raw.parquet"
  predict.run(predictor, str(made / "clicks.tsv"), raw)
  shards = []
  for part in ("train", "validation"):
    path = tmp_path / f"{part}.parquet"
    predict.run(predictor, str(made / "data" / part), path)
    shards.append(predictions.read(path).probability)
  from_raw = predictions.read(raw)
  np.testing.assert_array_equal(from_raw.example, np.arange(ROWS))
  np.testing.assert_allclose(
    from_raw.probability, np.concatenate(shards), rtol=0, atol=1e-7
  )
  assert from_raw.probability.std() > 0.01


def test_requests_of_raw_features_give_the_probabilities_of_the_batch_job(
  made, predictor, tmp_path
):
  predict.run(predictor, str(made / "clicks.tsv"), tmp_path / "raw.parquet")
  batch = predictions.read(tmp_path / "raw.parquet").probability
  features = raw_features(made, predictor.schema)
  served = snapshots.Snapshot(made / "7").signature("predict")
  found = served(**{n: tf.constant(v) for n, v in features.items()})
  np.testing.assert_allclose(found["probability"], batch, rtol=0, atol=1e-7)


def test_examples_with_missing_features_are_predicted_as_such(made, predictor):
  features = raw_features(made, predictor.schema)
  examples = []
  for row in range(20):
    example = tf.train.Example()
    for name, values in features.items():
      feature = example.features.feature[name]
      if isinstance(values[row], bytes):
        if values[row]:
          feature.bytes_list.value.append(values[row])
        else:
          del example.features.feature[name]
      elif values[row] != schemas.MISSING_INT64:
        feature.int64_list.value.append(values[row])
      else:
        del example.features.feature[name]
    examples.append(example.SerializeToString())
  loaded = snapshots.Snapshot(made / "7")
  by_example = loaded.signature("serving_default")(
    examples=tf.constant(examples)
  )
  by_name = loaded.signature("predict")(
    **{n: tf.constant(v[:20]) for n, v in features.items()}
  )
  np.testing.assert_allclose(
    by_example["probability"], by_name["probability"], rtol=0, atol=1e-7
  )
  assert any(len(e) < max(map(len, examples)) for e in examples)


def test_lines_without_a_label_get_the_same_probabilities(
  made, predictor, tmp_path
):
  lines = (made / "clicks.tsv").read_bytes().splitlines(keepends=True)
  unlabelled = tmp_path / "day.tsv"
  unlabelled.write_bytes(b"".join(line[2:] for line in lines))
  done = predict.run(predictor, str(unlabelled), tmp_path / "a.parquet")
  predict.run(predictor, str(made / "clicks.tsv"), tmp_path / "b.parquet")
  without = predictions.read(tmp_path / "a.parquet")
  assert done.quality is None and without.label is None
  np.testing.assert_array_equal(
    without.probability, predictions.read(tmp_path / "b.parquet").probability
  )


def test_a_bad_line_is_left_out_counted_and_leaves_its_number_free(
  made, predictor, tmp_path
):
  lines = (made / "clicks.tsv").read_bytes().splitlines(keepends=True)
  lines[3] = lines[3].rstrip(b"\n") + b"\textra\n"
  broken = tmp_path / "broken.tsv"
  broken.write_bytes(b"".join(lines))
  done = predict.run(predictor, str(broken), tmp_path / "a.parquet")
  found = predictions.read(tmp_path / "a.parquet")
  assert done.rows == ROWS - 1
  assert [(bad.line, bad.reason) for bad in done.bad] == [
    (4, "41 columns, expected 40")
  ]
  np.testing.assert_array_equal(found.example[:4], [0, 1, 2, 4])


def test_quality_is_that_of_the_written_predictions(made, predictor, tmp_path):
  done = predict.run(
    predictor, str(made / "data" / "validation"), tmp_path / "a.parquet"
  )
  found = predictions.read(tmp_path / "a.parquet")
  probability = found.probability.astype(np.float64)
  losses = metrics.log_losses(probability, found.label)
  np.testing.assert_allclose(done.quality.log_loss, losses.mean(), rtol=1e-6)


def test_shards_of_another_schema_are_refused(made, predictor, tmp_path):
  preparation.prepare(
    str(made / "clicks.tsv"),
    tmp_path / "data",
    preparation.Options(min_count=9),
    clock=time.monotonic,
  )
  with pytest.raises(InputError, match=predictor.schema.fingerprint):
    predict.run(
      predictor, str(tmp_path / "data" / "train"), tmp_path / "a.parquet"
    )
  assert not (tmp_path / "a.parquet").exists()


def run(script, *flags, status=0):
  done = subprocess.run(
    [sys.executable, "-m", f"pipelines.{script}", *map(str, flags)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == status, done.stderr
  return done.stdout if status == 0 else done.stderr


def test_the_script_writes_the_file_and_says_the_quality(made, tmp_path):
  output = tmp_path / "p.parquet"
  said = run(
    "predict",
    f"--snapshot={made / '7'}",
    f"--input={made / 'clicks.tsv'}",
    f"--output={output}",
  )
  assert f"{ROWS:,} rows predicted" in said
  for name in ("log loss", "auc", "normalized entropy", "calibration"):
    assert name in said
  assert len(predictions.read(output).example) == ROWS


@pytest.mark.parametrize(
  "flag, value, message",
  [
    ("--snapshot", "nowhere", "nowhere is no complete directory"),
    ("--input", "nowhere*.tsv", "nowhere*.tsv"),
    ("--snapshot", "s3://b/7", "s3://b/7 should be a directory of this machin"),
  ],
)
def test_the_script_names_what_is_missing(made, tmp_path, flag, value, message):
  flags = {
    "--snapshot": made / "7",
    "--input": made / "clicks.tsv",
    "--output": tmp_path / "p.parquet",
    flag: value,
  }
  said = run("predict", *(f"{k}={v}" for k, v in flags.items()), status=1)
  assert message in said
  assert "Traceback" not in said


def test_a_report_without_labels_is_refused_before_a_row_is_scored(
  made, tmp_path
):
  lines = (made / "clicks.tsv").read_bytes().splitlines()[:5]
  bare = tmp_path / "bare.tsv"
  bare.write_bytes(b"".join(line.split(b"\t", 1)[1] + b"\n" for line in lines))
  said = run(
    "predict",
    f"--snapshot={made / '7'}",
    f"--input={bare}",
    f"--report={tmp_path / 'report'}",
    f"--output={tmp_path / 'out'}",
    status=1,
  )
  assert "bare.tsv should have labels, has none" in said
  assert list(tmp_path.iterdir()) == [bare]


def test_a_report_does_not_lie_where_the_input_would_match_it(made, tmp_path):
  (tmp_path / "day").mkdir()
  (tmp_path / "day" / "a.tsv").symlink_to(made / "clicks.tsv")
  said = run(
    "predict",
    f"--snapshot={made / '7'}",
    f"--input={tmp_path / 'day' / '*'}",
    f"--report={tmp_path / 'day'}",
    f"--output={tmp_path / 'out'}",
    status=1,
  )
  assert "day/quality.json should lie elsewhere: the input" in said
  assert [p.name for p in tmp_path.rglob("*")] == ["day", "a.tsv"]


def test_shards_say_whether_they_have_labels(schema, rows, tmp_path):
  for name, label in (("bare", -1), ("full", 1)):
    own = rows[:9].copy()
    own[:, 0] = label
    with ShardWriter(tmp_path / name, schema) as writer:
      writer.write(own)
  assert inputs.find(str(tmp_path / "full"), [schema], labelled=True).rows == 9
  with pytest.raises(InputError, match="bare should have labels, has none"):
    inputs.find(str(tmp_path / "bare"), [schema], labelled=True)


def test_the_script_names_the_snapshots_that_there_are(made, tmp_path):
  (tmp_path / "exchange").mkdir()
  group = tmp_path / "exchange" / "group-0"
  group.symlink_to(made)
  flags = (f"--input={made / 'clicks.tsv'}", f"--output={tmp_path}/p.parquet")
  said = run("predict", f"--snapshot={tmp_path}", *flags, status=1)
  assert f"such as {group / '7'}; it is a whole run" in said
  said = run("predict", f"--snapshot={group / '8'}", *flags, status=1)
  assert "8 is not there; snapshots there are 7\n" in said


def test_an_exported_version_predicts_as_its_snapshot(made, tmp_path):
  for version in ("1", "2"):
    said = run(
      "export", f"--snapshot={made / '7'}", f"--output={tmp_path / 'clicks'}"
    )
    assert said.strip() == str(tmp_path / "clicks" / version)
  path = tmp_path / "clicks" / "2"
  assert stamped.verify(path)["step"] == 7
  loaded = tf.saved_model.load(str(path))
  assert sorted(loaded.signatures) == [
    "predict",
    "predict_ids",
    "serving_default",
  ]
  features = raw_features(made, schemas.read(made / "data"))
  request = {n: tf.constant(v[:5]) for n, v in features.items()}
  want = snapshots.Snapshot(made / "7").signature("predict")(**request)
  found = loaded.signatures["predict"](**request)
  np.testing.assert_array_equal(found["logit"], want["logit"])


def test_the_manifest_of_a_snapshot_carries_its_feature_spec(made):
  spec = json.loads((made / "7" / "assets.extra" / "schema.json").read_text())
  assert len(spec["categorical"]) == 26
