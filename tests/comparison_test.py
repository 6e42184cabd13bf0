import numpy as np
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.predictions import Batch


def _write(path, probability, label=None):
  probability = np.asarray(probability, np.float32)
  batch = Batch(np.arange(len(probability)), probability, label)
  predictions.write(path, [batch])
  return path


def _runs(folder, rows=300_000, labels=True):
  rng = np.random.default_rng(0)
  probability = rng.random((2, rows)).astype(np.float32)
  label = rng.integers(0, 2, rows) if labels else None
  paths = [folder / "a.parquet", folder / "b.parquet"]
  for path, row in zip(paths, probability):
    _write(path, row, label)
  return paths, probability.astype(np.float64), label


def test_files_give_what_their_arrays_give(tmp_path):
  paths, probability, label = _runs(tmp_path)
  done = []
  found = comparison.compare(paths, thresholds=(0.2,), progress=done.append)
  wanted = Churn.of(probability, thresholds=(0.2,))
  assert found.churn.mean_absolute == pytest.approx(wanted.mean_absolute)
  assert np.array_equal(found.churn.flip_shares, wanted.flip_shares)
  for quality, row in zip(found.qualities, probability):
    assert quality.to_dict() == pytest.approx(Quality.of(row, label).to_dict())
  assert found.names == ("a", "b")
  # More than one chunk, and every row reported once.
  assert len(done) > 1
  assert sum(done) == 300_000


def test_without_labels_there_is_no_quality(tmp_path):
  paths, _, _ = _runs(tmp_path, rows=10, labels=False)
  assert comparison.compare(paths).qualities is None


def test_one_file_is_refused(tmp_path):
  with pytest.raises(InputError, match="at least 2 runs, got 1"):
    comparison.compare([_write(tmp_path / "a.parquet", [0.5])])


def test_one_file_twice_is_refused(tmp_path):
  path = _write(tmp_path / "a.parquet", [0.5])
  link = tmp_path / "b.parquet"
  link.symlink_to(path)
  with pytest.raises(InputError, match=r"b\.parquet should be given once"):
    comparison.compare([path, link])


def test_files_without_rows_are_refused(tmp_path):
  paths = [_write(tmp_path / f"{name}.parquet", []) for name in "ab"]
  with pytest.raises(InputError, match=r"a\.parquet .* has 0 rows"):
    comparison.compare(paths)


def test_a_threshold_out_of_range_is_refused(tmp_path):
  paths, _, _ = _runs(tmp_path, rows=10)
  with pytest.raises(InputError, match=r"in \[0, 1\], is 50"):
    comparison.compare(paths, thresholds=(0.5, 50))


@pytest.mark.parametrize(
  "paths, names",
  [
    (["x/a.parquet", "x/b.parquet"], ("a", "b")),
    (["x/p.parquet", "y/p.parquet"], ("x/p", "y/p")),
    (["x/1/p.parquet", "y/1/p.parquet"], ("x/1/p", "y/1/p")),
  ],
)
def test_runs_have_the_shortest_names_that_tell_them_apart(paths, names):
  assert comparison.names(paths) == names
