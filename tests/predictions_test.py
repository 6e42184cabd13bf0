import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.predictions import Batch


def _batch(start, stop, *, labels=True):
  example = np.arange(start, stop)
  label = example % 2 if labels else None
  return Batch(example, example / 1000, label)


def _write(path, rows=10, **changes):
  """Writes a file as others may: through Arrow, with columns replaced."""
  columns = {
    "example": pa.array(range(rows), pa.int64()),
    "probability": pa.array([i / 100 for i in range(rows)], pa.float64()),
    "label": pa.array([i % 2 for i in range(rows)], pa.int8()),
  } | changes
  table = pa.table({n: c for n, c in columns.items() if c is not None})
  pq.write_table(table, path, row_group_size=4)
  return path


def test_what_is_written_is_read_back_across_batches(tmp_path):
  path = tmp_path / "new" / "p.parquet"
  rows = predictions.write(path, [_batch(0, 3), _batch(3, 3), _batch(3, 10)])
  assert rows == 10 == predictions.count(path)
  found = predictions.read(path)
  assert np.array_equal(found.example, np.arange(10))
  assert np.array_equal(
    found.probability, (np.arange(10) / 1000).astype(np.float32)
  )
  assert np.array_equal(found.label, np.arange(10) % 2)


def test_the_columns_have_the_types_that_others_rely_on(tmp_path):
  path = tmp_path / "p.parquet"
  predictions.write(path, [_batch(0, 3)])
  schema = pq.read_schema(path)
  assert schema.names == ["example", "probability", "label"]
  assert schema.types == [pa.int64(), pa.float32(), pa.int8()]
  column = pq.ParquetFile(path).metadata.row_group(0).column(1)
  assert column.compression == "ZSTD"


def test_without_labels_there_is_no_column_for_them(tmp_path):
  path = tmp_path / "p.parquet"
  predictions.write(path, [_batch(0, 3, labels=False)])
  assert pq.read_schema(path).names == ["example", "probability"]
  assert predictions.read(path).label is None


def test_no_rows_make_an_empty_file(tmp_path):
  path = tmp_path / "p.parquet"
  assert predictions.write(path, []) == 0
  assert len(predictions.read(path)) == 0


def test_small_batches_share_a_row_group(tmp_path):
  path = tmp_path / "p.parquet"
  predictions.write(path, (_batch(i, i + 5) for i in range(0, 1000, 5)))
  assert pq.ParquetFile(path).metadata.num_row_groups == 1


def test_a_writer_that_fails_leaves_the_file_before_it_and_nothing_else(
  tmp_path,
):
  path = tmp_path / "p.parquet"
  predictions.write(path, [_batch(0, 3)])

  def broken():
    yield _batch(0, 5)
    raise OSError("disk gone")

  with pytest.raises(OSError, match="disk gone"):
    predictions.write(path, broken())
  assert predictions.count(path) == 3
  assert [f.name for f in tmp_path.iterdir()] == ["p.parquet"]


def test_a_nan_of_the_model_is_not_written(tmp_path):
  path = tmp_path / "p.parquet"
  bad = Batch(np.array([3, 4]), np.array([0.5, math.nan]))
  batches = [_batch(0, 3, labels=False), bad]
  with pytest.raises(InputError, match=r"p.parquet, row 4: .*\[0, 1\], is nan"):
    predictions.write(path, batches)
  assert not list(tmp_path.iterdir())


def test_batches_with_and_without_labels_do_not_mix(tmp_path):
  batches = [_batch(0, 3), _batch(3, 5, labels=False)]
  with pytest.raises(ValueError, match="'label'"):
    predictions.write(tmp_path / "p.parquet", batches)


def test_columns_of_different_lengths_are_no_batch():
  with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
    Batch(np.arange(3), np.zeros(2))


_WRONG = {
  "nan": (
    {"probability": pa.array([0.1] * 7 + [math.nan] * 3)},
    r"row 7: probability should be in \[0, 1\], is nan",
  ),
  "above 1": (
    {"probability": pa.array([0.1] * 9 + [1.25])},
    r"row 9: probability should be in \[0, 1\], is 1.25",
  ),
  "null": (
    {"probability": pa.array([0.1] * 5 + [None] * 5)},
    "row 5: probability is empty",
  ),
  "twice": (
    {"example": pa.array([0, 1, 2, 3, 3, 5, 6, 7, 8, 9])},
    "row 4: example should be .* each once, is 3",
  ),
  "unsorted": (
    {"example": pa.array([1, 0, 2, 3, 4, 5, 6, 7, 8, 9])},
    "row 1: example should be .* ascending, .* is 0",
  ),
  "negative": (
    {"example": pa.array(range(-1, 9))},
    "row 0: example should be 0 or more, .* is -1",
  ),
  "label": (
    {"label": pa.array([0] * 6 + [7] * 4)},
    "row 6: label should be 0 or 1, is 7",
  ),
  "missing": (
    {"probability": None},
    "should have a column 'probability', has example, label",
  ),
  "text": (
    {"example": pa.array(list("abcdefghij"))},
    "column 'example' should hold integers, holds string",
  ),
}


@pytest.mark.parametrize("changes, message", _WRONG.values(), ids=_WRONG)
def test_a_wrong_file_is_refused_with_row_and_value(tmp_path, changes, message):
  path = _write(tmp_path / "wrong.parquet", **changes)
  with pytest.raises(InputError, match=f"wrong.parquet.*{message}"):
    list(predictions.iterate(path, chunk_rows=4))


def test_what_is_no_parquet_is_refused(tmp_path):
  path = tmp_path / "p.parquet"
  path.write_text("example,probability\n")
  with pytest.raises(InputError, match=r"p\.parquet should be a parquet file"):
    predictions.count(path)


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
  with pytest.raises(InputError, match=r"gone\.parquet does not exist"):
    predictions.count(tmp_path / "gone.parquet")
  with pytest.raises(InputError, match="should be a parquet file"):
    predictions.count(tmp_path)


def test_a_torn_file_is_refused(tmp_path):
  path = tmp_path / "p.parquet"
  rng = np.random.default_rng(0)
  predictions.write(path, [Batch(np.arange(5000), rng.random(5000))])
  whole = bytearray(path.read_bytes())
  whole[100:9000] = b"\0" * 8900
  path.write_bytes(whole)
  with pytest.raises(InputError, match=r"p\.parquet"):
    predictions.read(path)
