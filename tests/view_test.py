import json

import numpy as np
import pytest

from ctr_codistill import stamped
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import view
from ctr_codistill.criteo import vocabularies
from ctr_codistill.errors import InputError


def _rows(directory, split):
  shards = records.open_shards(directory / split, schemas.read(directory))
  return np.concatenate(list(records.read_rows(shards)))


def test_the_last_training_rows_are_those_to_validate_with(
  prepared, rows, tmp_path
):
  found = view.write(prepared, tmp_path / "v", without=0.1, holdout=True)
  assert found == tmp_path / "v"
  np.testing.assert_array_equal(_rows(found, "train"), rows[:207])
  np.testing.assert_array_equal(_rows(found, "validation"), rows[207:])
  assert schemas.read(found) == schemas.read(prepared)
  assert vocabularies.read(found, schemas.read(found)).keys() == {
    "C1",
    "C2",
    "C3",
  }
  said = json.loads((found / "prepare.json").read_text())
  assert (said["rows_train"], said["rows_validation"]) == (207, 23)


def test_without_a_holdout_validation_stays(prepared, rows, tmp_path):
  found = view.write(prepared, tmp_path / "v", without=0.5, holdout=False)
  np.testing.assert_array_equal(_rows(found, "train"), rows[:115])
  np.testing.assert_array_equal(
    _rows(found, "validation"), _rows(prepared, "validation")
  )


def test_a_view_is_written_once_and_is_of_one_kind(prepared, tmp_path):
  found = view.write(prepared, tmp_path / "v", without=0.1, holdout=True)
  before = (found / stamped.MANIFEST).stat().st_mtime_ns
  view.write(prepared, tmp_path / "v", without=0.1, holdout=True)
  assert (found / stamped.MANIFEST).stat().st_mtime_ns == before
  with pytest.raises(InputError, match="is a view of other data"):
    view.write(prepared, tmp_path / "v", without=0.2, holdout=True)
  (found / stamped.MANIFEST).unlink()  # its writer died: it is made anew
  view.write(prepared, tmp_path / "v", without=0.2, holdout=True)
  assert len(_rows(found, "train")) == 184


@pytest.mark.parametrize(("without", "kept"), [(0.001, 230), (0.999, 0)])
def test_a_view_of_all_or_none_is_refused(prepared, tmp_path, without, kept):
  with pytest.raises(InputError, match=f"leaves {kept} of 230 in"):
    view.write(prepared, tmp_path / "v", without=without, holdout=True)
  assert not (tmp_path / "v").exists()
