"""The way of a log that is not Criteo's: from its lines to predictions."""

import itertools
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from ctr_codistill import config
from ctr_codistill.criteo import bins
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.preparation import Options
from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predict
from ctr_codistill.exporting import exports
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer

# Columns as those of the Avazu set (Kaggle), values made.
LAYOUT = """
label = "click"
header = true
delimiter = ","
categorical = ["hour", "C1", "banner_pos", "site_id", "site_category",
  "app_id", "device_id", "device_type", "C14"]
ignored = ["id"]
"""
COLUMNS = ["id", "click", "hour", "C1", "banner_pos", "site_id"]
COLUMNS += ["site_category", "app_id", "device_id", "device_type", "C14"]


def _avazu(rows, seed=0):
  random = np.random.RandomState(seed)
  made = {"id": 10**15 + np.arange(rows), "click": random.randint(0, 2, rows)}
  made["hour"] = 14102100 + np.arange(rows) // 20
  made["C1"] = random.choice([1005, 1002, 1010], rows)
  made["banner_pos"] = random.randint(0, 3, rows)
  for name in ("site_id", "site_category", "app_id", "device_id"):
    made[name] = [f"{v:08x}" for v in random.randint(0, 9, rows)]
  made["device_type"] = random.randint(0, 2, rows)
  made["C14"] = random.randint(15700, 15720, rows)
  return pd.DataFrame(made)[COLUMNS]


def _prepare(inputs, output, layout, **options):
  defaults = {"min_count": 2, "oov": 2, "validation_fraction": 0.2}
  return preparation.prepare(
    str(inputs),
    output,
    Options(**(defaults | options)),
    clock=itertools.count().__next__,
    layout=layout,
  )


def _read(output, split):
  shards = records.open_shards(output / split, schemas.read(output))
  return np.concatenate(list(records.read_rows(shards)))


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
  path = tmp_path_factory.mktemp("layout") / "avazu.toml"
  path.write_text(LAYOUT)
  return layout_files.read(str(path))


@pytest.fixture(scope="module")
def avazu(tmp_path_factory, layout):
  """A prepared directory of 100 lines, the CSV beside it."""
  folder = tmp_path_factory.mktemp("avazu")
  _avazu(100).to_csv(folder / "a.csv", index=False)
  summary = _prepare(folder / "a.csv", folder / "out", layout)
  assert (summary["rows_in"], summary["rows_out"]) == (100, 100)
  return folder


