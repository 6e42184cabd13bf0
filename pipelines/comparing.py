"""A comparison of arms: train what is missing, score, report."""

import functools
import json
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from ctr_codistill.codistill import exchange
from ctr_codistill.criteo import prepared
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import curves
from ctr_codistill.evaluation import predict
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.training import workdir
from pipelines import arms as arms_
from pipelines import processes
from pipelines.arms import Arm
from pipelines.display import Display
from pipelines.processes import Plan

SERVED_GROUP = 0


def run(
  arms: Sequence[Arm],
  *,
  data: pathlib.Path,
  output: pathlib.Path,
  limit: int,
  truth: str | None,
) -> str:
  """Trains and scores what is missing, writes the report; returns its table.

  Args:
    arms: what to compare; the first is what the others are measured against.
    data: directory that prepare wrote.
    output: directory for everything that is made.
    limit: worker processes at once; 0 means as many as cores.
    truth: predictions of the model that made the clicks, None if unknown.

  Raises:
    InputError: a training failed, or a file does not fit.
  """
  start = time.monotonic()
  _train(arms, data, output, limit or os.cpu_count() or 1)
  found = [_scored(arm, output) for arm in arms]
  best = _best_log_loss(data, truth) if truth else None
  page = report.arms_report(
    found,
    output,
    title="Quality and churn",
    text=_described(data),
    best_log_loss=best,
    curves={"validation log loss": _curves(arms, output)},
    facts={"seconds": round(time.monotonic() - start, 1)},
  )
  return f"{report.arms_text(found, best_log_loss=best)}\n\n{page}"


def _train(
  arms: Sequence[Arm], data: pathlib.Path, output: pathlib.Path, limit: int
) -> None:
  plans = [
    Plan(
      arms_.run_name(arm.name, repeat),
      experiment,
      _workdir(output, arm, repeat),
    )
    for arm in arms
    for repeat, experiment in enumerate(arm.experiments)
  ]
  missing = [plan for plan in plans if not _is_scored(plan, data, output)]
  print(f"{len(missing)} of {len(plans)} trainings to do", flush=True)
  processes.run_all(
    missing,
    data,
    Display(),
    limit=limit,
    done=functools.partial(_score, data, output),
  )


def _is_scored(plan: Plan, data: pathlib.Path, output: pathlib.Path) -> bool:
  """Tells whether a plan was trained, on these data, and predicted with.

  Raises:
    InputError: what was trained under its name is another experiment.
  """
  began = (plan.workdir / workdir.EXPERIMENT).exists()
  processes.check(plan.experiment, data, plan.workdir)
  return began and _predictions(output, plan.name).exists()


def _score(data: pathlib.Path, output: pathlib.Path, plan: Plan) -> None:
  """Predicts the validation rows with the served model of a finished run."""
  folder = exchange.folder(plan.workdir, SERVED_GROUP)
  step = exchange.latest(folder)
  if step is None:
    raise InputError(f"{folder} should have a snapshot, has none")
  target = _predictions(output, plan.name)
  target.parent.mkdir(parents=True, exist_ok=True)
  predict.run(
    predict.Predictor(Snapshot(folder / str(step))),
    str(data / prepared.VALIDATION),
    target,
  )


def _scored(arm: Arm, output: pathlib.Path) -> dict[str, Any]:
  """Returns the report's entry of an arm whose trainings are all scored."""
  paths = [
    _predictions(output, arms_.run_name(arm.name, repeat))
    for repeat in range(arm.repeats)
  ]
  if arm.mean_of:
    for repeat, path in enumerate(paths):
      first = repeat * arm.members
      members = range(first, first + arm.members)
      runs.mean(
        [_predictions(output, arms_.run_name(arm.mean_of, m)) for m in members],
        path,
      )
  found = comparison.compare(paths)
  if found.qualities is None:
    raise InputError(f"{paths[0]} should have labels, has none")
  served = arm.members or 1
  return report.arm(arm.name, found.qualities, found.churn, served=served)


def _best_log_loss(data: pathlib.Path, truth: str) -> float:
  """Returns the log loss of the true probabilities on the validation rows."""
  first = json.loads((data / prepared.SUMMARY).read_text())["rows_train"]
  total = Quality.empty()
  for batch in predictions.iterate(truth):
    rows = batch[int(max(first - batch.example[0], 0)) :]
    if len(rows):
      total = total.merge(Quality.of(rows.probability, rows.label))
  return total.log_loss


def _curves(
  arms: Sequence[Arm], output: pathlib.Path
) -> dict[str, tuple[list[int], list[float]]]:
  found = {}
  for arm in arms:
    for repeat in range(len(arm.experiments)):
      group = workdir.group_folder(_workdir(output, arm, repeat), SERVED_GROUP)
      line = curves.read(group / "events", "validation/log_loss")
      found[f"{arm.name} {repeat}"] = line
  return {name: line for name, line in found.items() if line[0]}


def _described(data: pathlib.Path) -> str:
  summary = json.loads((data / prepared.SUMMARY).read_text())
  return (
    f"Trained on {summary['rows_train']:,} rows of click logs, measured on the "
    f"{summary['rows_validation']:,} rows that came after them. Churn is "
    "between independent trainings, never between the groups of one."
  )


def _workdir(output: pathlib.Path, arm: Arm, repeat: int) -> pathlib.Path:
  return output / "runs" / arms_.run_name(arm.name, repeat)


def _predictions(output: pathlib.Path, name: str) -> pathlib.Path:
  return output / "predictions" / f"{name}.parquet"
