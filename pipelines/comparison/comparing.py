"""A comparison: search, train what is missing, score, report."""

import dataclasses
import functools
import json
import os
import pathlib
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ctr_codistill import config
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import view
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import arm_tables
from ctr_codistill.evaluation import arms_page
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.page import Section
from pipelines.comparison import arms as arms_
from pipelines.comparison import measuring
from pipelines.comparison import running
from pipelines.comparison import searching
from pipelines.comparison.arms import Arm
from pipelines.comparison.measuring import Finished
from pipelines.comparison.reading import File
from pipelines.comparison.running import Folder
from pipelines.processes import Plan

_SEARCH = (
  "Done before everything else, on the training rows alone: the last share of"
  " them, {holdout:.3g}, judged what was trained on those before. What was"
  " chosen stands below what the arms say themselves; no arm's cost has a part"
  " of it.{end}"
)
_END = (
  " Chosen is the least or largest value tried of {}: beyond it there may be a"
  " better one."
)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """A table for the terminal, and why repeats failed, by their names."""

  text: str
  failed: Mapping[str, str]


def run(
  file: File,
  *,
  data: pathlib.Path,
  output: pathlib.Path,
  limit: int,
  truth: str | None,
) -> Outcome:
  """Trains and scores what is missing, and writes the report.

  Args:
    file: what to compare.
    data: directory that prepare wrote.
    output: directory for everything that is made.
    limit: worker processes at once; 0 means as many as cores.
    truth: predictions of the model that made the clicks, None if unknown.

  Raises:
    InputError: a file does not fit; or not one arm came to its end.
  """
  start = time.monotonic()
  limit = limit or os.cpu_count() or 1
  facts: dict[str, Any] = {}
  if file.search:
    tried = searching.run(file, data, output, limit=limit)
    facts["search"] = searching.facts(file, tried)
    file = file.tuned(facts["search"]["chosen"])
  trained, failed = _train(file.arms, data, Folder(output), limit)
  facts["failed"] = failed
  complete = [arm for arm in file.arms if _is_complete(arm, file, trained)]
  if not complete:
    raise InputError(f"no arm came to its end: {_told(failed)}")
  all_ = measuring.finished(file.arms, Folder(output), trained, data)
  target = _target(file, all_)
  entries = measuring.entries(
    complete, all_, first=file.arms[0].name, target=target
  )
  facts["seconds"] = round(time.monotonic() - start, 1)
  page = arms_page.write(
    entries,
    output,
    title="Quality and churn",
    text=_described(data, complete, failed),
    best_log_loss=_best_log_loss(data, truth) if truth else None,
    target=target,
    curves=_curves(complete, all_),
    facts=facts,
    sections=_sections(facts),
  )
  return Outcome(f"{arm_tables.text(entries)}\n\n{page}", failed)


def _train(
  arms: Sequence[Arm], data: pathlib.Path, folder: Folder, limit: int
) -> tuple[dict[str, config.Experiment], dict[str, str]]:
  """Returns what each finished repeat was trained with, and why others failed.

  Stage by stage: teachers come before those they teach.
  """
  known = {arm.name: arm for arm in arms}
  trained: dict[str, config.Experiment] = {}
  failed: dict[str, str] = {}
  rows = functools.cache(functools.partial(_rows, data, folder))
  for stage in arms_.stages(arms):
    plans = []
    for arm, repeat in [(a, r) for a in stage for r in range(a.repeats)]:
      name = arms_.run_name(arm.name, repeat)
      source = known.get(arm.teachers_of)
      teachers = arms_.members(arm, repeat, source) if source else []
      lost = [teacher for teacher in teachers if teacher not in trained]
      if lost:
        failed[name] = f"its teacher {lost[0]} failed"
        continue
      experiment = arm.experiments[repeat]
      if teachers:
        paths = [running.snapshot(folder, teacher) for teacher in teachers]
        experiment = running.taught(experiment, paths)
      place = rows(arm.refresh if repeat % 2 == 0 else 0.0)
      plans.append(Plan(name, experiment, place, folder.run(name)))
    validation = data / prepared.VALIDATION
    failed |= running.run(plans, folder, validation, limit=limit)
    trained |= {p.name: p.experiment for p in plans if p.name not in failed}
  return trained, failed


