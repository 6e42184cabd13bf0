import json
import subprocess
import sys

import numpy as np
import pytest

from ctr_codistill.criteo.raw import layout_files
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import snapshot_runs
from ctr_codistill.snapshots import Snapshot


def test_snapshots_predict_the_examples_first(publish, own_log, tmp_path):
  snapshots = [
    str(publish(tmp_path / name, 7, seed)) for seed, name in enumerate("ab")
  ]
  (examples, layout), output = own_log, tmp_path / "out"
  done = subprocess.run(
    [
      *(sys.executable, "-m", "pipelines.churn"),
      f"--runs={','.join(snapshots)}",
      f"--examples={examples}",
      f"--layout={layout}",
      f"--output={output}",
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  p, q = (
    predictions.read(output / "predictions" / f"{name}-7.parquet").probability
    for name in "ab"
  )
  wanted = tmp_path / "a.parquet"
  predict.run(
    predict.Predictor(Snapshot(snapshots[0])),
    str(examples),
    wanted,
    layout=layout_files.read(str(layout)),
  )
  assert np.array_equal(p, predictions.read(wanted).probability)
  found = json.loads((output / "churn.json").read_text())
  difference = np.abs(p.astype(float) - q)
  assert found["mean_absolute"] == pytest.approx(difference.mean())
  assert found["mean_absolute"] > 0.01


def test_a_file_is_no_snapshot(tmp_path):
  path = tmp_path / "a.parquet"
  path.write_bytes(b"")
  with pytest.raises(InputError, match=r"a\.parquet should be a snapshot's"):
    snapshot_runs.predicted([path], "x", tmp_path)


def test_predictions_are_not_written_over_their_examples(publish, tmp_path):
  snapshots = [publish(tmp_path / name, 7, 1) for name in "ab"]
  examples = tmp_path / "b-7.parquet"
  examples.write_bytes(b"1\n")
  with pytest.raises(InputError, match=r"b-7\.parquet should not be written"):
    snapshot_runs.predicted(snapshots, str(examples), tmp_path)
  assert examples.read_bytes() == b"1\n"
