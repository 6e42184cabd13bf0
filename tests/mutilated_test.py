"""Logs as they come out of broken pipes and disks: nothing is lost.

Each mutilation is done to good Criteo lines in several ways of cutting the
input into blocks and several compressions; then the whole job runs on them.
"""

import gzip
import itertools

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import encoding
from ctr_codistill.criteo import parsing
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.lookup import Lookup
from ctr_codistill.criteo.preparing import preparation
from ctr_codistill.criteo.preparing.preparation import Options
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.errors import InputError

HUGE = b"9223372036854775808"


def _line(i):
  """A good line: 40 columns, a few of them empty."""
  integers = [
    b"%d" % (i * k % 97 - 3) if (i + k) % 5 else b"" for k in range(13)
  ]
  strings = [b"%08x" % (i * k % 89) if (i + k) % 7 else b"" for k in range(26)]
  return b"\t".join([b"%d" % (i % 2), *integers, *strings])


def _with(line, column, value):
  fields = line.split(b"\t")
  fields[column] = value
  return b"\t".join(fields)


# What a good line becomes, and in how many lines that are rows.
CORPUS = {
  "as it was": (lambda line: line, 1),
  "NUL byte": (lambda line: line[:9] + b"\0" + line[9:], 0),
  "only NUL bytes": (lambda line: b"\0" * len(line), 0),
  "CR LF": (lambda line: line + b"\r", 1),
  "CR CR LF": (lambda line: line + b"\r\r", 0),
  "lone CR inside": (lambda line: _with(line, 20, b"a\rb"), 0),
  "lone CR as the line's end": (lambda line: line + b"\r" + line, 0),
  "byte order mark": (lambda line: lines.BOM + line, 0),
  "mark in a string": (lambda line: _with(line, 20, lines.BOM), 1),
  "39 columns": (lambda line: line.rsplit(b"\t", 1)[0], 0),
  "41 columns": (lambda line: line + b"\t", 0),
  "cut in the middle": (lambda line: line[: len(line) // 2], 0),
  "two lines in one": (lambda line: line + line, 0),
  "empty": (lambda line: b"", 0),
  "spaces": (lambda line: b"   ", 0),
  "quoted": (lambda line: _with(line, 14, b'"a"'), 1),
  "open quote": (lambda line: _with(line, 14, b'"a'), 1),
  "quoted integer": (lambda line: _with(line, 1, b'"5"'), 0),
  "backslash at the end": (lambda line: _with(line, 39, b"\\"), 1),
  "commas": (lambda line: line.replace(b"\t", b","), 0),
  "invalid UTF-8": (lambda line: _with(line, 30, b"\xff\xfe\xc3"), 1),
  "invalid UTF-8 integer": (lambda line: _with(line, 3, b"\xff"), 0),
  "UTF-16": (lambda line: line.decode().encode("utf-16-le"), 0),
  "largest integer": (lambda line: _with(line, 2, b"9223372036854775807"), 1),
  "huge integer": (lambda line: _with(line, 2, HUGE), 0),
  "endless integer": (lambda line: _with(line, 2, b"9" * 5000), 0),
  "float": (lambda line: _with(line, 13, b"1.0"), 0),
  "hexadecimal integer": (lambda line: _with(line, 13, b"0x1F"), 1),
  "nan": (lambda line: _with(line, 13, b"nan"), 0),
  "label 2": (lambda line: b"2" + line[1:], 0),
  "no label": (lambda line: line[1:], 0),
  "long string": (lambda line: _with(line, 14, b"x" * 70_000), 1),
}
KINDS = sorted(CORPUS)
OPTIONS = {"min_count": 2, "oov": 3, "max_bad_fraction": 1.0}


def _text(kinds, *, ended=True):
  """Returns the mutilated lines and which of them are rows."""
  made = [CORPUS[kind][0](_line(i)) for i, kind in enumerate(kinds)]
  good = [i for i, kind in enumerate(kinds) if CORPUS[kind][1]]
  return b"\n".join(made) + b"\n" * ended, good


def _pack(text, kind):
  if kind == "gz":
    half = len(text) // 2
    return gzip.compress(text[:half]) + gzip.compress(text[half:])
  if kind == "zst":
    return pa.compress(text, codec="zstd", asbytes=True)
  return text


def _parsed(paths, size):
  rows = list(parsing.read(paths, layouts.CRITEO, block_bytes=size))
  bad = [(b.line, b.reason, b.text) for part in rows for b in part.bad]
  return np.concatenate([part.lines for part in rows]).tolist(), bad, rows


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutilated_line_is_a_row_or_kept_as_it_came(tmp_path, kind):
  text, good = _text(["as it was", kind, "as it was"])
  path = tmp_path / "a.tsv"
  path.write_bytes(text)
  for size in (1, 300, 1 << 22):
    found, bad, _ = _parsed([str(path)], size)
    assert found == good
    assert [(b[0], b[2]) for b in bad] == [
      # One return before a line's end belongs to that.
      (2, text.split(b"\n")[1].removesuffix(b"\r"))
      for _ in range(3 - len(good))
    ]
    assert all(reason and reason != "no row" for _, reason, _ in bad)


@settings(deadline=None, max_examples=6)
@given(
  kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=40),
  pack=st.sampled_from(["tsv", "gz", "zst"]),
  size=st.sampled_from([1, 1000, 1 << 22]),
  ended=st.booleans(),
)
def test_rows_in_are_rows_out_and_rows_in_quarantine(
  tmp_path_factory, kinds, pack, size, ended
):
  kinds = ["as it was"] * 6 + kinds + ["as it was"] * 6
  text, good = _text(kinds, ended=ended)
  folder = tmp_path_factory.mktemp("in")
  (folder / f"a.{pack}").write_bytes(_pack(text, pack))
  summary = preparation.prepare(
    str(folder / f"a.{pack}"),
    folder / "out",
    Options(block_bytes=size, validation_fraction=0.1, **OPTIONS),
    clock=itertools.count().__next__,
  )
  assert summary["rows_in"] == len(kinds)
  assert summary["rows_out"] == len(good)
  assert summary["rows_quarantined"] == len(kinds) - len(good)
  kept = b"".join(
    p.read_bytes() for p in sorted((folder / "out").glob("quarantine/*.tsv"))
  )
  split = text.split(b"\n")
  for i in set(range(len(kinds))) - set(good):
    assert b"\t" + split[i].removesuffix(b"\r") + b"\n" in kept
  _check_served(folder / "out", text, good)


def _check_served(directory, text, good):
  """The ids in the shards are those that a served model computes."""
  schema = schemas.read(directory)
  parts = [
    block
    for split in ("train", "validation")
    for block in records.read_rows(
      records.open_shards(directory / split, schema)
    )
  ]
  split = text.split(b"\n")
  fields = [split[i].removesuffix(b"\r").split(b"\t") for i in good]
  columns = list(zip(*fields))
  numeric = {
    feature.name: tf.constant(
      [int(v, 0) if v else MISSING_INT64 for v in columns[1 + place]], tf.int64
    )
    for place, feature in enumerate(schema.numeric)
  }
  categorical = {
    feature.name: tf.constant(list(columns[14 + place]), tf.string)
    for place, feature in enumerate(schema.categorical)
  }
  served = Lookup(schema, directory)(numeric, categorical).numpy()
  np.testing.assert_array_equal(np.concatenate(parts)[:, 1:], served)


@settings(deadline=None, max_examples=60)
@given(
  kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=30),
  cuts=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
)
def test_the_verdict_does_not_depend_on_where_blocks_end(
  tmp_path_factory, kinds, cuts
):
  text, good = _text(kinds)
  path = tmp_path_factory.mktemp("in") / "a.tsv"
  path.write_bytes(text.removeprefix(lines.BOM))
  if kinds[0] == "byte order mark":
    good = [0, *good]  # at a file's start it is dropped
  one, bad, _ = _parsed([str(path)], cuts[0])
  assert one == good
  assert _parsed([str(path)], cuts[1])[:2] == (one, bad)


