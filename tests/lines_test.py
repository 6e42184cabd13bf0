import gzip
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo.raw import lines
from ctr_codistill.errors import InputError

SETTINGS = settings(deadline=None, max_examples=60)


def _file(directory, text, name="a.tsv"):
  path = directory / name
  path.write_bytes(text)
  return str(path)


@SETTINGS
@given(
  texts=st.lists(
    st.text("ab\n\r", min_size=1, max_size=40), min_size=1, max_size=3
  ),
  size=st.integers(1, 50),
)
def test_blocks_are_the_whole_input_in_whole_lines(
  tmp_path_factory, texts, size
):
  directory = tmp_path_factory.mktemp("in")
  paths = [
    _file(directory, text.encode(), f"{i}.tsv") for i, text in enumerate(texts)
  ]
  found = list(lines.blocks(paths, size))
  row = 0
  for path, text in zip(paths, texts):
    blocks = [block for block in found if block.path == path]
    assert b"".join(block.text for block in blocks) == text.encode()
    line = 1
    for block in blocks:
      assert (block.line, block.row) == (line, row)
      ended = block.text.removesuffix(b"\n")
      assert block.lines == ended.count(b"\n") + 1
      line, row = line + block.lines, row + block.lines
    assert all(block.text.endswith(b"\n") for block in blocks[:-1])
  assert lines.count(paths) == row


def test_gzip_is_told_by_its_first_bytes(tmp_path):
  path = _file(tmp_path, gzip.compress(b"a\nb\n") + gzip.compress(b"c"))
  assert b"".join(b.text for b in lines.blocks([path], 2)) == b"a\nb\nc"
  assert lines.count([path]) == 3


def test_a_truncated_gzip_is_an_error_and_named(tmp_path):
  text = b"".join(b"%d\n" % i for i in range(20000))
  whole = gzip.compress(text)
  path = _file(tmp_path, whole[:-20], "cut.gz")
  with pytest.raises(
    InputError, match=r"cut.gz is a damaged gzip: it ends before"
  ):
    lines.count([path])
  with pytest.raises(
    InputError, match=r"cut.gz is a damaged gzip: it ends before"
  ):
    list(lines.blocks([path], 1000))


def test_a_broken_gzip_is_an_error_and_named(tmp_path):
  whole = bytearray(gzip.compress(b"abc\n" * 1000))
  whole[-6] ^= 255  # in the checksum
  with pytest.raises(
    InputError, match=r"bad.gz is a damaged gzip: .*data check"
  ):
    lines.count([_file(tmp_path, whole, "bad.gz")])
  with pytest.raises(InputError, match=r"c.gz is no gzip: .*b'a"):
    lines.count([_file(tmp_path, b"a\nb\n", "c.gz")])


def _zstd(text):
  return pa.compress(text, codec="zstd", asbytes=True)


def test_zstd_is_told_by_its_first_bytes(tmp_path):
  path = _file(tmp_path, _zstd(b"a\nb\n") + _zstd(b"c"))
  assert b"".join(b.text for b in lines.blocks([path], 2)) == b"a\nb\nc"
  assert lines.count([path]) == 3


