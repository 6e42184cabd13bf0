"""A search done: its points trained, judged and told."""

import pathlib
from typing import Any

from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import view
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation import predictions
from ctr_codistill.evaluation.metrics import Quality
from pipelines.comparison import arms as arms_
from pipelines.comparison import running
from pipelines.comparison import search as searches
from pipelines.comparison.reading import File
from pipelines.comparison.running import Folder
from pipelines.comparison.search import Tried
from pipelines.comparison.search import Values
from pipelines.processes import Plan


def run(
  file: File, data: pathlib.Path, output: pathlib.Path, *, limit: int
) -> list[Tried]:
  """Returns all points of the file's search, trained where they were not.

  Raises:
    InputError: no point's trainings all ended well.
  """
  search, tried = file.search, {}
  folder = Folder(output / "search")
  held = view.write(
    data,
    output / "views" / f"holdout-{search.holdout:g}",
    without=search.holdout,
    holdout=True,
  )
  rounds, best = searches.rounds(search), None
  try:
    while True:
      points = rounds.send(best)
      print(f"search: {len(points)} points", flush=True)
      for one in _tried(file, points, held, folder, limit):
        tried[searches.name(one.values)] = one
      best = searches.best(list(tried.values())).values
  except StopIteration:
    return list(tried.values())


def facts(file: File, tried: list[Tried]) -> dict[str, Any]:
  """Returns what `report.json` says of a search."""
  chosen = searches.best(tried).values
  return {
    "arm": file.search.arm,
    "holdout": file.search.holdout,
    "points": [
      {
        "values": one.values,
        "log_loss": one.mean if one.log_losses else None,
        "interval": {"log_loss": intervals.of_mean(one.log_losses)},
      }
      for one in tried
    ],
    "chosen": chosen,
    "at_an_end": searches.at_an_end(file.search, chosen),
  }


def _tried(
  file: File,
  points: list[Values],
  held: pathlib.Path,
  folder: Folder,
  limit: int,
) -> list[Tried]:
  arms = [file.point(values) for values in points]
  plans = [
    Plan(name, experiment, held, folder.run(name))
    for arm in arms
    for name, experiment in zip(arms_.run_names(arm), arm.experiments)
  ]
  validation = held / prepared.VALIDATION
  failed = running.run(plans, folder, validation, limit=limit)
  found = []
  for values, arm in zip(points, arms):
    names = arms_.run_names(arm)
    losses = [] if set(names) & set(failed) else names
    found.append(Tried(values, tuple(_loss(folder, name) for name in losses)))
  return found


def _loss(folder: Folder, name: str) -> float:
  total = Quality.empty()
  for batch in predictions.iterate(folder.predictions(name)):
    total = total.merge(Quality.of(batch.probability, batch.label))
  return total.log_loss
