import gzip
import itertools
import json

import numpy as np
import pytest

from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import lines
from ctr_codistill.criteo import preparation
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparation import Options
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.errors import InputError


def _line(i, *, label=True):
  """A made row: I1 counts, C1 alternates, C2 is one rare value a row."""
  fields = [str(i % 2)] * label + [str(i)] + [""] * 12
  return "\t".join([*fields, f"v{i % 2}", f"once{i}", *[""] * 24])


def _text(count):
  return "".join(_line(i) + "\n" for i in range(count))


def _prepare(inputs, output, **options):
  defaults = {"min_count": 2, "block_bytes": 500, "max_bad_fraction": 0.5}
  return preparation.prepare(
    str(inputs),
    output,
    Options(**(defaults | options)),
    clock=itertools.count().__next__,
  )


def _read(output, split):
  schema = schemas.read(output)
  shards = records.open_shards(output / split, schema)
  return np.concatenate(list(records.read_rows(shards)))


def test_the_first_rows_train_and_the_last_validate(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(21))
  output = tmp_path / "out"
  summary = _prepare(tmp_path / "a.tsv", output)
  assert summary["rows_in"] == summary["rows_out"] == 21
  assert (summary["rows_train"], summary["rows_validation"]) == (18, 3)
  assert summary["rows_quarantined"] == 0
  assert json.loads((output / "prepare.json").read_text()) == summary
  # The clock ticks at the start, after counting, and twice at the end.
  assert summary["seconds_count"] == 1
  assert sorted(path.name for path in output.iterdir()) == [
    "prepare.json",
    "schema.json",
    "train",
    "validation",
    "vocabularies",
  ]
  train, validation = _read(output, "train"), _read(output, "validation")
  assert train.shape == (18, 40)
  assert train[:, 0].tolist() == [i % 2 for i in range(18)]
  assert train[:, 1].tolist() == list(range(18))
  assert validation[:, 1].tolist() == [18, 19, 20]
  assert (train[:, 2:14] == MISSING).all()
  # 1 + 5 oov + rank: v0 and v1 are equally frequent, in the order of bytes.
  assert validation[:, 14].tolist() == [6, 7, 6]
  assert ((train[:, 15] >= 1) & (train[:, 15] <= 5)).all()
  assert (train[:, 16:] == 0).all()


def test_vocabularies_and_statistics_see_training_rows_only(tmp_path):
  text = [_line(i) for i in range(14)]
  text[12:] = [_line(99).replace("v1", "late")] * 2
  (tmp_path / "a.tsv").write_text("\n".join(text))
  _prepare(tmp_path / "a.tsv", tmp_path / "out")
  schema = schemas.read(tmp_path / "out")
  known = vocabularies.read(tmp_path / "out", schema)
  assert known["C1"].to_pylist() == [b"v0", b"v1"]
  assert known["C2"].to_pylist() == []
  assert schema.numeric[0].mean == pytest.approx(np.log1p(np.arange(12)).mean())


def test_output_does_not_depend_on_blocks_threads_files_or_gzip(tmp_path):
  lines_in = [_line(i) for i in range(60)]
  lines_in[10] = lines_in[50] = "bad"
  text = ("\n".join(lines_in) + "\n").encode()
  (tmp_path / "one").mkdir()
  (tmp_path / "one" / "a.tsv").write_bytes(text)
  (tmp_path / "two").mkdir()
  cut = text.index(b"once30") + 31
  (tmp_path / "two" / "a.tsv").write_bytes(text[:cut])
  (tmp_path / "two" / "b.gz").write_bytes(gzip.compress(text[cut:]))
  _prepare(tmp_path / "one" / "*", tmp_path / "out", threads=1)
  for i, options in enumerate(
    [{"block_bytes": 1}, {"block_bytes": 1 << 20}, {"threads": 4}]
  ):
    again = tmp_path / f"again{i}"
    _prepare(tmp_path / ("two" if i else "one") / "*", again, **options)
    for name in ("schema.json", "train/shard-00000.rows", "train/records.json"):
      assert (again / name).read_bytes() == (
        tmp_path / "out" / name
      ).read_bytes()


def test_bad_lines_go_to_quarantine_and_none_is_lost(tmp_path):
  split = [_line(i).encode() for i in range(40)]
  split[3] = b"1\t2"
  split[17] = split[17].replace(b"17", b"x", 1)
  split[39] += b"\r\0"
  path = tmp_path / "a.tsv"
  path.write_bytes(b"\n".join(split))
  summary = _prepare(path, tmp_path / "out")
  assert summary["rows_quarantined"] == 3
  assert summary["rows_out"] + 3 == summary["rows_in"] == 40
  assert (tmp_path / "out" / "quarantine" / "lines.tsv").read_bytes() == (
    f"{path}\t4\t2 columns, expected 40\t1\t2\n"
    f"{path}\t18\tI1 is 'x', not an integer of 64 bits\t"
  ).encode() + split[17] + (
    f"\n{path}\t40\tcarriage return inside the line\t"
  ).encode() + split[39] + b"\n"
  # Rows keep their numbers: 40 lines, 34 of them for training, 2 are bad.
  assert summary["rows_train"] == 32


