import gzip

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from ctr_codistill.criteo import lines
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
  with pytest.raises(InputError, match=r"c.gz is no gzip: .*b'a\\n'"):
    lines.count([_file(tmp_path, b"a\nb\n", "c.gz")])


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
