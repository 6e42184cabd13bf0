import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation.predictions import Batch


def _write(path, rows=10, **changes):
  """Writes rows of 0.00, 0.01, ..., with the labels 0, 1, 0, ..."""
  columns = {
    "example": np.arange(rows),
    "probability": np.arange(rows) / 100,
    "label": np.arange(rows) % 2,
  } | changes
  predictions.write(path, [Batch(**columns)])
  return path


def test_files_cut_differently_are_aligned(tmp_path):
  paths = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
  for path, size in zip(paths, (4, 3)):
    probability = np.arange(10) / (100 * size)
    table = pa.table({"example": np.arange(10), "probability": probability})
    pq.write_table(table, path, row_group_size=size)
  parts = list(runs.align(paths, chunk_rows=3))
  example = np.concatenate([part.example for part in parts])
  probability = np.concatenate([part.probability for part in parts], axis=1)
  assert np.array_equal(example, np.arange(10))
  assert probability.dtype == np.float64
  wanted = [np.arange(10) / 400, np.arange(10) / 300]
  assert np.array_equal(probability, wanted)
  assert max(len(part.example) for part in parts) <= 3


def test_labels_come_from_the_file_that_has_them(tmp_path):
  one = _write(tmp_path / "one.parquet", label=None)
  other = _write(tmp_path / "other.parquet")
  (part,) = runs.align([one, other])
  assert np.array_equal(part.label, np.arange(10) % 2)
  (part,) = runs.align([one, _write(tmp_path / "third.parquet", label=None)])
  assert part.label is None


def test_another_number_of_rows_is_refused(tmp_path):
  paths = [_write(tmp_path / "a.parquet"), _write(tmp_path / "b.parquet", 9)]
  message = "b.parquet .*a.parquet, which has 10 rows; it has 9"
  with pytest.raises(InputError, match=message):
    list(runs.align(paths))


def test_other_examples_are_refused(tmp_path):
  other = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 10])
  paths = [
    _write(tmp_path / "a.parquet"),
    _write(tmp_path / "b.parquet", example=other),
  ]
  message = "b.parquet, row 9: example should be 9 as in .*a.parquet, is 10"
  with pytest.raises(InputError, match=message):
    list(runs.align(paths, chunk_rows=4))


def test_other_labels_are_refused(tmp_path):
  label = np.array([0, 1, 0, 1, 0, 1, 1, 1, 0, 1])
  paths = [
    _write(tmp_path / "a.parquet"),
    _write(tmp_path / "b.parquet", label=label),
  ]
  message = "b.parquet, row 6: label should be 0 as in .*a.parquet, is 1"
  with pytest.raises(InputError, match=message):
    list(runs.align(paths, chunk_rows=4))


def test_the_mean_of_runs_is_a_file_like_theirs(tmp_path):
  for name, value in (("a", 0.25), ("b", 0.75), ("c", 0.5)):
    probability = np.full(10, value)
    _write(tmp_path / f"{name}.parquet", probability=probability)
  output = tmp_path / "mean.parquet"
  paths = [tmp_path / f"{name}.parquet" for name in "abc"]
  assert runs.mean(paths, output) == 10
  found = predictions.read(output)
  assert np.array_equal(found.probability, np.full(10, 0.5, np.float32))
  assert np.array_equal(found.label, np.arange(10) % 2)