def test_too_many_bad_lines_end_the_job_with_what_was_seen(tmp_path):
  split = [_line(i) for i in range(100)]
  split[2] = split[95] = "bad"
  path = tmp_path / "a.tsv"
  path.write_text("\n".join(split))
  said = (
    r"of 100 lines at most 1 may be bad \(max_bad_fraction=0.01\), 2 are so "
    r"far: .*a.tsv:3: 1 columns, expected 40; .*a.tsv:96: 1 columns"
  )
  with pytest.raises(InputError, match=said):
    _prepare(path, tmp_path / "out", max_bad_fraction=0.01)
  assert not (tmp_path / "out" / "prepare.json").exists()
  with pytest.raises(InputError, match=r"out should be a prepared directory"):
    schemas.read(tmp_path / "out")
  # The unfinished directory is this job's to make anew.
  summary = _prepare(path, tmp_path / "out", max_bad_fraction=0.02)
  assert summary["rows_quarantined"] == 2


def test_a_complete_directory_is_replaced_only_if_told(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(7))
  _prepare(tmp_path / "a.tsv", tmp_path / "out")
  (tmp_path / "a.tsv").write_text(_text(14))
  with pytest.raises(InputError, match=r"out is prepared already.*--overwrite"):
    _prepare(tmp_path / "a.tsv", tmp_path / "out")
  summary = _prepare(tmp_path / "a.tsv", tmp_path / "out", overwrite=True)
  assert summary["rows_in"] == 14
  assert len(_read(tmp_path / "out", "train")) == 12


def test_a_directory_of_others_is_left_alone(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(7))
  (tmp_path / "out").mkdir()
  (tmp_path / "out" / "thesis.txt").write_text("mine")
  for overwrite in (False, True):
    with pytest.raises(InputError, match=r"holds thesis.txt"):
      _prepare(tmp_path / "a.tsv", tmp_path / "out", overwrite=overwrite)
  with pytest.raises(InputError, match=r"a.tsv should be a directory"):
    _prepare(tmp_path / "a.tsv", tmp_path / "a.tsv")
  assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_a_job_that_dies_leaves_nothing_that_looks_complete(
  tmp_path, monkeypatch
):
  (tmp_path / "a.tsv").write_text(_text(30))
  monkeypatch.setattr(prepared, "finish", lambda *unused: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    _prepare(tmp_path / "a.tsv", tmp_path / "out")
  monkeypatch.undo()
  with pytest.raises(InputError, match=r"schema.json there: No such file"):
    schemas.read(tmp_path / "out")
  assert _prepare(tmp_path / "a.tsv", tmp_path / "out")["rows_in"] == 30


@pytest.mark.parametrize(
  "text, said",
  [
    (_line(0, label=False), "has 39 columns, hence no label"),
    ("1\t2\n", "a.tsv:1 should have 40 columns, or 39 without .*, has 2"),
    ("", "a.tsv is empty"),
    (_text(3), "no row is left for validation: 3 lines, the last 0"),
    (_text(5) + "bad", "no row is left for validation: 6 lines, the last 1"),
    (
      "2" + _line(0)[1:] + "\n" + _line(1),
      "no row is left for training: 2 lines, the first 1",
    ),
  ],
)
def test_inputs_that_cannot_do_are_named(tmp_path, text, said):
  (tmp_path / "a.tsv").write_text(text)
  fraction = 0.5 if text.startswith("2") else 1 / 7
  with pytest.raises(InputError, match=said):
    _prepare(tmp_path / "a.tsv", tmp_path / "out", validation_fraction=fraction)


def test_an_input_that_changes_meanwhile_is_an_error(tmp_path, monkeypatch):
  (tmp_path / "a.tsv").write_text(_text(30))
  count = lines.count
  monkeypatch.setattr(lines, "count", lambda *a, **k: count(*a, **k) + 1)
  with pytest.raises(InputError, match=r"31 rows were counted, 30 read"):
    _prepare(tmp_path / "a.tsv", tmp_path / "out")


@pytest.mark.parametrize(
  "name, value",
  [
    ("min_count", 0),
    ("oov", 0),
    ("threads", 0),
    ("validation_fraction", 1.0),
    ("max_bad_fraction", -0.1),
    ("shard_rows", 1000),
  ],
)
def test_wrong_options_are_named(name, value):
  with pytest.raises(InputError, match=rf"{name} should be .* is {value}"):
    Options(**{name: value})


def test_raw_files_are_encoded_as_they_were_prepared(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(28))
  output = tmp_path / "out"
  _prepare(tmp_path / "a.tsv", output)
  unlabelled = [_line(i, label=False) for i in range(28)]
  unlabelled.insert(5, "bad")
  (tmp_path / "b.tsv").write_text("\n".join(unlabelled))
  schema = schemas.read(output)
  encoder = encoding.Encoder(schema, vocabularies.read(output, schema))
  found = list(encoding.read([str(tmp_path / "b.tsv")], encoder))
  rows = np.concatenate([encoded for _, encoded in found])
  prepared_rows = np.concatenate(
    [_read(output, "train"), _read(output, "validation")]
  )
  np.testing.assert_array_equal(rows[:, 1:], prepared_rows[:, 1:])
  assert (rows[:, 0] == -1).all()
  numbers = np.concatenate([parsed.lines for parsed, _ in found])
  assert numbers.tolist() == [i for i in range(29) if i != 5]


def test_progress_is_told_of_every_row(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(70))
  seen = {}

  def progress(name, rows):
    seen[name] = [rows, 0]

    def done(count):
      seen[name][1] += count

    return done

  preparation.prepare(
    str(tmp_path / "a.tsv"),
    tmp_path / "out",
    Options(block_bytes=500),
    clock=itertools.count().__next__,
    progress=progress,
  )
  assert seen == {"lines": [None, 70], "count": [60, 60], "encode": [70, 70]}
