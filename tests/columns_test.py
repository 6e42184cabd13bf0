import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import ctr_codistill
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.predictions import Batch


def _made(rows=5000):
  rng = np.random.default_rng(0)
  p, q = rng.random((2, rows)).astype(np.float32)
  return p, q, rng.integers(0, 2, rows)


def test_columns_of_any_kind_give_the_bits_of_files(tmp_path):
  p, q, label = _made()
  for name, column in (("p", p), ("q", q)):
    batch = Batch(np.arange(5000), column, label)
    predictions.write(tmp_path / f"{name}.parquet", [batch])
  wanted = comparison.compare([tmp_path / "p.parquet", tmp_path / "q.parquet"])
  for kind in (np.array, pd.Series, pa.array):
    found = ctr_codistill.compare_columns(
      {"p": kind(p), "q": kind(q)}, label=kind(label)
    )
    assert found.churn == wanted.churn
    assert found.names == wanted.names


def test_the_columns_of_a_frame_are_slices():
  p, q, _ = _made(6)
  frame = pd.DataFrame({"site": ["a", "a", "b", None, "b", "a"]})
  found = ctr_codistill.compare_columns({"p": p, "q": q}, slices=frame)
  assert found.slicings[0].values == ("a", "b")
  counts = found.churn.counts["slice_examples site"].sum(axis=1)
  assert list(counts) == [3, 2, 0, 1]


@pytest.mark.parametrize(
  "kind",
  [pa.table, pa.RecordBatch.from_pydict, dict, pd.DataFrame],
)
def test_tables_of_any_kind_are_columns_by_name(kind):
  p, q, _ = _made(6)
  runs = kind({"p": p, "q": q})
  slices = kind({"site": np.array([1, 1, 2, 2, 2, 1])})
  found = ctr_codistill.compare_columns(runs, slices=slices)
  assert found.names == ("p", "q")
  counts = found.churn.counts["slice_examples site"].sum(axis=1)
  assert sorted(counts) == [0, 0, 3, 3]


def test_what_is_no_columns_by_name_is_refused():
  p, q, _ = _made(2)
  message = "slices should be columns by name, .* is a Series"
  with pytest.raises(InputError, match=message):
    ctr_codistill.compare_columns({"p": p, "q": q}, slices=pd.Series([1, 2]))


@pytest.mark.parametrize("where", ["q", "label", "example", "site"])
def test_pandas_columns_are_not_compared_past_their_indices(where):
  columns = {
    "q": [0.1, 0.2],
    "label": [0, 1],
    "example": [3, 4],
    "site": [1, 1],
  }
  columns = {n: pd.Series(c, index=[7, 8]) for n, c in columns.items()}
  p = columns["q"].copy()

  def compare(q, label, example, site):
    runs = {"p": p, "q": q}
    return ctr_codistill.compare_columns(
      runs, label=label, example=example, slices={"site": site}
    )

  assert compare(**columns).churn.examples == 2
  columns[where] = columns[where].set_axis([7, 9])
  message = f"{where}, row 1: the index should be 8 as that of p, is 9"
  with pytest.raises(InputError, match=message):
    compare(**columns)


@pytest.mark.parametrize(
  "change, message",
  [
    ({"q": [0.1, np.nan, 0.2]}, "q, row 1: probability .* is nan"),
    ({"q": [0.1, 0.2, 1.5]}, r"q, row 2: .*\[0, 1\], is 1.5"),
    ({"q": [0.1, 0.2]}, "q should have 3 rows, has 2"),
  ],
)
def test_wrong_columns_are_refused_by_name_and_row(change, message):
  runs = {"p": [0.1, 0.2, 0.3], "q": [0.1, 0.2, 0.3]} | change
  with pytest.raises(InputError, match=message):
    ctr_codistill.compare_columns(runs)


def test_an_example_twice_and_a_wrong_label_are_refused():
  runs = {"p": [0.1, 0.2], "q": [0.1, 0.2]}
  with pytest.raises(InputError, match=r"row 1: example .* each once, is 4"):
    ctr_codistill.compare_columns(runs, example=[4, 4])
  with pytest.raises(InputError, match="row 0: label should be 0 or 1, is 2"):
    ctr_codistill.compare_columns(runs, label=[2, 1])
