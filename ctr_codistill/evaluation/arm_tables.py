"""Tables of arms: cells that read well, and flat numbers for programs."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation.differences import UNSHOWN
from ctr_codistill.evaluation.report import Arm
from ctr_codistill.evaluation.report import as_float
from ctr_codistill.evaluation.report import half
from ctr_codistill.evaluation.report import number
from ctr_codistill.evaluation.report import percent

_NOTHING = "–"
_FLAT = ("served", "steps_to_reached", "worse")


def quality(
  arms: Sequence[Arm], *, best_log_loss: float | None = None
) -> pd.DataFrame:
  """Returns log loss, churn and their like, one row an arm.

  Args:
    arms: see `report.arm`.
    best_log_loss: of the model that made the clicks, if it is known; adds a
      column of what each arm is above it.
  """
  rows = []
  for one in arms:
    row = {
      "arm": one["name"],
      "repeats": str(one["repeats"]),
      "log loss": _within(one, "log_loss", ".5f"),
      "above best": "",
      "AUC": number(one["auc"], ".4f"),
      "norm. entropy": number(one["normalized_entropy"], ".4f"),
      "calibration": number(one["calibration"], ".3f"),
      "churn": number(one["churn"]["mean_absolute"], "#.3g")
      + half(_churn_interval(one)),
      "relative": percent(one["churn"]["relative"]),
      "against first": "" if one is arms[0] else _change(one, "churn"),
    }
    if best_log_loss is not None:
      above = as_float(one["log_loss"]) - best_log_loss
      row["above best"] = number(above, "+.5f")
    else:
      del row["above best"]
    rows.append(row)
  return pd.DataFrame(rows)


def against(arms: Sequence[Arm]) -> pd.DataFrame:
  """Returns the differences to the first arm, one row each other arm."""
  rows = []
  for one in arms:
    if not one.get("difference"):
      continue
    paired = one["difference"]["paired"]
    rows.append(
      {
        "arm": one["name"],
        "pairs": str(paired) if paired else "none",
        "log loss": _moved(one, "log_loss", "+.5f"),
        "is it worse?": one["worse"],
        "AUC": _moved(one, "auc", "+.4f"),
        "norm. entropy": _moved(one, "normalized_entropy", "+.4f"),
        "churn": _change(one, "churn"),
      }
    )
  return pd.DataFrame(rows)


def cost(arms: Sequence[Arm]) -> pd.DataFrame:
  """Returns what each arm costs and how fast it learns, one row an arm."""
  rows = []
  for one in arms:
    row = {
      "arm": one["name"],
      "training cost": number(one.get("training_cost"), ".2f"),
      "serving cost": number(one.get("serving_cost"), ".2f"),
      "examples/s": _within(one, "examples_per_second", ",.0f"),
    }
    if "taught_steps" in one:
      row["taught steps"] = percent(one["taught_steps"])
    if "steps_to_reached" in one:
      row["steps to target"] = _within(one, "steps_to", ",.0f")
      row["reached"] = f"{one['steps_to_reached']} of {one['repeats']}"
    rows.append(row)
  return pd.DataFrame(rows).fillna("")


def text(arms: Sequence[Arm]) -> str:
  """Returns what matters most as aligned text for a terminal."""
  rows = [
    {
      "arm": one["name"],
      "n": str(one["repeats"]),
      "log loss": _within(one, "log_loss", ".5f"),
      "worse?": one.get("worse", "").replace(UNSHOWN, _NOTHING),
      "AUC": number(one["auc"], ".4f"),
      "churn": number(one["churn"]["mean_absolute"], "#.3g")
      + half(_churn_interval(one)),
      "change": "" if one is arms[0] else _change(one, "churn"),
      "train": number(one.get("training_cost"), ".2f"),
      "serve": number(one.get("serving_cost"), ".2f"),
    }
    for one in arms
  ]
  return page.text_table(pd.DataFrame(rows))


def flat(arms: Sequence[Arm]) -> pd.DataFrame:
  """Returns all numbers of all arms, one row an arm, one column a number.

  `churn_relative`, `log_loss_low`, `difference_auc_high`: a measure below its
  table's name; intervals as two columns beside it.
  """
  rows = []
  for one in arms:
    row = {"name": one["name"], "repeats": one["repeats"]}
    row |= {key: one[key] for key in _FLAT if key in one}
    _flatten(one, "", row)
    rows.append(row)
  return pd.DataFrame(rows)


def _flatten(tree: Arm, prefix: str, row: dict[str, Any]) -> None:
  within = tree.get("interval") or {}
  for key, value in tree.items():
    if key == "interval" or (key == "difference" and value is None):
      continue
    if isinstance(value, dict):
      own = within.get(key)
      inner = {"interval": own} if isinstance(own, dict) else {}
      _flatten({**inner, **value}, f"{prefix}{key}_", row)
    elif prefix + key not in row:
      row[prefix + key] = value
      if key in within:
        low, high = within[key]
        row[f"{prefix}{key}_low"], row[f"{prefix}{key}_high"] = low, high


def _within(one: Arm, measure: str, form: str) -> str:
  interval = one.get("interval", {}).get(measure)
  return number(one.get(measure), form) + half(interval)


def _moved(one: Arm, measure: str, form: str) -> str:
  return _within(one["difference"], measure, form)


def _change(one: Arm, measure: str) -> str:
  """Returns a difference that is a share: "-16 % [-22, -9]"."""
  difference = one.get("difference")
  if not difference:
    return _NOTHING
  value = number(100 * as_float(difference[measure]), "+.0f")
  if value == _NOTHING:
    return value
  low, high = difference["interval"].get(measure) or intervals.NOTHING
  ends = [number(100 * as_float(end), "+.0f") for end in (low, high)]
  return f"{value} %" + ("" if _NOTHING in ends else f" [{', '.join(ends)}]")


def _churn_interval(one: Arm) -> Sequence[float] | None:
  found = one.get("interval", {}).get("churn")
  return found["mean_absolute"] if found else None