def test_a_log_without_integers_becomes_records(avazu):
  schema = schemas.read(avazu / "out")
  assert schema.numeric == ()
  assert [f.name for f in schema.categorical] == COLUMNS[2:]
  # Four hours of 20 rows each train, in the order of their bytes.
  assert schema.categorical[0].size == 4
  train, validation = (
    _read(avazu / "out", "train"),
    _read(avazu / "out", "validation"),
  )
  assert train.shape == (80, 10)
  raw = _avazu(100)
  assert train[:, 0].tolist() == raw["click"][:80].tolist()
  assert train[:, 1].tolist() == [3 + i // 20 for i in range(80)]
  # The fifth hour is of the validation rows alone: hashed.
  assert set(validation[:, 1].tolist()) <= {1, 2}


def test_csv_and_parquet_give_the_same_bytes(avazu, layout, tmp_path):
  pq.write_table(pa.table(_avazu(100)), tmp_path / "a.parquet")
  _prepare(tmp_path / "a.parquet", tmp_path / "out", layout)
  for name in ("schema.json", "train/shard-00000.rows"):
    ours = (tmp_path / "out" / name).read_bytes()
    assert ours == (avazu / "out" / name).read_bytes()


@pytest.mark.parametrize(
  "name, numeric",
  [("dnn", "log"), ("dnn", "bins"), ("dnn", "both"), ("dcn", "both")],
)
def test_a_network_does_without_integers(avazu, name, numeric):
  schema = schemas.read(avazu / "out")
  wanted = config.Model(
    name=name, hidden=(4,), embedding_dim=2, numeric=numeric
  )
  model = networks.build(wanted, schema, seed=1)
  rows = tf.constant(_read(avazu / "out", "train"))
  logits = model({"numeric": rows[:, 1:1], "categorical": rows[:, 1:]})
  assert logits.shape == (80,)
  assert np.isfinite(logits).all()


@pytest.fixture(scope="module")
def snapshot(avazu, tiny, tmp_path_factory):
  folder = tmp_path_factory.mktemp("exchange")
  schema = schemas.read(avazu / "out")
  model = networks.build(tiny, schema, seed=1)
  servable = Servable(model, schema, Lookup(schema, avazu / "out"))
  writer = Writer(
    servable,
    servable.signatures(),
    {schemas.FILE: avazu / "out" / schemas.FILE},
    folder / "template",
  )
  return writer.write(folder, 7, servable.weights, {})


def test_raw_lines_of_any_order_are_predicted_as_shards_are(
  avazu, layout, snapshot, tmp_path
):
  predictor = predict.Predictor(Snapshot(snapshot))
  predict.run(predictor, str(avazu / "out" / "train"), tmp_path / "a.parquet")
  wanted = pq.read_table(tmp_path / "a.parquet")["probability"][:80].to_numpy()
  raw = _avazu(100)
  files = {
    "labelled.csv": raw,
    "scoring.csv": raw.drop(columns="click"),
    "turned.csv": raw[COLUMNS[::-1]],
  }
  for name, frame in files.items():
    frame.to_csv(tmp_path / name, index=False)
    assert predict.count(predictor, str(tmp_path / name), layout) == 100
    done = predict.run(
      predictor, str(tmp_path / name), tmp_path / "b.parquet", layout=layout
    )
    assert (done.rows, done.quality is None) == (100, name == "scoring.csv")
    found = pq.read_table(tmp_path / "b.parquet")["probability"].to_numpy()
    np.testing.assert_array_equal(found[:80], wanted)


def test_a_log_of_other_features_is_refused(snapshot, tmp_path):
  (tmp_path / "a.tsv").write_text("1\t2\n")
  with pytest.raises(InputError, match=r"does not fit .* \['hour', 'C1', 'ba"):
    predict.run(
      predict.Predictor(Snapshot(snapshot)),
      str(tmp_path / "a.tsv"),
      tmp_path / "b.parquet",
      layout=layout_files.read("criteo"),
    )


def test_an_export_answers_raw_strings(snapshot, avazu, tmp_path):
  exported = exports.export(snapshot, tmp_path / "clicks")
  loaded = tf.saved_model.load(str(exported))
  raw = _avazu(100)
  features = {
    name: tf.constant([str(v) for v in raw[name][:80]]) for name in COLUMNS[2:]
  }
  found = loaded.signatures["predict"](**features)["probability"].numpy()
  predictor = predict.Predictor(Snapshot(snapshot))
  wanted = predictor(_read(avazu / "out", "train"))
  np.testing.assert_allclose(found, wanted, rtol=1e-5)


def _criteo(rows):
  """I1 is 4, 1, 3, 5 in turn, I2 once 7 and else missing, C1 is a."""
  for i in range(rows):
    integers = [str((4, 1, 3, 5)[i % 4]), "7" if i == 0 else "", *[""] * 11]
    yield "\t".join([str(i % 2), *integers, "a", *[""] * 25])


def test_criteo_x4_has_its_bins_and_its_minimum_count(tmp_path):
  (tmp_path / "a.tsv").write_text("\n".join(_criteo(50)))
  x4 = layout_files.read("criteo_x4")
  _prepare(
    tmp_path / "a.tsv", tmp_path / "out", x4, min_count=x4.min_count, oov=x4.oov
  )
  schema = schemas.read(tmp_path / "out")
  first, second, third = schema.numeric[:3]
  # Of 40 rows 30 are in bin 1 (1, 3 and 4), 10 in bin 2 (5, as is 2).
  assert first.boundaries == (1, 2, 3, 5, 6)
  assert first.ids == (1, 2, 3, 2, 3, 1)
  # 7 was seen once: its bin is none of its own.
  assert (second.boundaries, second.ids) == ((), (1,))
  assert third.bins == 2
  assert [f.size for f in schema.categorical] == [1] + [0] * 25
  assert {f.oov for f in schema.categorical} == {1}
  # Records keep the integers; the layer takes them to ids.
  train = _read(tmp_path / "out", "train")
  assert train.shape == (40, 40)
  assert train[:4, 1].tolist() == [4, 1, 3, 5]
  assert train[1, 2] == MISSING
  assert bins.bins(train[:4, 1]).tolist() == [1, 1, 1, 2]


def test_criteo_x4_is_criteo_but_for_the_bins(tmp_path):
  (tmp_path / "a.tsv").write_text("\n".join(_criteo(50)))
  for name in ("criteo", "criteo_x4"):
    _prepare(tmp_path / "a.tsv", tmp_path / name, layout_files.read(name))
  for split in ("train", "validation"):
    plain, x4 = (_read(tmp_path / n, split) for n in ("criteo", "criteo_x4"))
    np.testing.assert_array_equal(plain, x4)
  plain, x4 = (
    json.loads((tmp_path / n / "schema.json").read_text())
    for n in ("criteo", "criteo_x4")
  )
  assert plain["categorical"] == x4["categorical"]
  assert plain["numeric"] != x4["numeric"]


def test_probabilities_of_a_binned_model_survive_the_way(tmp_path):
  (tmp_path / "a.tsv").write_text("\n".join(_criteo(50)))
  x4 = layout_files.read("criteo_x4")
  _prepare(tmp_path / "a.tsv", tmp_path / "out", x4)
  schema = schemas.read(tmp_path / "out")
  wanted = config.Model(hidden=(4,), embedding_dim=2, numeric="bins")
  model = networks.build(wanted, schema, seed=1)
  servable = Servable(model, schema, Lookup(schema, tmp_path / "out"))
  writer = Writer(
    servable,
    servable.signatures(),
    {schemas.FILE: tmp_path / "out" / schemas.FILE},
    tmp_path / "template",
  )
  path = writer.write(tmp_path / "x", 1, servable.weights, {})
  predictor = predict.Predictor(Snapshot(path))
  predict.run(predictor, str(tmp_path / "a.tsv"), tmp_path / "p.parquet")
  # 4, 1 and 3 are one bin, so are one prediction; 5 is another.
  p = pq.read_table(tmp_path / "p.parquet")["probability"].to_numpy()
  assert p[4] == p[5] == p[6]
  assert p[4] != p[7]
