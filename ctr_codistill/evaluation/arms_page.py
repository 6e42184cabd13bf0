"""Arms beside each other: `report.json`, `report.csv` and one page."""

import math
import os
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import stamped
from ctr_codistill.evaluation import arm_tables
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation import pictures
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.report import Arm

Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]

_QUALITY = (
  "Churn: mean |p − q| over the same examples between two independent"
  " trainings of what is served (Anil et al. 2018), and, relative, the mean"
  " of 2|p − q| / (p + q) (Shamir & Lin 2022); lower is better. Against first:"
  " change of the mean |p − q| against the first arm of the table, with its"
  " interval."
  "\n\nLog loss: mean −ln of the probability given to what happened, in nats;"
  " lower is better. AUC: share of pairs of a click and another example that"
  " are ranked rightly; higher is better. Norm. entropy: log loss / that of"
  " always predicting the click rate (He et al. 2014); lower is better."
  " Calibration: clicks predicted / clicks that came; 1 is right. Means over"
  " the repeats, ± half of the 95 % interval over repeats (Student's for"
  " quality, a jackknife over trainings for churn)."
)
_AGAINST = (
  "Pairs: how many repeats have the same seed as the first arm's, in which case"
  " differences are taken repeat by repeat and over these repeats only; none:"
  " the arms are independent samples (Welch). Is it worse: what the interval of"
  " the log loss's difference shows; not shown: it holds 0, which with few"
  " repeats says little. Churn: the ratio of both arms' churn, from a jackknife"
  " of its logarithm over trainings."
)
_COST = (
  "Training and serving cost: multiply-adds of dense layers, all groups and"
  " teachers together, relative to the first arm; arithmetic, no clock."
  " Examples/s: of all groups, measured while other trainings ran beside."
  " Taught steps: share of the served group's steps in which a teacher counted;"
  " at 0 % it was trained alone."
)
_TARGET = (
  " Steps to target: steps of the served group until its validation log loss"
  " reached {:.5f}, over the repeats that did; the others are in none of it."
)


def write(
  arms: Sequence[Arm],
  output: str | os.PathLike,
  *,
  title: str,
  text: str = "",
  best_log_loss: float | None = None,
  target: float | None = None,
  curves: Mapping[str, Lines] | None = None,
  facts: Mapping[str, Any] | None = None,
  sections: Sequence[Section] = (),
) -> pathlib.Path:
  """Writes `report.json`, `report.csv` and `report.html`; returns the latter.

  Args:
    arms: at least one, see `report.arm`; the others stand beside the first.
    output: directory, made if missing.
    title: of the page.
    text: what was trained on what; plain text, first on the page.
    best_log_loss: of the model that made the clicks, in nats, if known.
    target: log loss of "steps to target", if there is one.
    curves: of training, a picture a key: `{"validation log loss": {"single":
      (steps, values)}}`.
    facts: further keys of `report.json`; JSON values.
    sections: put last on the page.
  """
  output = pathlib.Path(output)
  output.mkdir(parents=True, exist_ok=True)
  value = {"arms": list(arms), **(facts or {})}
  if best_log_loss is not None:
    value["best_log_loss"] = best_log_loss
  if target is not None:
    value["target"] = target
  parts = [
    _quality(arms, best_log_loss),
    *_against(arms),
    *_pictures(arms),
    *_costs(arms, target),
    *map(_curve, (curves or {}).items()),
    *sections,
  ]
  stamped.write_json(output / "report.json", report.plain(value))
  table = arm_tables.flat(arms).to_csv(index=False)
  stamped.write_text(output / "report.csv", table)
  path = output / "report.html"
  stamped.write_text(path, page.page(title, text, parts))
  return path


def _quality(arms: Sequence[Arm], best_log_loss: float | None) -> Section:
  known = ""
  if best_log_loss is not None:
    known = (
      "\n\nAbove best: the clicks come from a known model, whose own log loss"
      f" on these examples is {best_log_loss:.5f}; none does better but by"
      " chance."
    )
  return Section(
    "Quality and churn",
    table=arm_tables.quality(arms, best_log_loss=best_log_loss),
    caption=_QUALITY + known,
  )


def _against(arms: Sequence[Arm]) -> list[Section]:
  table = arm_tables.against(arms)
  if table.empty:
    return []
  heading = f"Against {arms[0]['name']}"
  return [Section(heading, table=table, caption=_AGAINST)]


def _costs(arms: Sequence[Arm], target: float | None) -> list[Section]:
  if not any("training_cost" in one for one in arms):
    return []
  more = "" if target is None else _TARGET.format(target)
  return [
    Section("Cost and speed", table=arm_tables.cost(arms), caption=_COST + more)
  ]


def _pictures(arms: Sequence[Arm]) -> list[Section]:
  names = [one["name"] for one in arms]
  values = [_churn(one) for one in arms]
  drawn = [one for one in arms if math.isfinite(_churn(one))]
  if not drawn:
    return []
  points = pictures.trade_off(
    [one["name"] for one in drawn],
    list(map(_churn, drawn)),
    [report.as_float(one["log_loss"]) for one in drawn],
    churn_within=[_churn_within(one) for one in drawn],
    loss_within=[_within(one, "log_loss") for one in drawn],
  )
  axis = "churn: mean |p − q| between retrains"
  return [
    Section(
      "Churn against log loss",
      picture=points,
      caption="One point an arm, with the 95 % intervals of both over its"
      " repeats; the grey one is the first of the table. Lower left is better:"
      " less churn at less log loss. Paired differences are often surer than"
      " these bars, which hold what both arms have in common.",
    ),
    Section(
      "Churn of each arm",
      picture=pictures.bars(names, values, axis),
      caption="In brackets the bar against the first arm's (dotted line). The"
      " tables' changes are over the repeats that both arms have, where these"
      " are paired.",
    ),
  ]


def _curve(item: tuple[str, Lines]) -> Section:
  name, lines = item
  return Section(
    f"{name[:1].upper()}{name[1:]} during training",
    picture=pictures.curves(lines, name),
    caption="Over the steps of the served group; mean over the repeats.",
  )


def _churn(one: Arm) -> float:
  return report.as_float(one["churn"]["mean_absolute"])


def _churn_within(one: Arm) -> Sequence[float]:
  found = one.get("interval", {}).get("churn") or {}
  return found.get("mean_absolute") or intervals.NOTHING


def _within(one: Arm, measure: str) -> Sequence[float]:
  return one.get("interval", {}).get(measure) or intervals.NOTHING
