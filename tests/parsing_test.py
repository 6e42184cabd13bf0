import numpy as np
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import parsing
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.criteo.raw.lines import Block
from ctr_codistill.criteo.schema import LARGEST
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.errors import InputError

LABELLED = Layout(("I1", "I2"), ("C1",), True)
UNLABELLED = Layout(("I1", "I2"), ("C1",), False)
STRINGS_ONLY = Layout((), ("C1", "C2"), False)


def _parse(text, layout=LABELLED, *, line=1, row=0):
  count = text.count(b"\n") + (not text.endswith(b"\n"))
  return parsing.parse(Block("f.tsv", line, row, text, count), layout)


def _tuples(rows):
  columns = [array.to_pylist() for array in rows.categorical]
  return list(
    zip(
      rows.lines.tolist(),
      rows.labels.tolist(),
      map(tuple, rows.numeric.tolist()),
      zip(*columns),
    )
  )


def test_lines_become_arrays():
  rows = _parse(b"1\t-3\t\tab\n0\t\t7\t\n", row=10)
  assert _tuples(rows) == [
    (10, 1, (-3, MISSING), (b"ab",)),
    (11, 0, (MISSING, 7), (b"",)),
  ]
  assert rows.labels.dtype == rows.numeric.dtype == np.int32
  assert rows.lines.dtype == np.int64
  assert rows.bad == ()


def test_without_a_label_it_is_unknown():
  rows = _parse(b"5\t6\tx", UNLABELLED)
  assert _tuples(rows) == [(0, -1, (5, 6), (b"x",))]


def test_integers_are_clipped_and_never_become_missing():
  rows = _parse(
    b"0\t2147483648\t-2147483648\t\n"
    b"0\t9223372036854775807\t-9223372036854775807\t\n"
    b"0\t-9223372036854775808\t2147483647\t\n"
  )
  # The least int64 stands for missing, as in a served request.
  assert rows.numeric.tolist() == [
    [LARGEST, -LARGEST],
    [LARGEST, -LARGEST],
    [MISSING, LARGEST],
  ]