@settings(deadline=None, max_examples=150)
@given(
  i=st.integers(0, 50),
  edits=st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=3)),
    min_size=1,
    max_size=5,
  ),
)
def test_whatever_bytes_are_altered_nothing_is_lost(tmp_path_factory, i, edits):
  """Bytes are replaced, cut out and put in at any place."""
  text = b"\n".join(map(_line, range(i, i + 5))) + b"\n"
  for place, cut, put in edits:
    at = int(place * len(text))
    text = text[:at] + put + text[at + cut :]
  path = tmp_path_factory.mktemp("in") / "a.tsv"
  path.write_bytes(text)
  # Empty, or not text any more by its first bytes: parquet, gzip, zstd.
  others = (b"PAR1", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")
  if not text.removeprefix(lines.BOM) or text.startswith(others):
    return
  found, bad, rows = _parsed([str(path)], 1 << 22)
  text = text.removeprefix(lines.BOM)
  count = text.count(b"\n") + (not text.endswith(b"\n"))
  assert lines.count([str(path)]) == len(found) + len(bad) == count
  assert sorted([*found, *(line - 1 for line, _, _ in bad)]) == list(
    range(count)
  )
  assert _parsed([str(path)], 1)[:2] == (found, bad)
  # No column of a row holds what a vocabulary cannot.
  for part in rows:
    for array in part.categorical:
      for value in array.to_pylist():
        assert not set(value) & {0, 9, 10, 13}


@pytest.mark.parametrize("pack", ["gz", "zst"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_ends_early_ends_the_job(tmp_path, pack, share):
  text, _ = _text(["as it was"] * 500)
  whole = _pack(text, pack)
  path = tmp_path / f"a.{pack}"
  path.write_bytes(whole[: int(len(whole) * share)])
  with pytest.raises(InputError, match=rf"a.{pack} is a damaged .*: it ends"):
    preparation.prepare(
      str(path),
      tmp_path / "out",
      Options(**OPTIONS),
      clock=itertools.count().__next__,
    )
  assert not (tmp_path / "out" / "prepare.json").exists()


def test_past_the_fraction_of_bad_lines_the_job_says_what_it_saw(tmp_path):
  text, _ = _text(["as it was"] * 97 + ["empty", "41 columns", "NUL byte"])
  (tmp_path / "a.tsv").write_bytes(text)
  with pytest.raises(
    InputError,
    match=r"of 100 lines at most 2 may be bad .*, 3 are so far: .*a.tsv:98: "
    r"empty line; .*a.tsv:99: 41 columns, expected 40; .*a.tsv:100: NUL",
  ):
    preparation.prepare(
      str(tmp_path / "a.tsv"),
      tmp_path / "out",
      Options(**(OPTIONS | {"max_bad_fraction": 0.02})),
      clock=itertools.count().__next__,
    )


def test_a_scoring_log_is_fuzzed_alike(tmp_path):
  """Without labels a line of 40 columns is one too many."""
  made = [_line(i).split(b"\t", 1)[1] for i in range(4)]
  made[1:3] = [b"", _line(2), b"\r", made[2] + b"\0"]
  (tmp_path / "a.tsv").write_bytes(b"\n".join(made) + b"\n")
  paths = [str(tmp_path / "a.tsv")]
  layout = layouts.detect(paths, layouts.CRITEO)
  (rows,) = parsing.read(paths, layout)
  assert rows.lines.tolist() == [0, 5]
  assert [b.line for b in rows.bad] == [2, 3, 4, 5]


def test_fields_are_not_lost_between_text_and_ids(tmp_path):
  """`encoding.read` gives as many rows as `parsing.read`, of the same lines."""
  text, good = _text(["as it was", *KINDS])
  (tmp_path / "a.tsv").write_bytes(text)
  preparation.prepare(
    str(tmp_path / "a.tsv"),
    tmp_path / "out",
    Options(validation_fraction=0.5, **OPTIONS),
    clock=itertools.count().__next__,
  )
  schema = schemas.read(tmp_path / "out")
  encoder = encoding.Encoder(
    schema, vocabularies.read(tmp_path / "out", schema)
  )
  found = list(encoding.read([str(tmp_path / "a.tsv")], encoder))
  assert np.concatenate([r.lines for r, _ in found]).tolist() == good
  assert sum(len(e) for _, e in found) == len(good)
