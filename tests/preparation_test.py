import gzip
import itertools
import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.preparation import Options
from ctr_codistill.criteo.raw import lines
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
  # The clock ticks at the start, with each of two notes (lines, vocabularies),
  # with one for each split's only shard, and at the end.
  assert summary["seconds_count"] == 2
  assert summary["seconds_encode"] in (2, 3)
  assert summary["seconds"] == 2 + summary["seconds_encode"]
  assert summary["peak_rss_bytes"] > 1 << 20
  assert (summary["spilled_runs"], summary["spilled_bytes"]) == (0, 0)
  assert summary["vocabularies"]["C1"] == {
    "distinct": 2,
    "size": 2,
    "capped": 0,
    "capped_rows": 0,
  }
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


@pytest.mark.parametrize(
  "output, scratch, said",
  [
    ("s3://bucket/out", None, "scratch should be a local .*out, is None"),
    ("s3://bucket/out", "s3://b/tmp", "scratch should be .*, is s3://b/tmp"),
    ("http://host/out", "tmp", "in an object store, is http://host/out"),
    ("out", "tmp", "scratch is for remote outputs, output is out"),
  ],
)
def test_an_output_and_a_scratch_that_do_not_fit_are_told(
  tmp_path, output, scratch, said
):
  (tmp_path / "a.tsv").write_text(_text(30))
  with pytest.raises(InputError, match=said):
    preparation.prepare(
      str(tmp_path / "a.tsv"),
      output,
      Options(),
      clock=lambda: 0.0,
      scratch=scratch,
    )


def test_marks_of_other_programs_change_no_byte(tmp_path):
  (tmp_path / "day").mkdir()
  (tmp_path / "day" / "a.tsv").write_text(_text(30))
  found = []
  for name in ("plain", "marked"):
    _prepare(tmp_path / "day" / "*", tmp_path / name)
    files = (p for p in (tmp_path / name).rglob("*") if p.is_file())
    found.append({str(p.relative_to(tmp_path / name)): p for p in files})
    del found[-1]["prepare.json"]  # which has times
    for mark in ("_SUCCESS", ".a.crc", "empty.tsv"):
      (tmp_path / "day" / mark).touch()
  assert found[0].keys() == found[1].keys()
  for name, path in found[0].items():
    assert path.read_bytes() == found[1][name].read_bytes()


def test_a_log_may_begin_in_the_middle_of_a_line(tmp_path):
  text = "cut\t\n" + _text(30)
  (tmp_path / "a.tsv").write_text(text)
  found = _prepare(tmp_path / "a.tsv", tmp_path / "out", max_bad_fraction=0.1)
  assert (found["rows_in"], found["rows_quarantined"]) == (31, 1)
  kept = (tmp_path / "out" / "quarantine" / "lines.tsv").read_text()
  assert kept.startswith(
    f"{tmp_path / 'a.tsv'}\t1\t2 columns, expected 40\tcut"
  )


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
  # C1 has two values, C2 one a row.
  assert seen == {
    "lines": [None, 70],
    "count": [60, 60],
    "vocabularies": [None, 62],
    "encode": [70, 70],
  }


@pytest.mark.parametrize("count_bytes", [1, 1000, 1 << 20])
def test_output_does_not_depend_on_what_is_spilled(tmp_path, count_bytes):
  (tmp_path / "a.tsv").write_text(_text(99))
  _prepare(tmp_path / "a.tsv", tmp_path / "out")
  again = tmp_path / "again"
  summary = _prepare(tmp_path / "a.tsv", again, count_bytes=count_bytes)
  assert (summary["spilled_runs"] > 1) == (count_bytes < 2000)
  assert (summary["spilled_bytes"] > 0) == (count_bytes < 2000)
  assert schemas.read(again) == schemas.read(tmp_path / "out")
  assert not (again / "unfinished").exists()


def test_a_cap_on_the_vocabulary_is_kept_and_reported(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(28))
  output = tmp_path / "out"
  summary = _prepare(tmp_path / "a.tsv", output, min_count=1, max_vocabulary=10)
  # 24 training rows, hence 24 values of C2, each in one row.
  assert summary["vocabularies"]["C2"] == {
    "distinct": 24,
    "size": 10,
    "capped": 14,
    "capped_rows": 14,
  }


