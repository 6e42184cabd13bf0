"""Scoring into directories: what is there is whole, and a job goes on."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import parts
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.snapshots import Writer

ROWS = 300
LAYOUT = Layout(
  ("I1", "I2"),
  ("C1", "C2", "C3"),
  True,
  ignored=("id",),
  order=("label", "id", "I1", "I2", "C1", "C2", "C3"),
)


def _line(i):
  return f"{i % 2}\tu{i}\t{i}\t{'' if i % 3 else -i}\t{'abcx'[i % 4]}\t\tb\n"


def _text(start, stop):
  return "".join(map(_line, range(start, stop))).encode()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
  """300 lines in a text, a .gz and a parquet file of other types."""
  folder = tmp_path_factory.mktemp("raw")
  (folder / "a.tsv").write_bytes(_text(0, 150))
  (folder / "b.tsv.gz").write_bytes(gzip.compress(_text(150, 200)))
  rows = [_line(i).rstrip("\n").split("\t") for i in range(200, ROWS)]
  columns = {
    name: [int(v) if v else None for v in values] if name[0] in "lI" else values
    for name, values in zip(LAYOUT.names, zip(*rows))
  }
  pq.write_table(pa.table(columns), folder / "c.parquet")
  return folder


@pytest.fixture(scope="module")
def snapshots(publish, tmp_path_factory):
  folder = tmp_path_factory.mktemp("snapshots")
  return [str(publish(folder / name, 7, i)) for i, name in enumerate("ab")]


def _task(raw, snapshots, **settings):
  return Task(
    tuple(snapshots),
    f"{raw}/*",
    **{"layout": LAYOUT, "piece_bytes": 1000} | settings,
  )


def _all(path, extra=()):
  found = list(shards.iterate(path, extra=extra))
  columns = zip(*(part.columns().values() for part in found))
  return [np.concatenate(column) for column in columns], {
    name: [v for part in found for v in part.extra[name].to_pylist()]
    for name in extra
  }


def test_each_snapshot_has_in_its_files_what_it_gives_alone(
  raw, snapshots, tmp_path
):
  done = parts.run(_task(raw, snapshots), tmp_path / "out")
  assert (done.rows, done.bad, done.found) == (ROWS, 0, 0)
  assert done.parts == 5  # three of the text, one of either other file
  assert list(done.runs) == ["a-7", "b-7"]
  for snapshot, folder in zip(snapshots, done.runs.values()):
    one = tmp_path / "one.parquet"
    predictor = predict.Predictor(Snapshot(snapshot))
    predict.run(predictor, f"{raw}/*", one, layout=LAYOUT)
    wanted = predictions.read(one)
    (example, probability, label), _ = _all(folder)
    np.testing.assert_array_equal(example, np.arange(ROWS))
    np.testing.assert_array_equal(label, np.arange(ROWS) % 2)
    np.testing.assert_array_equal(probability, wanted.probability)
  assert wanted.probability.std() > 0.01


@pytest.fixture(scope="module")
def foreign(tiny, schema, tmp_path_factory):
  """A snapshot of the same features, but other values and ids."""
  folder = tmp_path_factory.mktemp("foreign")
  values = pa.array([b"x", b"c"], pa.binary())
  own = Schema(
    schema.numeric,
    tuple(
      Categorical(name, 2, 4, vocabularies.write(values, folder, name))
      for name in ("C1", "C2", "C3")
    ),
  )
  schemas.write(own, folder)
  model = networks.build(tiny, own, seed=5)
  random = np.random.RandomState(5)
  for weight in model.weights:
    weight.assign(random.uniform(-1, 1, weight.shape).astype(np.float32))
  servable = Servable(model, own, Lookup(own, folder))
  writer = Writer(
    servable,
    servable.signatures(),
    {schemas.FILE: folder / schemas.FILE},
    folder / "template",
  )
  return str(writer.write(folder / "c", 9, servable.weights, {}))


def test_a_snapshot_of_other_vocabularies_gets_its_own_ids_in_the_same_pass(
  raw, snapshots, foreign, tmp_path
):
  done = parts.run(_task(raw, [snapshots[0], foreign]), tmp_path / "out")
  for snapshot, folder in zip((snapshots[0], foreign), done.runs.values()):
    predictor = predict.Predictor(Snapshot(snapshot))
    one = tmp_path / "one.parquet"
    predict.run(predictor, f"{raw}/*", one, layout=LAYOUT)
    wanted = predictions.read(one).probability
    (_, probability, _), _ = _all(folder)
    np.testing.assert_array_equal(probability, wanted)
    assert wanted.std() > 0.01


def test_kept_columns_are_those_of_the_input_as_they_came(
  raw, snapshots, tmp_path
):
  task = _task(raw, snapshots[:1], kept=("id", "I2", "C2"))
  done = parts.run(task, tmp_path / "out")
  assert list(done.runs.values()) == [str(tmp_path / "out")]
  _, extra = _all(tmp_path / "out", ("id", "I2", "C2"))
  assert extra["id"] == [f"u{i}" for i in range(ROWS)]
  assert extra["I2"] == [None if i % 3 else -i for i in range(ROWS)]
  # An empty string is what parquet has; an empty field of a text is a null.
  assert extra["C2"] == [None] * 200 + [""] * 100


def test_a_field_that_is_no_utf8_is_kept_escaped(snapshots, tmp_path):
  line = b"1\t\xff\x41\t1\t2\ta\tb\tc\n"
  (tmp_path / "a.tsv").write_bytes(line + _text(0, 1))
  task = Task(tuple(snapshots[:1]), str(tmp_path / "a.tsv"), LAYOUT, ("id",))
  parts.run(task, tmp_path / "out")
  assert _all(tmp_path / "out", ("id",))[1] == {"id": ["\\xffA", "u0"]}


def test_shards_keep_integers_and_ids(prepared, rows, snapshots, tmp_path):
  task = Task(tuple(snapshots[:1]), str(prepared / "train"), kept=("I1", "C3"))
  done = parts.run(task, tmp_path / "out")
  assert done.parts == 3  # shards of 80 rows
  (_, _, label), extra = _all(tmp_path / "out", ("I1", "C3"))
  np.testing.assert_array_equal(label, rows[:, 0])
  assert extra["C3"] == rows[:, 5].tolist()
  missing = rows[:, 1] < -(2**30)
  assert [v is None for v in extra["I1"]] == missing.tolist()


def test_a_killed_job_goes_on_with_what_is_missing(raw, snapshots, tmp_path):
  output = tmp_path / "out"
  parts.run(_task(raw, snapshots), output)
  wanted = {p: p.read_bytes() for p in output.rglob("*.parquet")}
  lost = [
    output / "a-7" / "part-00002.parquet",
    output / "b-7" / "part-00004.parquet",
  ]
  kept = {p: p.stat().st_ino for p in wanted}
  for path in lost:
    path.unlink()
  (output / "a-7" / ".tmp-part-00002.parquet-0").write_bytes(b"torn")
  rows = []
  done = parts.run(
    _task(raw, snapshots), output, progress=lambda total: rows.append
  )
  assert done.found == done.parts - 2
  assert sum(rows) == ROWS
  assert {p: p.read_bytes() for p in output.rglob("*.parquet")} == wanted
  again = {p for p in wanted if p.stat().st_ino != kept[p]}
  assert {p.name for p in again} == {p.name for p in lost}


def test_a_directory_of_another_job_is_refused_or_overwritten(
  raw, snapshots, tmp_path
):
  output = tmp_path / "out"
  parts.run(_task(raw, snapshots[:1]), output)
  (output / "mine.txt").write_text("mine")
  with pytest.raises(InputError, match="its columns should be"):
    parts.run(_task(raw, snapshots[:1], kept=("id",)), output)
  parts.run(_task(raw, snapshots[:1], kept=("id",)), output, overwrite=True)
  assert len(_all(output, ("id",))[1]["id"]) == ROWS
  assert (output / "mine.txt").exists()
  (tmp_path / "other").mkdir()
  (tmp_path / "other" / "x").touch()
  with pytest.raises(InputError, match="should be new, empty or a job's"):
    parts.run(_task(raw, snapshots), tmp_path / "other")


def test_bad_lines_are_counted_over_all_turns_of_a_job(snapshots, tmp_path):
  split = _text(0, 100).splitlines(keepends=True)
  split[3], split[90] = b"bad\n", b"\n"
  (tmp_path / "a.tsv").write_bytes(b"".join(split))
  settings = {"piece_bytes": 500, "max_bad_fraction": 0.02}
  task = _task(tmp_path, snapshots[:1], **settings)
  task = Task(**vars(task) | {"source": str(tmp_path / "a.tsv")})
  done = parts.run(task, tmp_path / "out")
  assert (done.rows, done.bad) == (98, 2)
  kept = sorted((tmp_path / "out" / "quarantine").glob("*.tsv"))
  assert [p.read_bytes().split(b"\t")[1] for p in kept] == [b"4", b"91"]
  (example, _, _), _ = _all(tmp_path / "out")
  assert sorted(set(range(100)) - set(example.tolist())) == [3, 90]
  strict = Task(**vars(task) | {"max_bad_fraction": 0.01})
  (tmp_path / "out" / "part-00000.parquet").unlink()
  with pytest.raises(InputError, match="at most 1 may be bad"):
    parts.run(strict, tmp_path / "out")


@pytest.mark.parametrize(
  "kept, message",
  [
    (("label",), "none of example, probability, label"),
    (("id", "id"), "there once"),
    (("nowhere",), r"a\.tsv should have a column 'nowhere'"),
  ],
)
def test_columns_that_cannot_be_kept_are_refused(
  raw, snapshots, tmp_path, kept, message
):
  with pytest.raises(InputError, match=message):
    parts.run(_task(raw, snapshots, kept=kept), tmp_path / "out")
  assert not (tmp_path / "out").exists()


def test_blocks_of_any_size_give_the_same_bits(raw, snapshots):
  predictor = predict.Predictor(Snapshot(snapshots[0]))
  random = np.random.RandomState(0)
  rows = random.randint(0, 8, [predict.CHUNK_ROWS + 900, 6]).astype(np.int32)
  whole = predictor(rows)
  parts_ = [predictor(rows[a : a + 777]) for a in range(0, len(rows), 777)]
  np.testing.assert_array_equal(np.concatenate(parts_), whole)


def test_the_script_reports_and_churn_reads_its_directories(
  raw, snapshots, tmp_path
):
  layout = tmp_path / "layout.toml"
  layout.write_text(
    'numeric = ["I1", "I2"]\ncategorical = ["C1", "C2", "C3"]\n'
    'ignored = ["id"]\n'
    'columns = ["label", "id", "I1", "I2", "C1", "C2", "C3"]\n'
  )
  output = tmp_path / "out[1]"  # which is a pattern, too
  line = [
    *(sys.executable, "-m", "pipelines.predict"),
    f"--snapshot={','.join(snapshots)}",
    f"--input={raw}/*",
    f"--layout={layout}",
    f"--output={output}",
    *("--columns=I1", "--slices=I1", f"--report={tmp_path}/report"),
    "--piece_bytes=1000",
  ]
  done = subprocess.run(line, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert f"{ROWS} rows predicted: {output}/b-7" in done.stdout
  found = json.loads((tmp_path / "report" / "quality.json").read_text())
  qualities = [found["runs"][name]["log_loss"] for name in ("a-7", "b-7")]
  runs = [str(output / "a-7"), str(output / "b-7")]
  compared = comparison.compare(runs)
  assert qualities == [one.log_loss for one in compared.qualities]
  assert compared.churn.mean_absolute > 0.01
