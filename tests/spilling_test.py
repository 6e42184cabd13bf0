import collections

import numpy as np
import pyarrow as pa
import pytest

from ctr_codistill.criteo.preparing import counting
from ctr_codistill.criteo.preparing import spilling
from ctr_codistill.criteo.preparing.counting import Counts
from ctr_codistill.criteo.preparing.tally import Tally


def _table(values, counts):
  columns = [pa.array(values, pa.binary()), pa.array(counts, pa.int64())]
  return pa.table(columns, schema=spilling.TYPE)


def _pairs(tables):
  return [(row["value"], row["count"]) for t in tables for row in t.to_pylist()]


def test_a_run_has_each_value_once_in_order(tmp_path):
  path = tmp_path / "a.arrow"
  size = spilling.write(_table([b"b", b"a", b"b"], [1, 2, 3]), path)
  assert path.stat().st_size == size
  found = _pairs(spilling.merged([path], _table([], [])))
  assert found == [(b"a", 2), (b"b", 4)]


def test_runs_and_memory_are_summed(tmp_path):
  spilling.write(_table([b"a", b"c"], [1, 2]), tmp_path / "0")
  spilling.write(_table([b"b", b"c"], [3, 4]), tmp_path / "1")
  spilling.write(_table([], []), tmp_path / "2")
  paths = [tmp_path / name for name in "012"]
  found = _pairs(spilling.merged(paths, _table([b"d", b"a", b"d"], [5, 6, 7])))
  assert sorted(found) == [(b"a", 7), (b"b", 3), (b"c", 6), (b"d", 12)]


@pytest.mark.parametrize("batch_rows", [1, 3, 1000])
def test_no_value_is_split_over_two_parts(tmp_path, monkeypatch, batch_rows):
  monkeypatch.setattr(spilling, "_BATCH_ROWS", batch_rows)
  random, expected, paths = np.random.default_rng(0), collections.Counter(), []
  for run in range(5):
    values = [b"%x" % v for v in random.integers(0, 90, 60)] + [b"", b"\xff"]
    expected.update(values)
    paths.append(tmp_path / str(run))
    spilling.write(_table(values, [1] * len(values)), paths[-1])
  values = [b"%x" % v for v in random.integers(0, 200, 60)]
  expected.update(values)
  found = _pairs(spilling.merged(paths, _table(values, [1] * 60)))
  assert len(found) == len(expected)
  assert dict(found) == expected


def test_a_full_disk_leaves_no_run(tmp_path, full_disk):
  table = _table([b"%d" % i for i in range(999)], [1] * 999)
  with full_disk(1000), pytest.raises(OSError, match="File too large"):
    spilling.write(table, tmp_path / "a")
  assert list(tmp_path.iterdir()) == []


def _block(values):
  table = _table(values, [1] * len(values))
  return Counts(len(values), np.array([[1], [2], [3]], object), (table,))


def _tally(folder, most_bytes, **kept):
  kept = {"start": counting.nothing(1, 1)} | kept
  return Tally(["C1"], folder, most_bytes=most_bytes, threads=1, **kept)


def test_values_are_spilled_when_even_once_each_they_take_too_much(tmp_path):
  tally = _tally(tmp_path / "runs", 200)
  # The same value again and again needs no disk.
  assert not any(tally.add(_block([b"same"])) for _ in range(100))
  blocks = iter(range(100))
  while not tally.add(_block([b"new%d" % next(blocks)])):
    pass
  tally.spill()
  assert tally.runs == 1
  assert tally.spilled_bytes == sum(
    path.stat().st_size for path in (tmp_path / "runs").iterdir()
  )
  assert tally.counts.bytes == 0
  tally.add(_block([b"same"]))
  assert (b"same", 101) in _pairs(tally.values(0))
  assert tally.counts.rows == 101 + next(blocks)


def test_a_tally_goes_on_from_its_runs(tmp_path):
  tally = _tally(tmp_path, 1)
  assert tally.add(_block([b"a", b"b"]))
  tally.spill()
  other = _tally(
    tmp_path, 1, start=tally.counts, runs=1, spilled_bytes=tally.spilled_bytes
  )
  other.add(_block([b"b"]))
  other.spill()
  assert _pairs(other.values(0)) == [(b"a", 1), (b"b", 2)]
  assert other.counts.rows == 3
  assert other.counts.moments.tolist() == [[2], [4], [6]]
  assert other.spilled_bytes > tally.spilled_bytes