def _interrupted(monkeypatch, tmp_path, **options):
  monkeypatch.setattr(prepared, "finish", lambda *unused: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    _prepare(tmp_path / "a.tsv", tmp_path / "out", **options)
  monkeypatch.undo()


def test_only_the_same_job_goes_on(tmp_path, monkeypatch):
  path = tmp_path / "a.tsv"
  path.write_text(_text(30))
  _interrupted(monkeypatch, tmp_path)
  with pytest.raises(InputError, match=r"options min_count: 2 against 3"):
    _prepare(path, tmp_path / "out", min_count=3)
  path.write_text(_text(31))
  with pytest.raises(InputError, match=r"begun by .*a\.tsv: 1510 bytes of"):
    _prepare(path, tmp_path / "out")
  summary = _prepare(path, tmp_path / "out", overwrite=True)
  assert summary["rows_in"] == 31


def test_threads_and_bounds_may_change_when_a_job_goes_on(
  tmp_path, monkeypatch
):
  (tmp_path / "a.tsv").write_text(_text(30))
  _interrupted(monkeypatch, tmp_path, threads=1)
  changed = {"threads": 3, "max_bad_fraction": 0.0, "count_bytes": 1}
  found = _prepare(tmp_path / "a.tsv", tmp_path / "out", **changed)
  assert (found["rows_in"], found["spilled_runs"]) == (30, 0)


def test_a_shard_that_is_lost_meanwhile_is_named(tmp_path, monkeypatch):
  (tmp_path / "a.tsv").write_text(_text(30))
  sizes = {"block_rows": 2, "shard_rows": 10}
  _interrupted(monkeypatch, tmp_path, **sizes)
  (tmp_path / "out" / "train" / "shard-00001.rows").unlink()
  with pytest.raises(InputError, match=r"00001.rows was left with 1640 bytes"):
    _prepare(tmp_path / "a.tsv", tmp_path / "out", **sizes)


def test_a_broken_note_is_named(tmp_path, monkeypatch):
  (tmp_path / "a.tsv").write_text(_text(30))
  _interrupted(monkeypatch, tmp_path)
  (tmp_path / "out" / "unfinished" / "state.json").write_text("{}")
  with pytest.raises(InputError, match=r"state.json does not say .*counted"):
    _prepare(tmp_path / "a.tsv", tmp_path / "out")


def test_an_output_in_use_is_left_alone(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(30))
  output = tmp_path / "out"
  with prepared.claim(output, {}, overwrite=False):
    with pytest.raises(InputError, match=r"out is in use"):
      _prepare(tmp_path / "a.tsv", output, overwrite=True)


def test_a_job_that_died_at_its_last_step_is_complete(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(30))
  output = tmp_path / "out"
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(prepared, "_tidy", lambda *unused: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      _prepare(tmp_path / "a.tsv", output)
  summary = json.loads((output / "prepare.json").read_text())
  assert _prepare(tmp_path / "a.tsv", output) == summary
  assert not [p for p in output.iterdir() if "unfinished" in p.name]


def test_a_full_disk_is_named_and_the_job_goes_on_when_there_is_room(
  tmp_path, full_disk
):
  (tmp_path / "a.tsv").write_text(_text(300))
  sizes = {"block_rows": 2, "shard_rows": 20}
  for limit in (100, 1000, 3000):
    with full_disk(limit):
      with pytest.raises(InputError, match=r"out.*: File too large"):
        _prepare(tmp_path / "a.tsv", tmp_path / "out", **sizes)
  assert (
    _prepare(tmp_path / "a.tsv", tmp_path / "out", **sizes)["rows_in"] == 300
  )
  _prepare(tmp_path / "a.tsv", tmp_path / "whole", **sizes)
  for path in (tmp_path / "whole").rglob("*.rows"):
    found = tmp_path / "out" / path.relative_to(tmp_path / "whole")
    assert found.read_bytes() == path.read_bytes()


@pytest.mark.skipif(
  os.geteuid() != 0 or not shutil.which("mount"), reason="needs root for tmpfs"
)
def test_a_disk_that_runs_full_leaves_whole_shards_only(tmp_path):
  (tmp_path / "a.tsv").write_text(_text(3000))
  disk = tmp_path / "disk"
  disk.mkdir()
  mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
  if subprocess.run(mount, capture_output=True).returncode:
    pytest.skip("tmpfs cannot be mounted here")
  sizes = {"block_rows": 2, "shard_rows": 200}
  try:
    with pytest.raises(
      InputError, match=r"disk.*No space left on device; mend"
    ):
      _prepare(tmp_path / "a.tsv", disk / "out", **sizes)
    assert len(list(disk.rglob("*.rows"))) > 2
    assert {p.stat().st_size for p in disk.rglob("*.rows")} == {32800}
    remount = ["mount", "-o", "remount,size=10m", str(disk)]
    subprocess.run(remount, check=True)
    summary = _prepare(tmp_path / "a.tsv", disk / "out", **sizes)
    assert summary["rows_out"] == 3000
  finally:
    subprocess.run(["umount", str(disk)], check=True)
