import json
import re
from concurrent import futures

import numpy as np
import pytest

from ctr_codistill.criteo import records
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

SCHEMA = Schema((Numeric("I1", 0.0, 1.0, ()), Numeric("I2", 0.0, 1.0, ())), ())


def _rows(count):
  return np.arange(3 * count, dtype=np.int32).reshape(count, 3)


def _write(directory, count, *, parts=1, block_rows=4, shard_rows=8, add=0):
  with ShardWriter(
    directory, SCHEMA, block_rows=block_rows, shard_rows=shard_rows
  ) as writer:
    for part in np.array_split(_rows(count) + np.int32(add), parts):
      writer.write(part)
  return records.open_shards(directory, SCHEMA)


def test_a_shard_is_blocks_of_rows_each_with_its_sum(tmp_path):
  shards = _write(tmp_path, 18)
  # 8 + 8 + 2 rows; a full shard is 2 blocks of 4 rows of 3 int32 and 8 bytes.
  assert [s.rows for s in shards.shards] == [8, 8, 2]
  assert [s.bytes for s in shards.shards] == [112, 112, 2 * 3 * 4 + 8]
  assert shards.block_lengths.tolist() == [4, 4, 4, 4, 2]
  assert shards.block_lengths.dtype == np.int64
  assert shards.rows == 18
  assert len(list(tmp_path.iterdir())) == 4  # and the manifest


@pytest.mark.parametrize("parts", [1, 2, 7, 18])
def test_bytes_do_not_depend_on_how_rows_were_given(tmp_path, parts):
  _write(tmp_path / "one", 18)
  _write(tmp_path / "parts", 18, parts=parts)
  for file in (tmp_path / "one").iterdir():
    assert file.read_bytes() == (tmp_path / "parts" / file.name).read_bytes()


def test_blocks_are_read_as_written(tmp_path):
  shards = _write(tmp_path, 18)
  found = [records.read_block(shards, i) for i in range(5)]
  assert found[4].dtype == np.int32
  np.testing.assert_array_equal(np.concatenate(found), _rows(18))


def test_threads_read_at_once(tmp_path):
  shards = _write(tmp_path, 18)
  with futures.ThreadPoolExecutor(4) as pool:
    found = pool.map(lambda i: records.read_block(shards, i % 5), range(500))
    for i, block in enumerate(found):
      first = 4 * (i % 5)
      np.testing.assert_array_equal(block, _rows(18)[first : first + 4])


def test_any_range_of_rows_is_read(tmp_path):
  shards = _write(tmp_path, 18)
  for start in range(19):
    for stop in range(start, 19):
      found = list(records.read_rows(shards, start, stop))
      found = np.concatenate([_rows(0), *found])
      np.testing.assert_array_equal(found, _rows(18)[start:stop])
  assert sum(map(len, records.read_rows(shards))) == 18
  with pytest.raises(IndexError, match="rows 3 to 19 of 18"):
    next(records.read_rows(shards, 3, 19))


def test_no_rows_are_rows_too(tmp_path):
  shards = _write(tmp_path, 0)
  assert shards.rows == 0
  assert list(records.read_rows(shards)) == []
  with pytest.raises(IndexError, match="block 0 of 0"):
    records.read_block(shards, 0)


@pytest.mark.parametrize("place", [0, 20, 48, 55, 56, 100])
def test_a_flipped_bit_is_found_and_named(tmp_path, place):
  shards = _write(tmp_path, 18)
  path = tmp_path / "shard-00001.rows"
  data = bytearray(path.read_bytes())
  data[place] ^= 1
  path.write_bytes(data)
  block = 2 + place // 56  # a block is 4 * 3 * 4 + 8 bytes; 2 are before
  with pytest.raises(InputError, match=f"00001.rows: block {place // 56} "):
    records.read_block(shards, block)
  np.testing.assert_array_equal(records.read_block(shards, 1), _rows(8)[4:])


def test_a_writer_that_fails_leaves_no_manifest(tmp_path):
  with pytest.raises(OSError, match="full"):
    with ShardWriter(tmp_path, SCHEMA, block_rows=4, shard_rows=8) as writer:
      writer.write(_rows(10))
      raise OSError("full")
  with pytest.raises(InputError, match=r"records.json there: No such file"):
    records.open_shards(tmp_path, SCHEMA)


