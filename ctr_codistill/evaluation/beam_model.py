"""Snapshots as a model of Apache Beam's RunInference.

Beam is an optional requirement: only what runs by it imports this file.
"""

import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

from apache_beam.ml.inference import base

from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation.input_rows import Rows
from ctr_codistill.evaluation.plans import Task
from ctr_codistill.evaluation.predict import Predictor
from ctr_codistill.evaluation.predict import Scored


@dataclasses.dataclass(frozen=True, eq=False)
class Models:
  """What a worker process loaded; Beam refers to it weakly, as to no tuple."""

  predictors: tuple[Predictor, ...]


class SnapshotHandler(base.ModelHandler[Rows, Scored, Models]):
  """Asks some snapshots about rows; each worker process loads them once.

  An element is thousands of rows already, so elements are not put together.

  Args:
    task: of which snapshots; all workers see their directories and the key.
  """

  def __init__(self, task: Task) -> None:
    super().__init__(min_batch_size=1, max_batch_size=1)
    self._task = task

  def load_model(self) -> Models:
    """Loads the snapshots."""
    return Models(tuple(self._task.predictors()))

  def run_inference(
    self,
    batch: Sequence[Rows],
    model: Models,
    inference_args: dict[str, Any] | None = None,
  ) -> Iterable[Scored]:
    """Returns what the snapshots predict for each of the elements."""
    del inference_args  # there is none
    return [predict.asked(model.predictors, rows) for rows in batch]

  def get_num_bytes(self, batch: Sequence[Rows]) -> int:
    """Returns the bytes of the rows, for Beam's own figures."""
    return sum(a.nbytes for rows in batch for a in rows.encoded.values())


def inference(task: Task) -> base.RunInference:
  """Returns a transform of (key, `Rows`) to (key, `Scored`)."""
  handler = base.KeyedModelHandler(SnapshotHandler(task))
  return base.RunInference(handler)
