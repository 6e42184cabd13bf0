"""Sums by Apache Beam against those of this process, to the bit."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import aligning
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation.churn import beam_total
from ctr_codistill.evaluation.churn import slicing

pytest.importorskip("apache_beam", reason="Beam is an optional requirement")

_DIRECT = ("--runner=DirectRunner",)
_ROWS = 700


def _write(folder, examples):
  """Writes three runs, whose files are cut differently."""
  rng, paths = np.random.default_rng(0), []
  rows = len(examples)
  for run, size in enumerate((1000, 130, 77)):
    table = pa.table(
      {
        "example": examples,
        "probability": rng.random(rows).astype(np.float32),
        "label": (np.arange(rows) % 3 == 0).astype(np.int8),
        "hour": np.arange(rows) % 5,
      }
    )
    paths.append(folder / f"{run}.parquet")
    pq.write_table(table, paths[-1], row_group_size=size)
  return paths


def _beam(paths, folder, **options):
  return beam_total.compare(
    paths, flags=_DIRECT, folder=folder, rows=100, **options
  )


def test_beam_gives_the_bits_of_one_machine(tmp_path):
  paths = _write(tmp_path, np.arange(_ROWS) * 3)
  cuts = slicing.survey(aligning.columns(paths[0], ["hour"]), slices=3)
  found = _beam(paths, tmp_path / "out", slicings=cuts, thresholds=(0.2,))
  parts = aligning.chunks(paths, ["hour"], rows=100)
  wanted = comparison.total(parts, (0.2,), cuts, threads=2)
  assert found.churn == wanted
  assert found.churn.examples == _ROWS
  assert found.slicings == cuts
  # What passed between the workers is gone.
  assert list((tmp_path / "out").iterdir()) == []


def test_examples_out_of_order_between_pieces_are_refused(tmp_path):
  examples = np.arange(_ROWS)
  examples[100:] -= 1  # the first of the second piece is the last of the first
  with pytest.raises(InputError, match="row 100: example should be above 99"):
    _beam(_write(tmp_path, examples), tmp_path / "out")


def test_a_wrong_value_is_refused_by_file_and_row(tmp_path):
  paths = _write(tmp_path, np.arange(_ROWS))
  table = pq.read_table(paths[1]).to_pandas()
  table.loc[333, "probability"] = np.nan
  pq.write_table(pa.Table.from_pandas(table), paths[1])
  with pytest.raises(InputError, match=r"1\.parquet, row 333: probability"):
    _beam(paths, tmp_path / "out")


def test_tables_and_runs_of_many_files_are_refused(tmp_path):
  paths = _write(tmp_path, np.arange(10))
  with pytest.raises(InputError, match="--table should not come"):
    _beam(paths, tmp_path / "out", table="t.parquet")
  with pytest.raises(InputError, match=r"should be one file .* is 3 files"):
    _beam([tmp_path, paths[0]], tmp_path / "out")
