"""Repeats: trained where they are missing, scored, and what was seen of them.

A repeat is finished when its predictions are there, which come last; it is
never run again. What was seen of its training is kept beside them, since event
files are slow to read.
"""

import dataclasses
import functools
import json
import pathlib
import statistics
from collections.abc import Sequence
from typing import Any

from ctr_codistill import config
from ctr_codistill import keys
from ctr_codistill import merging
from ctr_codistill import stamped
from ctr_codistill.codistill import exchange
from ctr_codistill.criteo import prepared
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import curves
from ctr_codistill.evaluation import predict
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.training import workdir
from ctr_codistill.trust.demands import Demands
from pipelines import processes
from pipelines.display import Display
from pipelines.processes import Plan
from pipelines.supervising.supervision import Supervise

SERVED_GROUP = 0
_RATE, _LOSS = "examples_per_second", "validation/log_loss"
_WEIGHT = "teacher/weight"


@dataclasses.dataclass(frozen=True)
class Folder:
  """Where the repeats of a comparison, or of its search, lie by their names."""

  path: pathlib.Path

  def run(self, name: str) -> pathlib.Path:
    """Returns the work directory of a repeat."""
    return self.path / "runs" / name

  def predictions(self, name: str) -> pathlib.Path:
    """Returns the file of what its served model predicts."""
    return self.path / "predictions" / f"{name}.parquet"

  def seen(self, name: str) -> pathlib.Path:
    """Returns the file of what was seen of its training."""
    return self.path / "seen" / f"{name}.json"


@dataclasses.dataclass(frozen=True)
class Seen:
  """What was seen of a finished training.

  Attributes:
    steps: of each group.
    rates: examples a second of each group, medians over its run; nan where none
      was logged.
    curve: steps and log losses of the served group's validations.
    taught: share of the served group's steps in which its teacher counted; None
      if that was not looked at.
  """

  steps: tuple[int, ...]
  rates: tuple[float, ...]
  curve: tuple[list[int], list[float]]
  taught: float | None = None


def run(
  plans: Sequence[Plan],
  folder: Folder,
  validation: pathlib.Path,
  *,
  limit: int,
) -> dict[str, str]:
  """Trains and scores what is missing; returns by name why plans failed.

  Args:
    plans: named as in `folder`.
    folder: of the repeats.
    validation: shards to score with.
    limit: worker processes at once.

  Raises:
    InputError: what lies there under a plan's name is another experiment.
  """
  missing = [plan for plan in plans if not _is_finished(plan, folder)]
  print(f"{len(missing)} of {len(plans)} trainings to do", flush=True)
  why: dict[str, str] = {}
  display = Display()

  def failed(plan: Plan, error: InputError) -> None:
    why[plan.name] = str(error)
    display.leave([f"{plan.name} failed: {error}"])

  processes.run_all(
    missing,
    display,
    limit=limit,
    rule=Supervise(),
    done=functools.partial(_score, folder, validation),
    failed=failed,
  )
  return why


def snapshot(folder: Folder, name: str) -> pathlib.Path:
  """Returns the served snapshot of a finished repeat.

  Raises:
    InputError: it has none.
  """
  root = exchange.folder(folder.run(name), SERVED_GROUP)
  step = exchange.latest(root)
  if step is None:
    raise InputError(f"{root} should have a snapshot, has none")
  return root / str(step)


def score_merged(
  folder: Folder, name: str, validation: pathlib.Path, target: pathlib.Path
) -> None:
  """Predicts with the mean of the weights of all groups of a repeat.

  Each time: the arm may have had the weights of another arm before.
  """
  merged = folder.run(name) / "merged"
  if not stamped.is_stamped(merged):
    merging.merge(exchange.newest(folder.run(name)), merged)
  predictor = predict.Predictor(Snapshot(merged))
  predict.run(predictor, str(validation), target)


def taught(
  experiment: config.Experiment, teachers: Sequence[pathlib.Path]
) -> config.Experiment:
  """Returns `experiment` with snapshots added to its fixed teachers.

  Paths are whole ones, so that the same command from elsewhere is the same run.
  """
  own = experiment.codistill
  paths = [str(path.absolute()) for path in teachers]
  own = dataclasses.replace(own, teachers=(*own.teachers, *paths))
  return dataclasses.replace(experiment, codistill=own)


def seen(folder: Folder, name: str, groups: int) -> Seen:
  """Returns what was seen of a finished training of so many groups."""
  path = folder.seen(name)
  if not path.exists():  # it was finished before there was such a file
    _look(folder, name, groups)
  value: dict[str, Any] = json.loads(path.read_text())
  rates = (float("nan") if rate is None else rate for rate in value["rates"])
  return Seen(
    tuple(value["steps"]),
    tuple(rates),
    tuple(value["curve"]),
    value.get("taught"),
  )


def rows_trained(data: pathlib.Path) -> int:
  """Returns how many training rows prepared data have."""
  return json.loads((data / prepared.SUMMARY).read_text())["rows_train"]


def _is_finished(plan: Plan, folder: Folder) -> bool:
  """Tells whether a plan was trained, on these data, and predicted with.

  Raises:
    InputError: what was trained under its name is another experiment.
  """
  claim = plan.workdir / workdir.EXPERIMENT
  is_scored = folder.predictions(plan.name).exists()
  if not is_scored and claim.exists():
    if list(plan.workdir.iterdir()) == [claim]:
      claim.unlink()  # it was checked once, but its turn never came
  began = claim.exists()
  processes.check(plan.experiment, plan.data, plan.workdir)
  return began and is_scored


def _score(folder: Folder, validation: pathlib.Path, plan: Plan) -> None:
  """Predicts with the served model of a run that came to its end."""
  _look(folder, plan.name, plan.experiment.groups)
  target = folder.predictions(plan.name)
  target.parent.mkdir(parents=True, exist_ok=True)
  exchanged = plan.experiment.exchange
  demands = Demands(keys.read(exchanged.key_file), exchanged.allowed_ops)
  path = snapshot(folder, plan.name)
  predictor = predict.Predictor(Snapshot(path, demands))
  predict.run(predictor, str(validation), target)


def _look(folder: Folder, name: str, groups: int) -> None:
  """Writes what event files and progress files say of a run."""
  found: dict[str, Any] = {"steps": [], "rates": []}
  for group in range(groups):
    place = workdir.group_folder(folder.run(name), group)
    progress = json.loads((place / workdir.PROGRESS).read_text())
    lines = curves.read_all(place / "events", (_RATE, _LOSS, _WEIGHT))
    rates = lines[_RATE][1]
    found["steps"].append(progress["step"])
    found["rates"].append(statistics.median(rates) if rates else None)
    if group == SERVED_GROUP:
      found["curve"] = list(lines[_LOSS])
      counted = sum(weight > 0 for weight in lines[_WEIGHT][1])
      found["taught"] = counted / progress["step"]
  folder.seen(name).parent.mkdir(parents=True, exist_ok=True)
  stamped.write_json(folder.seen(name), found)