def test_a_truncated_or_broken_zstd_is_an_error_and_named(tmp_path):
  whole = _zstd(b"".join(b"%d\n" % (i * 7919) for i in range(90000)))
  for cut in (len(whole) - 1, len(whole) // 2, 5):
    path = _file(tmp_path, whole[:cut], "cut.zst")
    with pytest.raises(InputError, match=r"cut.zst is a damaged zstd: it ends"):
      lines.count([path])
  path = _file(tmp_path, whole + b"junk", "odd.zst")
  with pytest.raises(InputError, match=r"odd.zst is a damaged zstd: .*frame"):
    list(lines.blocks([path], 1000))
  with pytest.raises(InputError, match=r"c.zst is no zstd: .*b'a"):
    lines.count([_file(tmp_path, b"a\nb\n", "c.zst")])


def test_a_header_is_no_line_of_its_file(tmp_path):
  one = _file(tmp_path, b"x,y\n1,2\n3,4\n", "one.csv")
  two = _file(tmp_path, lines.BOM + b"x,y\r\n5,6", "two.csv")
  none = _file(tmp_path, b"x,y", "none.csv")
  for size in (1, 6, 100):
    found = list(lines.blocks([one, none, two], size, header=True))
    assert b"".join(b.text for b in found) == b"1,2\n3,4\n5,6"
    assert found[0].line == found[-1].line == 2
    assert found[-1].row == 2
  assert lines.count([one, none, two], header=True) == 3


def test_rows_of_parquet_are_numbered_as_lines(tmp_path):
  path = str(tmp_path / "a.parquet")
  pq.write_table(pa.table({"x": range(40_000)}), path, row_group_size=25_000)
  text = _file(tmp_path, b"1\n2\n", "b.tsv")
  found = list(lines.blocks([text, path]))
  assert lines.count([text, path]) == 40_002 == sum(b.lines for b in found)
  assert (found[1].line, found[1].row) == (1, 2)
  for before, after in itertools.pairwise(found[1:]):
    assert after.line == before.line + before.lines
    assert after.row == before.row + before.lines
  assert found[-1].batch["x"][-1].as_py() == 39_999


def test_a_truncated_or_altered_parquet_is_an_error_and_named(tmp_path, flip):
  path = tmp_path / "a.parquet"
  values = pa.table({"x": [i * 7919 for i in range(9000)]})
  pq.write_table(values, path, write_page_checksum=True)
  whole = path.read_bytes()
  path.write_bytes(whole[:-100])
  with pytest.raises(InputError, match=r"a.parquet as parquet: .*not found"):
    lines.count([str(path)])
  path.write_bytes(whole)
  flip(path)
  with pytest.raises(InputError, match=r"a.parquet as parquet: .*CRC"):
    list(lines.blocks([str(path)]))


def test_a_byte_order_mark_is_dropped_only_at_a_files_start(tmp_path):
  mark = lines.BOM
  path = _file(tmp_path, mark + b"a\n" + mark + b"b\n")
  assert [b.text for b in lines.blocks([path], 3)] == [b"a\n", mark + b"b\n"]
  assert lines.first_line(path) == b"a"


def test_files_are_found_in_order(tmp_path):
  two = _file(tmp_path, b"2", "b.tsv")
  one = _file(tmp_path, b"1", "a.tsv")
  assert lines.find(str(tmp_path / "*.tsv")) == [one, two]
  assert lines.find([two, one]) == [two, one]


def test_what_a_pattern_matches_beside_logs_is_left_out_and_said(
  tmp_path, caplog
):
  (tmp_path / "sub").mkdir()
  none = pa.table({"x": pa.array([], pa.int64())})
  pq.write_table(none, tmp_path / "none.parquet")
  for name, text in [
    *(("_SUCCESS", b""), ("_temporary", b"x\n"), (".a.crc", b"crc\n")),
    ("p.parquet.quarantine.tsv", b"a.tsv\t1\tempty line\t\n"),
    *(("empty.tsv", b""), ("e.gz", gzip.compress(b"")), ("m.tsv", lines.BOM)),
  ]:
    _file(tmp_path, text, name)
  pattern = str(tmp_path / "*")
  with pytest.raises(InputError, match=r"no file with rows: .*_SUCCESS \(beg"):
    lines.find(pattern)
  logs = [_file(tmp_path, b"1\n", "a.tsv"), _file(tmp_path, b"2", "z.tsv")]
  assert lines.find(pattern) == lines.find(pattern) == logs
  (said,) = [record.getMessage() for record in caplog.records]
  assert f"input {pattern!r}: 8 of 10 skipped: {tmp_path}/_SUCCESS (be" in said
  assert said.endswith(f"{tmp_path}/e.gz (empty), ...")
  # Whoever names them means them.
  marked = str(tmp_path / "_*")
  assert lines.find(marked) == [str(tmp_path / "_temporary")]
  for name in ("_SUCCESS", "empty.tsv", "none.parquet"):
    assert lines.find(str(tmp_path / name)) == [str(tmp_path / name)]


def test_a_file_whose_name_is_a_pattern_is_found_by_it(tmp_path):
  own = _file(tmp_path, b"1\n", "a[1].tsv")
  assert lines.find(own) == [own]


def test_what_is_not_there_is_named(tmp_path):
  with pytest.raises(InputError, match=r"'.*/x\*' matches no file"):
    lines.find(str(tmp_path / "x*"))
  with pytest.raises(InputError, match="should be a file, is a directory"):
    lines.find(str(tmp_path))
  for name, text in (("empty.tsv", b""), ("e.gz", b""), ("bom.tsv", lines.BOM)):
    with pytest.raises(InputError, match=f"{name} is empty"):
      lines.count([_file(tmp_path, text, name)])
  with pytest.raises(InputError, match=r"gone.tsv: No such file"):
    lines.count([str(tmp_path / "gone.tsv")])


def test_a_file_without_newlines_does_not_fill_the_memory(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(lines, "LONGEST_LINE", 100)
  path = _file(tmp_path, b"a" * 150)
  with pytest.raises(InputError, match="line of more than 100 bytes"):
    list(lines.blocks([path], 10))
