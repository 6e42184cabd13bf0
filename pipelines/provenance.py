"""What a model card says of where a model is from, read from files."""

import json
import os
import pathlib
from typing import Any

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.exporting import versions
from ctr_codistill.exporting.judging import Judgement

_EXPERIMENT = "experiment.json"


def churn(path: str | None) -> dict[str, Any] | None:
  """Returns the head of a `churn.json`; None if none is given.

  Raises:
    InputError: it is none.
  """
  if not path:
    return None
  found = _json(path)
  if "mean_absolute" not in found:
    raise InputError(f"{path} should be a churn.json, has no mean_absolute")
  plain = {k: v for k, v in found.items() if not isinstance(v, list | dict)}
  kept = ("interval_runs", "interval_examples", "quality", "flips")
  return {"of": path, **plain, **{k: found[k] for k in kept if k in found}}


def quality(path: str, *, of: str | None = None) -> dict[str, Any]:
  """Returns measures of the predictions at `path`, which are of rows `of`.

  Raises:
    InputError: they have no labels.
  """
  total = Quality.empty()
  for batch in predictions.iterate(path):
    if batch.label is None:
      raise InputError(f"{of or path} should have labels, has none")
    total = total.merge(Quality.of(batch.probability, batch.label))
  return {"of": of or path, **total.to_dict()}


def judged(
  found: Judgement | None, rows: str | None, root: str
) -> dict[str, Any] | None:
  """Returns what was compared, and the verdicts; None if nothing was."""
  if not found:
    return None
  differ = found.found.measures["mean_absolute"].value
  return {
    "against": int(versions.in_place(root).name),
    "on": rows,
    "mean_absolute": differ,
    "verdicts": [verdict.line for verdict in found.verdicts],
  }


def experiment(snapshot: str) -> dict[str, Any] | None:
  """Returns the `experiment.json` of the run that a snapshot lies in, or None.

  Snapshots lie in RUN/exchange/group-I/STEP.
  """
  parents = pathlib.Path(os.path.abspath(snapshot)).parents
  path = parents[min(2, len(parents) - 1)] / _EXPERIMENT
  return _json(path) if path.is_file() else None


def _json(path: str | os.PathLike) -> dict[str, Any]:
  try:
    found = json.loads(places.read_bytes(path))
  except FileNotFoundError:
    raise InputError(f"{path} does not exist") from None
  except ValueError as error:
    raise InputError(f"{path} should be JSON: {error}") from None
  if not isinstance(found, dict):
    raise InputError(f"{path} should be a JSON object, is none")
  return found
