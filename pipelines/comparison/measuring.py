"""What finished arms are worth: their entries of the report."""

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import config
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import comparison
from ctr_codistill.evaluation import curves
from ctr_codistill.evaluation import differences
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation import runs
from ctr_codistill.evaluation.curves import Line
from pipelines import taught
from pipelines.comparison import arms as arms_
from pipelines.comparison import costs
from pipelines.comparison import running
from pipelines.comparison.arms import Arm
from pipelines.comparison.running import Folder
from pipelines.comparison.running import Seen


@dataclasses.dataclass(frozen=True)
class Finished:
  """The finished arms of a comparison.

  Attributes:
    folder: of their repeats.
    arms: all arms of the file, by name, finished or not.
    experiments: what each finished repeat was trained with, by its name.
    seen: of the same trainings.
    forwards: cost of each of their models for one example.
    validation: shards to score with.
  """

  folder: Folder
  arms: Mapping[str, Arm]
  experiments: Mapping[str, config.Experiment]
  seen: Mapping[str, Seen]
  forwards: Mapping[config.Model, int]
  validation: pathlib.Path


def finished(
  arms: Sequence[Arm],
  folder: Folder,
  experiments: Mapping[str, config.Experiment],
  data: pathlib.Path,
) -> Finished:
  """Gathers what was seen of the trainings in `experiments`, of `data`."""
  schema = schemas.read(data)
  models = {
    model for one in experiments.values() for model in costs.models(one)
  }
  return Finished(
    folder,
    {arm.name: arm for arm in arms},
    experiments,
    {
      name: running.seen(folder, name, one.groups)
      for name, one in experiments.items()
    },
    {model: costs.forward(model, schema) for model in models},
    data / prepared.VALIDATION,
  )


def entries(
  arms: Sequence[Arm], all_: Finished, *, first: str, target: float | None
) -> list[dict[str, Any]]:
  """Returns the entries of arms whose repeats are all finished.

  Args:
    arms: a mean's members are finished too.
    all_: what there is.
    first: name of the arm that the others are measured against; where it is
      not among `arms`, they are measured against nothing.
    target: a log loss, None without "steps to".
  """
  compared = [_compared(arm, all_) for arm in arms]
  named = {arm.name: found for arm, found in zip(arms, compared)}
  against = named.get(first)
  whole = None
  if against:
    whole = (_mean(_trainings(all_, first)), _serving(all_, first))
  return [
    _entry(arm, all_, found, against, whole, target)
    for arm, found in zip(arms, compared)
  ]


def mean_curve(all_: Finished, arm: Arm) -> Line:
  """Returns the validation log loss of an arm, mean over its repeats."""
  lines = [
    all_.seen[name].curve
    for name in arms_.run_names(arm)
    if name in all_.seen and all_.seen[name].curve[0]
  ]
  return curves.mean(lines)


def final_loss(all_: Finished, arm: Arm) -> float | None:
  """Returns the last validation log loss of an arm, mean over its repeats."""
  lines = [
    all_.seen[name].curve for name in arms_.run_names(arm) if name in all_.seen
  ]
  ends = [losses[-1] for _, losses in lines if losses]
  return _mean(ends) if ends else None


def _compared(arm: Arm, all_: Finished) -> comparison.Comparison:
  names = arms_.run_names(arm)
  paths = [all_.folder.predictions(name) for name in names]
  for repeat, path in enumerate(paths if arm.mean_of else ()):
    members = arms_.members(arm, repeat, all_.arms[arm.mean_of])
    if arm.of_weights:
      running.score_merged(all_.folder, members[0], all_.validation, path)
    else:
      runs.mean([all_.folder.predictions(name) for name in members], path)
  found = comparison.compare(paths)
  if found.qualities is None:
    raise InputError(f"{paths[0]} should have labels, has none")
  return found


def _entry(
  arm: Arm,
  all_: Finished,
  found: comparison.Comparison,
  against: comparison.Comparison | None,
  whole: tuple[float, float] | None,
  target: float | None,
) -> dict[str, Any]:
  measures, extra = _watched(arm, all_, target)
  if whole:
    own = _trainings(all_, arm.name)
    measures["training_cost"] = [cost / whole[0] for cost in own]
    served = _serving(all_, arm.name) / whole[1]
    measures["serving_cost"] = [served] * arm.repeats
  entry = report.arm(
    arm.name,
    found.qualities,
    found.churn,
    is_refreshed=arm.refresh > 0,
    measures=measures,
    served=arm.members if arm.mean_of else 1,
    **extra,
  )
  if against is None or against is found:
    return entry | {"difference": None, "worse": ""}
  first = next(iter(all_.arms.values()))
  difference = differences.of(_runs(first, against), _runs(arm, found))
  worse = differences.verdict(difference)
  return entry | {"difference": difference, "worse": worse}


def _runs(arm: Arm, found: comparison.Comparison) -> differences.Runs:
  return report.runs(
    arm.seeds, found.qualities, found.churn, is_refreshed=arm.refresh > 0
  )


def _watched(
  arm: Arm, all_: Finished, target: float | None
) -> tuple[dict[str, list[float]], dict[str, Any]]:
  """Returns what only trainings have: their rate, taught steps, steps to.

  The share of taught steps is told of arms that are to learn from somebody: a
  peer that came too late leaves a single model under another name.
  """
  if not arm.experiments:
    return {}, {}
  names = arms_.run_names(arm)
  seen = [all_.seen[name] for name in names]
  rates = [sum(one.rates) for one in seen]
  found = {"examples_per_second": [rate for rate in rates if rate == rate]}
  if taught.learns(all_.experiments[names[0]], running.SERVED_GROUP):
    shares = [one.taught for one in seen]
    found["taught_steps"] = [share for share in shares if share is not None]
  if target is None:
    return found, {}
  steps = [curves.steps_to(one.curve, target) for one in seen]
  found["steps_to"] = [count for count in steps if count is not None]
  return found, {"steps_to_reached": len(found["steps_to"])}


def _trainings(all_: Finished, name: str) -> list[float]:
  """Returns the multiply-adds of each repeat's training, with its sources'."""
  arm = all_.arms[name]
  return [_training(all_, arm, repeat) for repeat in range(arm.repeats)]


def _training(all_: Finished, arm: Arm, repeat: int) -> float:
  source, total = all_.arms.get(arm.source), 0.0
  if source:
    names = arms_.run_names(source)
    for name in arms_.members(arm, repeat, source):
      total += _training(all_, source, names.index(name))
  if not arm.experiments:
    return total
  name = arms_.run_name(arm.name, repeat)
  teachers = [_served(source)] * arm.members if arm.teachers_of else []
  return total + costs.training(
    all_.experiments[name],
    all_.seen[name].steps,
    all_.forwards,
    tuple(teachers),
  )


def _serving(all_: Finished, name: str) -> float:
  """Returns the multiply-adds of what an arm serves, for one example."""
  arm = all_.arms[name]
  if arm.mean_of:
    return arm.members * _serving(all_, arm.mean_of)
  return all_.forwards[_served(arm)]


def _served(arm: Arm) -> config.Model:
  return config.for_group(arm.experiments[0], running.SERVED_GROUP).model


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values)
