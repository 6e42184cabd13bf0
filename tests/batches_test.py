import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import parsing
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.errors import InputError

LAYOUT = Layout(("I1",), ("C1",), True)


def _parse(table, layout=LAYOUT, **options):
  batch = pa.table(table).combine_chunks().to_batches()[0]
  block = Block("a.parquet", 1, 0, b"", batch.num_rows, batch)
  return parsing.parse(block, layout, **options)


def _tuples(rows):
  columns = [array.to_pylist() for array in rows.categorical]
  return list(zip(rows.labels.tolist(), rows.numeric[:, 0].tolist(), *columns))


def _of(labels, integers, strings, layout=LAYOUT):
  return _parse({"C1": strings, "label": labels, "I1": integers}, layout)


def test_columns_are_taken_by_name_and_nulls_are_missing():
  rows = _parse(
    {
      "C1": ["a", None, ""],
      "other": [1.5, 2.5, 3.5],
      "I1": pa.array([7, None, -3], pa.int8()),
      "label": [True, False, True],
    }
  )
  assert _tuples(rows) == [(1, 7, b"a"), (0, MISSING, b""), (1, -3, b"")]
  assert rows.bad == ()


@pytest.mark.parametrize(
  "integers, wanted",
  [
    (pa.array([5, None], pa.uint64()), [5, MISSING]),
    (pa.array([5.0, float("nan")]), [5, MISSING]),
    (pa.array([5.0, None], pa.float32()), [5, MISSING]),
    (pa.array([None, None]), [MISSING, MISSING]),
    (pa.array([2**40, -(2**40)]), [LARGEST, -LARGEST]),
    (pa.array([-(2**63), 2**63 - 1]), [MISSING, LARGEST]),
  ],
)
def test_integers_of_every_type(integers, wanted):
  rows = _of([0, 1], integers, ["a", "b"])
  assert rows.numeric[:, 0].tolist() == wanted


@pytest.mark.parametrize(
  "strings, wanted",
  [
    (pa.array(["é", None]), ["é".encode(), b""]),
    (pa.array([b"\xff", b"a"]), [b"\xff", b"a"]),
    (pa.array(["a", "b"], pa.large_string()), [b"a", b"b"]),
    (pa.array(["a", None]).dictionary_encode(), [b"a", b""]),
    (pa.array([b"ab", b"cd"], pa.binary(2)), [b"ab", b"cd"]),
    (pa.array([-7, None], pa.int16()), [b"-7", b""]),
    (pa.array([True, None]), [b"1", b""]),
    (pa.array([None, None]), [b"", b""]),
  ],
)
def test_strings_of_every_type(strings, wanted):
  rows = _of([0, 1], [1, 2], strings)
  assert rows.categorical[0].to_pylist() == wanted


@pytest.mark.parametrize(
  "labels", [[0, 1], [0.0, 1.0], ["0", "1"], [False, True], [b"0", b"1"]]
)
def test_labels_of_every_type(labels):
  assert _of(labels, [1, 2], ["a", "b"]).labels.tolist() == [0, 1]


def test_labels_with_names_of_their_own():
  layout = dataclasses.replace(LAYOUT, label_values=("no", "yes"))
  rows = _of(["yes", "no", "1"], [1, 2, 3], ["a", "b", "c"], layout)
  assert rows.labels.tolist() == [1, 0]
  assert rows.bad[0].reason == "label is '1', not no or yes"


