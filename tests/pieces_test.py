import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.raw import pieces
from ctr_codistill.errors import InputError

TEXTS = {
  "a": b"1\n22\n\n333\r\n4",
  "b": b"\xef\xbb\xbf" + b"x" * 9 + b"\n" * 5,
  "c": b"names\n",
  "d": b"names\n1\n2\n",
}


def _numbered(paths, piece_bytes, *, header=False):
  found = pieces.split(paths, piece_bytes, header=header)
  return pieces.numbered([pieces.counted(p, header=header) for p in found])


def _lines(blocks):
  """Returns each line with its path, its number there and its row."""
  return [
    (block.path, block.line + i, block.row + i, line)
    for block in blocks
    for i, line in enumerate(block.text.removesuffix(b"\n").split(b"\n"))
  ]


@pytest.fixture
def paths(tmp_path):
  for name, text in TEXTS.items():
    (tmp_path / name).write_bytes(text)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text))
  return sorted(map(str, tmp_path.iterdir()))


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 5, 8, 1 << 20])
def test_pieces_hold_each_line_once_with_its_numbers(
  paths, piece_bytes, header
):
  found = _numbered(paths, piece_bytes, header=header)
  whole = list(lines.blocks(paths, header=header))
  assert sum(piece.lines for piece in found) == sum(b.lines for b in whole)
  blocks = [b for p in found for b in pieces.blocks(p, 4, header=header)]
  assert _lines(blocks) == _lines(whole)


def test_text_is_cut_at_the_line_that_holds_the_last_byte(tmp_path):
  path = tmp_path / "a"
  path.write_bytes(b"12\n45\n78\n0")
  cuts = {
    size: [(p.start, p.stop) for p in pieces.split([str(path)], size)]
    for size in (1, 3, 4, 9, 10)
  }
  threes = [(0, 3), (3, 6), (6, 9), (9, 10)]
  assert cuts[1] == cuts[3] == threes
  assert cuts[4] == [(0, 6), (6, 10)]
  assert cuts[9] == [(0, 9), (9, 10)]
  assert cuts[10] == [(0, 10)]


def test_a_file_that_is_given_twice_is_read_twice(tmp_path):
  (tmp_path / "a").write_bytes(b"1\n2\n3\n")
  found = _numbered([str(tmp_path / "a")] * 2, 4)
  assert [(p.line, p.row, p.lines) for p in found] == [
    *((1, 0, 2), (3, 2, 1)),
    *((1, 3, 2), (3, 5, 1)),
  ]


def test_a_parquet_file_is_one_piece(tmp_path):
  pq.write_table(pa.table({"x": list(range(7))}), tmp_path / "a")
  (tmp_path / "b").write_bytes(b"1\n")
  found = _numbered([str(tmp_path / "a"), str(tmp_path / "b")], 1)
  assert [(p.stop, p.lines, p.row) for p in found] == [(None, 7, 0), (2, 1, 7)]
  (block,) = pieces.blocks(found[0])
  assert (block.row, block.lines) == (0, 7)


def test_a_text_without_line_ends_is_named(tmp_path, monkeypatch):
  monkeypatch.setattr(lines, "LONGEST_LINE", 10)
  (tmp_path / "a").write_bytes(b"1\n" + b"x" * 20)
  with pytest.raises(InputError, match=r"a has a line of more than 10 bytes"):
    pieces.split([str(tmp_path / "a")], 5)


def test_a_file_that_became_shorter_is_named(tmp_path):
  path = tmp_path / "a"
  path.write_bytes(b"1\n2\n3\n")
  found = _numbered([str(path)], 1)
  path.write_bytes(b"1\n2\n")
  with pytest.raises(InputError, match=r"a should have 6 bytes as .* at 4"):
    list(pieces.blocks(found[2]))
