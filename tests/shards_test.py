import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation import shards
from ctr_codistill.evaluation.joined import Table
from ctr_codistill.evaluation.predictions import Batch


def _write(path, example, **extra):
  """Writes rows whose probability is a hundredth of the example's number."""
  example = np.asarray(example)
  columns = {
    "example": example,
    "probability": (example / 100).astype(np.float32),
    "label": (example % 2).astype(np.int8),
  }
  path.parent.mkdir(exist_ok=True)
  pq.write_table(pa.table(columns | extra), path, row_group_size=4)
  return path


def _read(path, **options):
  parts = list(shards.iterate(path, **options))
  return Batch(
    *(np.concatenate(c) for c in zip(*(p.columns().values() for p in parts)))
  )


@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
@pytest.mark.parametrize(
  "cut",
  [
    lambda n: n < 11,  # one after the other
    lambda n: n >= 11,  # their names in the other order
    lambda n: n % 3 == 0,  # interleaved
  ],
)
def test_files_give_their_examples_in_order(tmp_path, chunk_rows, cut):
  number = np.arange(20)
  _write(tmp_path / "run" / "a.parquet", number[cut(number)])
  _write(tmp_path / "run" / "b.parquet", number[~cut(number)])
  _write(tmp_path / "run" / "_hidden.parquet", [0])
  for path in (tmp_path / "run", str(tmp_path / "run" / "[ab].parquet")):
    found = _read(path, chunk_rows=chunk_rows)
    assert np.array_equal(found.example, number)
    assert np.array_equal(found.probability, (number / 100).astype(np.float32))
    assert np.array_equal(found.label, number % 2)
    assert shards.count(path) == 20


def test_an_example_in_two_files_is_refused(tmp_path):
  _write(tmp_path / "run" / "a.parquet", [0, 2, 4])
  _write(tmp_path / "run" / "b.parquet", [1, 2, 5])
  with pytest.raises(
    InputError, match=r"b\.parquet: example 2 should be there once.*a\.parquet"
  ):
    _read(tmp_path / "run")


def test_a_place_without_files_is_refused(tmp_path):
  with pytest.raises(InputError, match=r"should have files \*\.parquet"):
    shards.find(tmp_path)
  with pytest.raises(InputError, match=r"x-\*\.parquet should match a file"):
    shards.find(tmp_path / "x-*.parquet")


def test_further_columns_come_with_their_rows(tmp_path):
  _write(tmp_path / "run" / "a.parquet", [0, 3], hour=["x", None])
  _write(tmp_path / "run" / "b.parquet", [1, 2], hour=["y", "z"])
  parts = shards.iterate(tmp_path / "run", extra=["hour"])
  found = [hour for part in parts for hour in part.extra["hour"].to_pylist()]
  assert found == ["x", "y", "z", None]
  with pytest.raises(InputError, match="should have a column 'day'"):
    list(shards.iterate(tmp_path / "run", extra=["day"]))


def test_chunks_are_cut_at_the_same_rows_whatever_the_files(tmp_path):
  one = _write(tmp_path / "one.parquet", np.arange(10))
  _write(tmp_path / "run" / "a.parquet", np.arange(7))
  _write(tmp_path / "run" / "b.parquet", np.arange(7, 10))
  parts = list(aligning.chunks([one, tmp_path / "run"], rows=4))
  assert [len(part) for part in parts] == [4, 4, 2]
  assert [part.example[0] for part in parts] == [0, 4, 8]


@pytest.mark.parametrize("start, stop", [(0, 4), (3, 9), (8, 10), (5, 6)])
def test_rows_of_a_file_are_read_alone(tmp_path, start, stop):
  path = str(_write(tmp_path / "a.parquet", np.arange(10)))
  parts = list(predictions.iterate(path, start=start, stop=stop, chunk_rows=3))
  found = np.concatenate([part.example for part in parts])
  assert np.array_equal(found, np.arange(start, stop))
  (part,) = aligning.even(runs.align_rows([path, path], start, stop), 10)
  assert np.array_equal(part.example, np.arange(start, stop))


def _table(path, example, hour):
  pq.write_table(pa.table({"example": example, "hour": hour}), path)
  return path


def test_a_table_is_joined_by_example(tmp_path):
  path = _table(tmp_path / "t.parquet", [0, 2, 3, 5, 9], list("abcde"))
  table = Table(path, ["hour"], chunk_rows=2)
  assert table.take(np.array([2, 3]))["hour"].to_pylist() == ["b", "c"]
  assert table.take(np.array([9]))["hour"].to_pylist() == ["e"]


def test_a_table_without_an_example_is_refused(tmp_path):
  path = _table(tmp_path / "t.parquet", [0, 2], ["a", "b"])
  for wanted in (1, 3):
    with pytest.raises(InputError, match=f"should have example {wanted}"):
      Table(path, ["hour"]).take(np.array([wanted]))


def test_a_table_out_of_order_is_refused(tmp_path):
  path = _table(tmp_path / "t.parquet", [0, 2, 1], list("abc"))
  with pytest.raises(InputError, match=r"t\.parquet, row 2: example .* is 1"):
    Table(path, ["hour"]).take(np.array([5]))
