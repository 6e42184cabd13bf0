"""What a model card says of where a model is from, read from files."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.report import plain
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
  return {"of": path, **_head(found)}


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
  found: Judgement | None,
  rows: str | None,
  old: str | os.PathLike | None,
  report: str | None = None,
) -> dict[str, Any] | None:
  """Returns what was compared, its churn and verdicts; None if nothing was.

  Args:
    found: of a model and the one in place.
    rows: that both were asked about.
    old: directory of the version in place.
    report: the `churn.json` of that, where it was written.
  """
  if not found or old is None:
    return None
  value = plain(facts.json_value(found.found))
  return {
    "against": int(pathlib.Path(old).name),
    "on": rows,
    "report": report,
    **_head(value),
    "verdicts": [verdict.line for verdict in found.verdicts],
  }


def experiment(snapshot: str) -> dict[str, Any] | None:
  """Returns the `experiment.json` of the run that a snapshot lies in, or None.

  Snapshots lie in RUN/exchange/group-I/STEP.
  """
  parents = pathlib.Path(os.path.abspath(snapshot)).parents
  path = parents[min(2, len(parents) - 1)] / _EXPERIMENT
  return _json(path) if path.is_file() else None


def _head(churn: Mapping[str, Any]) -> dict[str, Any]:
  """Returns of a `churn.json` what is short."""
  kept = ("interval_runs", "interval_examples", "quality", "flips")
  return {
    name: value
    for name, value in churn.items()
    if name in kept or not isinstance(value, list | dict)
  }


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