@pytest.mark.parametrize(
  "line, reason",
  [
    (b"", "empty line"),
    (b"1\t2\t3", "3 columns, expected 4"),
    (b"1\t2\t3\ta\tb", "5 columns, expected 4"),
    (b"1\tabc\t3\ta", "I1 is 'abc', not an integer of 64 bits"),
    (b"1\t2\t1.5\ta", "I2 is '1.5', not an integer of 64 bits"),
    (b"1\t2\t \ta", "I2 is ' ', not an integer of 64 bits"),
    (b"1\t9223372036854775808\t3\ta", "I1 is '9223372036854775808', not"),
    (b"1\t\xff\t3\ta", r"I1 is '\\xff', not"),
    (b"1\t" + b"9" * 50 + b"\t3\ta", "I1 is '" + "9" * 40 + "...', not"),
    (b"2\t2\t3\ta", "label is '2', not 0 or 1"),
    (b"-1\t2\t3\ta", "label is '-1', not 0 or 1"),
    (b"\t2\t3\ta", "label is '', not 0 or 1"),
    (b"\xef\xbb\xbf1\t2\t3\ta", r"label is '\ufeff1', not 0 or 1"),
    (b"1\t2\t3\ta\rb", "carriage return inside the line"),
    (b"1\t2\t3\ta\r\r", "carriage return inside the line"),
    (b"1\t2\t3\ta\0", "NUL byte inside the line"),
  ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_line_is_named_with_its_reason(line, reason, place):
  split = [b"1\t1\t1\ta", b"0\t2\t2\tb"]
  split.insert(place, line)
  rows = _parse(b"\r\n".join(split) + b"\r\n", line=100, row=1000)
  assert rows.numeric.tolist() == [[1, 1], [2, 2]]
  assert rows.lines.tolist() == [1000 + i for i in range(3) if i != place]
  (bad,) = rows.bad
  assert (bad.path, bad.line, bad.text) == ("f.tsv", 100 + place, line)
  assert bad.reason.startswith(reason)
  assert rows.lines_in == 3


def test_a_block_of_bad_lines_has_no_rows():
  rows = _parse(b"x\n\ny\n")
  assert rows.numeric.shape == (0, 2)
  assert len(rows.categorical[0]) == 0
  assert [bad.line for bad in rows.bad] == [1, 2, 3]


def test_the_search_for_bad_lines_ends_one_past_the_limit():
  text = b"1\t1\t1\ta\n" + b"x\n" * 9
  block = Block("f.tsv", 1, 0, text, 10)
  found = parsing.parse(block, LABELLED, 3)
  assert [bad.line for bad in found.bad] == [2, 3, 4, 5]
  assert len(found.lines) == 0
  assert len(parsing.parse(block, LABELLED, 9).lines) == 1


def test_an_empty_line_is_no_row_of_missing_values():
  rows = _parse(b"\n1\t2\ta\n\n\n3\t4\tb\n", UNLABELLED)
  assert rows.lines.tolist() == [1, 4]
  assert [bad.reason for bad in rows.bad] == ["empty line"] * 3


def test_quotes_and_backslashes_are_letters():
  rows = _parse(b'1\t1\t1\t"a\n1\t1\t1\tb"\\\n')
  assert rows.categorical[0].to_pylist() == [b'"a', b'b"\\']


PIECES = b'\t \t \t \t \t 1 0 - 7 a \r \0 " \\ \xef\xbb\xbf \xff 0x1F + .'
PIECES = [*PIECES.split(b" "), b" "]
ODD = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
GOOD = st.sampled_from([b"1\t2\t3\ta", b"0\t\t\t", b"1\t 5 \t-1\t\xff"])
LINES = st.lists(st.one_of(ODD, GOOD, GOOD), min_size=1, max_size=8)


@settings(deadline=None, max_examples=200)
@example([b"\xef\xbb\xbfa\tb", b"a\tb"], "\n", True, STRINGS_ONLY)
@example([b"1\t2\t3\ta", b"\r"], "\n", False, LABELLED)
@example([b"1\t2\t3\ta", b""], "\r\n", False, LABELLED)
@given(
  split=LINES,
  end=st.sampled_from(["\n", "\r\n"]),
  ended=st.booleans(),
  layout=st.sampled_from([LABELLED, UNLABELLED, STRINGS_ONLY]),
)
def test_a_line_is_judged_alike_alone_and_beside_others(
  split, end, ended, layout
):
  end = end.encode()
  text = end.join(split) + end * ended
  if not text or (text.endswith(b"\n") and not ended):
    return  # without its end the last line, being empty, is none
  together = _parse(text, layout)
  ends = [end] * (len(split) - 1) + [end * ended]
  alone = [
    _parse(line + end, layout, line=1 + i, row=i)
    for i, (line, end) in enumerate(zip(split, ends))
  ]
  # One return before a line's end belongs to it.
  assert together.lines_in == len(split)
  assert _tuples(together) == [t for rows in alone for t in _tuples(rows)]
  assert [(b.line, b.reason) for b in together.bad] == [
    (b.line, b.reason) for rows in alone for b in rows.bad
  ]
  assert all(bad.reason != "no row" for bad in together.bad)


def test_files_are_read_in_order_whatever_the_block_and_the_threads(tmp_path):
  for name, start in (("b", 30), ("a", 0)):
    text = "".join(f"1\t{i}\t\tv{i}\n" for i in range(start, start + 30))
    (tmp_path / name).write_text(text.replace("\t7\t", "\tseven\t"))
  paths = lines.find(str(tmp_path / "*"))
  layout = layouts.detect(paths, LABELLED)
  for size in (1, 50, 1 << 20):
    for threads in (1, 3):
      found = list(
        parsing.read(paths, layout, threads=threads, block_bytes=size)
      )
      seen = np.concatenate([rows.lines for rows in found]).tolist()
      assert seen == [i for i in range(60) if i != 7]
      values = np.concatenate([rows.numeric[:, 0] for rows in found])
      assert values.tolist() == seen
      assert [b.line for rows in found for b in rows.bad] == [8]


def _layout(directory, **files):
  for name, text in files.items():
    (directory / name).write_text(text)
  paths = lines.find(str(directory / "*"))
  return layouts.detect(paths, LABELLED)


def test_the_first_line_tells_whether_there_is_a_label(tmp_path):
  assert _layout(tmp_path, a="1\t2\t3\ta\r\n") == LABELLED
  assert LABELLED.columns == 4
  assert _layout(tmp_path, a="2\t3\ta") == UNLABELLED


def test_another_width_is_named(tmp_path):
  with pytest.raises(InputError, match=r"a:1 should have 4 .* or 3 .* has 2"):
    _layout(tmp_path, a="1\t2\n")
  with pytest.raises(
    InputError, match=r"b:1 should have 4 columns as .* has 3"
  ):
    _layout(tmp_path, a="1\t2\t3\ta\n", b="2\t3\ta\n")
  # A later file may begin with a bad line.
  assert _layout(tmp_path, a="1\t2\t3\ta\n", b="\n") == LABELLED


def test_a_file_may_begin_with_a_cut_line(tmp_path):
  good = "1\t2\t3\ta\n"
  for cut in ("a\n", "\n", "2\t3\ta\n"):
    assert _layout(tmp_path, a=cut + 2 * good) == LABELLED
    # The first file of several may hold nothing but it.
    assert _layout(tmp_path, a="a\n", b=cut + 2 * good) == LABELLED
    (tmp_path / "b").unlink()
  _layout(tmp_path, a="a\n" + good)
  (rows,) = parsing.read([str(tmp_path / "a")], LABELLED)
  assert [(bad.line, bad.reason) for bad in rows.bad] == [
    (1, "1 columns, expected 4")
  ]