def test_rows_of_another_shape_or_type_are_refused(tmp_path):
  with ShardWriter(tmp_path, SCHEMA) as writer:
    with pytest.raises(ValueError, match=r"\[rows, 3\], are int64 \[2, 3\]"):
      writer.write(_rows(2).astype(np.int64))
    with pytest.raises(ValueError, match=r"are int32 \[2, 2\]"):
      writer.write(_rows(2)[:, :2])
  with pytest.raises(InputError, match="is 10 with block_rows 4"):
    ShardWriter(tmp_path, SCHEMA, block_rows=4, shard_rows=10)


def test_a_missing_directory_is_named(tmp_path):
  with pytest.raises(InputError, match="absent should be a directory"):
    records.open_shards(tmp_path / "absent", SCHEMA)


def test_a_schema_that_does_not_fit_is_refused(tmp_path):
  _write(tmp_path, 18)
  other = Schema((Numeric("I1", 0.0, 1.0, ()), Numeric("I2", 0.0, 2, ())), ())
  with pytest.raises(InputError, match=other.fingerprint):
    records.open_shards(tmp_path, other)


def test_a_shard_of_another_size_or_none_is_named(tmp_path):
  _write(tmp_path, 18)
  path = tmp_path / "shard-00001.rows"
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(InputError, match=r"should have 112 bytes .* has 111"):
    records.open_shards(tmp_path, SCHEMA)
  path.unlink()
  with pytest.raises(InputError, match=r"00001.rows: No such file"):
    records.open_shards(tmp_path, SCHEMA)


@pytest.mark.parametrize(
  "change", [{"version": 2}, {"shards": 3}, {"shards": [{"name": "x"}]}]
)
def test_a_foreign_manifest_is_named(tmp_path, change):
  _write(tmp_path, 18)
  path = tmp_path / "records.json"
  manifest = json.loads(path.read_text()) | change
  path.write_text(json.dumps(manifest))
  with pytest.raises(InputError, match=r"records.json is no manifest"):
    records.open_shards(tmp_path, SCHEMA)


def test_a_shard_that_lost_its_file_after_opening_is_named(tmp_path):
  shards = _write(tmp_path, 18)
  (tmp_path / "shard-00000.rows").unlink()
  with pytest.raises(InputError, match=r"00000.rows: No such file"):
    records.read_block(shards, 0)


def test_a_shard_that_was_cut_after_opening_is_named(tmp_path):
  shards = _write(tmp_path, 18)
  path = tmp_path / "shard-00000.rows"
  path.write_bytes(path.read_bytes()[:76])
  np.testing.assert_array_equal(records.read_block(shards, 0), _rows(4))
  said = r"00000.rows: block 1 should have 56 bytes, has 20"
  with pytest.raises(InputError, match=said):
    records.read_block(shards, 1)


def test_a_block_is_read_where_the_caller_wants_it(tmp_path):
  shards = _write(tmp_path, 18)
  place = np.zeros((18, 3), np.int32)
  for block, first in enumerate((0, 4, 8, 12)):
    records.read_block_into(shards, block, place[first : first + 4])
  records.read_block_into(shards, 4, place[16:])
  np.testing.assert_array_equal(place, _rows(18))


def test_a_digest_is_of_the_rows_and_of_their_order(tmp_path):
  one = records.digest(_write(tmp_path / "a", 18))
  assert one == records.digest(_write(tmp_path / "b", 18, parts=7))
  assert one != records.digest(_write(tmp_path / "c", 17))
  assert one != records.digest(_write(tmp_path / "d", 18, add=1))


def test_shards_whose_digest_was_not_noted_have_the_same(tmp_path):
  shards = _write(tmp_path, 18)
  assert all(len(shard.digest) == 32 for shard in shards.shards)
  path = tmp_path / records.MANIFEST
  manifest = json.loads(path.read_text())
  for item in manifest["shards"]:
    del item["digest"]
  path.write_text(json.dumps(manifest))
  older = records.open_shards(tmp_path, SCHEMA)
  assert not any(shard.digest for shard in older.shards)
  assert records.digest(older) == records.digest(shards)


def test_a_digest_that_is_none_is_named(tmp_path):
  _write(tmp_path, 18)
  path = tmp_path / records.MANIFEST
  text = path.read_text()
  for there, wrong, said in (
    ("..", "xy", "fromhex"),
    ("[0-9a-f]*", "ab", "digest should be of 16 bytes, is 'ab'"),
  ):
    path.write_text(re.sub(f'"digest": "{there}', f'"digest": "{wrong}', text))
    with pytest.raises(
      InputError, match=f"records.json is no manifest.*{said}"
    ):
      records.open_shards(tmp_path, SCHEMA)
