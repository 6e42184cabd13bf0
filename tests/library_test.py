"""The blocks of docs/library.md, run as they stand."""

import pathlib
import re

import numpy as np
import pytest

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "library.md"


def _run(title, **names):
  """Returns the names that the block below a title leaves."""
  section = PAGE.read_text(encoding="utf-8").partition(f"## {title}\n")[2]
  block = re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)
  exec(compile(block, title, "exec"), names)  # noqa: S102
  return names


def test_churn_of_columns():
  found = _run("Churn of columns")
  assert found["churn"] == pytest.approx(0.05)


def test_predictions_of_a_snapshot(publish, servable, prepared, tmp_path):
  path = publish(tmp_path, 1, seed=1)
  found = _run("Predictions of a snapshot", SNAPSHOT=path, DATA=prepared)
  wanted = servable.signatures()["predict_ids"](
    numeric=found["rows"][:, 1:3], categorical=found["rows"][:, 3:]
  )["probability"]
  np.testing.assert_allclose(found["probability"], wanted, rtol=1e-6)
  assert found["quality"].examples == 16


def test_losses_and_courses():
  found = _run("Losses and courses in your own loop")
  # Half of the teacher's term counts at step 30, for the first row alone:
  # z - y, and w T (p - q) at temperature T.
  z, c = np.float64([0.3, -0.2]), 0.1
  wanted = _sigmoid(z) - [0, 1]
  wanted[0] += 0.5 * 2 * (_sigmoid(z[0] / 2) - _sigmoid(c / 2))
  np.testing.assert_allclose(found["gradient"], wanted / 2, rtol=1e-5)


def _sigmoid(x):
  return 1 / (1 + np.exp(-x))
