"""What narrow weights cost: bytes, time, log loss and churn against float32."""

import time
from typing import Any

import numpy as np
import tensorflow as tf

from ctr_codistill import stamped
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.exporting import judging
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting.raw_rows import RawRows
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.trust.demands import Demands

_BATCHES = (1, 32, 1024)
_TURNS = 20


def cost(
  wide: str,
  narrow: str,
  rows: str,
  folder: str,
  *,
  layout: Layout | None = None,
  demands: Demands,
) -> dict[str, Any]:
  """Returns what is different of two snapshots of the same model.

  Args:
    wide: directory of the snapshot as it was trained.
    narrow: with narrow weights.
    rows: raw files or shards, with labels.
    folder: for files of predictions.
    layout: of raw files; None is Criteo's form with the models' features.
    demands: what both must show.
  """
  found = judging.compare(
    wide, narrow, rows, folder, layout=layout, demands=demands
  )
  old, new = found.comparison.qualities
  sent = raw_rows.read(rows, wide, max(_BATCHES), layout)
  values = {name: one.value for name, one in found.measures.items()}
  return {
    "on": rows,
    "bytes": stamped.size(narrow),
    "bytes of float32": stamped.size(wide),
    "log loss": new.log_loss,
    "log loss of float32": old.log_loss,
    "churn, mean absolute": values["mean_absolute"],
    "churn, largest": values["maximum"],
    "time of a batch, over float32": _ratios(wide, narrow, sent, demands),
  }


def _ratios(
  wide: str, narrow: str, rows: RawRows, demands: Demands
) -> dict[str, float]:
  """Returns by rows of a batch how much longer `predict_ids` takes."""
  sent = rows.inputs("predict_ids")
  both = [Snapshot(path, demands).predict_ids for path in (wide, narrow)]
  found = {}
  for batch in _BATCHES:
    inputs = {name: tf.constant(v[:batch]) for name, v in sent.items()}
    taken = np.array(
      [[_seconds(one, inputs) for one in both] for _ in range(_TURNS)]
    )
    slow, fast = np.median(taken[:, 1]), np.median(taken[:, 0])
    found[str(batch)] = float(slow / fast)
  return found


def _seconds(signature: Any, inputs: dict[str, tf.Tensor]) -> float:
  start = time.perf_counter()
  signature(**inputs)["probability"].numpy()
  return time.perf_counter() - start