@pytest.mark.parametrize(
  "labels, integers, strings, reason, text",
  [
    ([1, 2], [1, 1], ["a", "b"], "label is '2', not 0 or 1", b"2\t1\tb"),
    ([1, None], [1, 1], ["a", "b"], "label is '', not 0 or 1", b"\t1\tb"),
    ([1, 0.5], [1, 1], ["a", "b"], "label is '0.5', not", b"0.5\t1\tb"),
    ([1, 1], [1, 1.5], ["a", "b"], "I1 is '1.5', not an int", b"1\t1.5\tb"),
    ([1, 1], [1, 1e19], ["a", "b"], "I1 is '1e+19', not", b"1\t1e+19\tb"),
    (
      [1, 1],
      pa.array([1, 2**63], pa.uint64()),
      ["a", "b"],
      "I1 is '9223372036854775808', not an integer of 64 bits",
      b"1\t9223372036854775808\tb",
    ),
    ([1, 1], [1, 1], ["a", "b\n"], r"C1 is 'b\n', which no", b"1\t1\tb\\n"),
    ([1, 1], [1, 1], ["a", "\0"], r"C1 is '\x00', which no", b"1\t1\t\\0"),
    ([1, 1], [1, 1], ["a", "\r"], r"C1 is '\r', which no line", b"1\t1\t\\r"),
    ([1, 1], [1, 1], ["a", "\tb"], r"C1 is '\tb', which no", b"1\t1\t\\tb"),
  ],
)
def test_a_bad_row_is_named_with_its_reason(
  labels, integers, strings, reason, text
):
  rows = _of(labels, integers, strings)
  assert _tuples(rows) == [(1, 1, b"a")]
  assert rows.lines.tolist() == [0]
  (bad,) = rows.bad
  assert (bad.path, bad.line, bad.text) == ("a.parquet", 2, text)
  assert bad.reason.startswith(reason)


def test_too_many_bad_rows_end_the_search():
  table = {"label": [5] * 9, "I1": [1] * 9, "C1": ["a"] * 9}
  rows = _parse(table, most_bad=3)
  assert (len(rows.lines), len(rows.bad)) == (0, 4)
  assert len(_parse(table).bad) == 9


@pytest.mark.parametrize(
  "name, values, said",
  [
    ("I1", ["1"], "'I1' should be of integers, is of string"),
    ("C1", [1.5], "'C1' should be of strings or integers, is of double"),
    ("C1", [["a"]], "'C1' should be of strings or integers, is of list"),
  ],
)
def test_a_column_of_a_wrong_type_is_named(name, values, said):
  table = {"label": [1], "I1": [1], "C1": ["a"]} | {name: values}
  with pytest.raises(InputError, match=f"a.parquet: column {said}"):
    _parse(table)


def test_a_parquet_file_without_the_label_is_to_be_scored(tmp_path):
  path = str(tmp_path / "a.parquet")
  pq.write_table(pa.table({"C1": ["a"], "I1": [5]}), path)
  found = layouts.detect([path], LAYOUT)
  assert not found.has_label
  (rows,) = parsing.read([path], found)
  assert _tuples(rows) == [(-1, 5, b"a")]
  pq.write_table(pa.table({"C1": ["a"]}), path)
  with pytest.raises(InputError, match=r"a.parquet should have a column 'I1'"):
    layouts.detect([path], LAYOUT)


VALUES = st.text(st.sampled_from('ab€\t\r\n\0"\\'), max_size=3)


@settings(deadline=None, max_examples=200)
@given(
  rows=st.lists(
    st.tuples(
      st.sampled_from([0, 1, 1, 2, -1]),
      st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
      VALUES,
    ),
    min_size=1,
    max_size=6,
  )
)
def test_a_row_is_judged_as_it_would_be_as_a_line(rows):
  labels, integers, strings = zip(*rows)
  found = _of(labels, pa.array(integers, pa.int64()), strings)
  alone = []
  for label, integer, string in rows:
    line = f"{label}\t{'' if integer is None else integer}\t{string}\n"
    if set("\r\n").isdisjoint(string):
      text = parsing.parse(Block("a", 1, 0, line.encode(), 1), LAYOUT)
      alone.append(_tuples(text))
    else:  # it makes two lines of it, or is taken for the end of one
      alone.append([])
  assert _tuples(found) == [row for rows in alone for row in rows]
  assert found.lines_in == len(rows)
  bad = [1 + i for i, good in enumerate(alone) if not good]
  assert [b.line for b in found.bad] == bad
  assert found.lines.dtype == np.int64