def _rows(data: pathlib.Path, folder: Folder, without: float) -> pathlib.Path:
  """Returns prepared data without a share of the last training rows."""
  if not without:
    return data
  target = folder.path / "views" / f"without-{without:g}"
  return view.write(data, target, without=without, holdout=False)


def _is_complete(
  arm: Arm, file: File, trained: Mapping[str, config.Experiment]
) -> bool:
  """Tells whether all that an arm's entry needs was trained."""
  names = arms_.run_names(arm)
  if arm.mean_of:
    source = next(one for one in file.arms if one.name == arm.mean_of)
    of_each = [arms_.members(arm, r, source) for r in range(arm.repeats)]
    names = [name for members in of_each for name in members]
  return all(name in trained for name in names)


def _target(file: File, all_: Finished) -> float | None:
  if not isinstance(file.target, str):
    return file.target
  return measuring.final_loss(all_, all_.arms[file.target])


def _curves(arms: Sequence[Arm], all_: Finished) -> dict[str, Any]:
  """Returns the pictures of curves, none where there is nothing to draw."""
  lines = {arm.name: measuring.mean_curve(all_, arm) for arm in arms}
  found = {name: line for name, line in lines.items() if len(line[0]) > 1}
  return {"validation log loss": found} if found else {}


def _sections(facts: Mapping[str, Any]) -> list[Section]:
  found = [_searched(facts["search"])] if "search" in facts else []
  return found + ([_failures(facts["failed"])] if facts["failed"] else [])


def _told(failed: Mapping[str, str]) -> str:
  return "; ".join(f"{name}: {why}" for name, why in failed.items())


def _searched(search: Mapping[str, Any]) -> Section:
  rows = [
    {
      "point": ", ".join(f"{k} {v}" for k, v in point["values"].items()),
      "log loss on the rows held out": report.number(point["log_loss"], ".5f")
      + report.half(point["interval"]["log_loss"]),
      "chosen": "yes" if point["values"] == search["chosen"] else "",
    }
    for point in search["points"]
  ]
  ends = search["at_an_end"]
  end = _END.format(", ".join(ends)) if ends else ""
  return Section(
    f"The search for {search['arm']}",
    table=pd.DataFrame(rows),
    caption=_SEARCH.format(holdout=search["holdout"], end=end),
  )


def _best_log_loss(data: pathlib.Path, truth: str) -> float:
  """Returns the log loss of the true probabilities on the validation rows."""
  first = running.rows_trained(data)
  total = Quality.empty()
  for batch in predictions.iterate(truth):
    rows = batch[int(max(first - batch.example[0], 0)) :]
    if len(rows):
      total = total.merge(Quality.of(rows.probability, rows.label))
  return total.log_loss


def _failures(failed: Mapping[str, str]) -> Section:
  rows = {"repeat": list(failed), "why it failed": list(failed.values())}
  return Section("Failed", table=pd.DataFrame(rows), prose=True)


def _described(
  data: pathlib.Path, arms: Sequence[Arm], failed: Mapping[str, str]
) -> str:
  summary = json.loads((data / prepared.SUMMARY).read_text())
  parts = [
    f"Trained on {summary['rows_train']:,} rows of click logs, measured on the "
    f"{summary['rows_validation']:,} rows that came after them. Churn is "
    "between independent trainings, never between the groups of one."
  ]
  parts += [
    f"{arm.name}: every second repeat was trained without the last "
    f"{100 * arm.refresh:g} % of the rows, and churn is between one with them "
    "and one without."
    for arm in arms
    if arm.refresh
  ]
  if failed:
    parts.append(f"Failed, and not in the tables: {', '.join(failed)}.")
  return "\n\n".join(parts)
