"""Arms beside each other: quality and churn, as JSON, a table and one page.

An arm is one way to train (a single model, a codistilled pair, ...), repeated
independently; it is worth what it costs in log loss and saves in churn, so the
report never shows one without the other.
"""

import math
import os
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ctr_codistill import stamped
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation import page
from ctr_codistill.evaluation import pictures
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.metrics import Quality
from ctr_codistill.evaluation.page import Section

Arm = Mapping[str, Any]
Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]

_QUALITIES = ("log_loss", "auc", "normalized_entropy", "calibration")
_SHORT = {
  "norm. entropy": "NE",
  "calibration": "calib.",
  "against first": "change",
}
_MEASURES = (
  "Churn: mean |p − q| over the same examples between two independent"
  " trainings of one served model (Anil et al. 2018), and, relative, the mean"
  " of 2|p − q| / (p + q) (Shamir & Lin 2022); lower is better. Against first:"
  " change of the mean |p − q| against the first arm of the table."
  "\n\nLog loss: mean −ln of the probability given to what happened, in nats;"
  " lower is better. AUC: share of pairs of a click and another example that"
  " are ranked rightly; higher is better. Norm. entropy: log loss / that of"
  " always predicting the click rate (He et al. 2014); lower is better."
  " Calibration: clicks predicted / clicks that came; 1 is right. Means over"
  " the repeats, ± half of the 95 % interval over repeats (Student's for"
  " quality, a jackknife over trainings for churn)."
)


def arm(
  name: str,
  qualities: Sequence[Quality],
  churn: Churn | None,
  **extra: Any,
) -> dict[str, Any]:
  """Returns one entry of `report.json`.

  Args:
    name: of the arm.
    qualities: one a repeat; ratios are averaged over them. At least one.
    churn: between the repeats; None where there is just one.
    **extra: further keys; JSON values.
  """
  found = {m: [getattr(q, m) for q in qualities] for m in _QUALITIES}
  return {
    "name": name,
    "repeats": len(qualities),
    **{measure: _mean(values) for measure, values in found.items()},
    "churn": {
      "mean_absolute": churn.mean_absolute if churn else None,
      "relative": churn.mean_relative if churn else None,
    },
    "interval": {
      **{m: intervals.of_mean(values) for m, values in found.items()},
      "churn": _churn_intervals(churn) if churn else None,
    },
    **extra,
  }


def _churn_intervals(churn: Churn) -> dict[str, intervals.Interval]:
  named = {"mean_absolute": "mean_absolute", "relative": "mean_relative"}
  return {
    name: intervals.of_pairs([getattr(p, m) for p in churn.pairs], churn.runs)
    for name, m in named.items()
  }


def arms_table(
  arms: Sequence[Arm], *, best_log_loss: float | None = None
) -> pd.DataFrame:
  """Returns the arms' measures as cells that read well, one row an arm.

  Args:
    arms: see `arm`.
    best_log_loss: of the model that made the clicks, if it is known; adds a
      column of what each arm is above it.
  """
  first = _churn(arms[0])
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
      "churn": number(_churn(one), "#.3g") + _half(_churn_interval(one)),
      "relative": percent(one["churn"]["relative"]),
      "against first": "" if one is arms[0] else _change(_churn(one), first),
    }
    if best_log_loss is not None:
      above = _float(one["log_loss"]) - best_log_loss
      row["above best"] = number(above, "+.5f")
    else:
      del row["above best"]
    rows.append(row)
  return pd.DataFrame(rows)


def arms_text(
  arms: Sequence[Arm], *, best_log_loss: float | None = None
) -> str:
  """Returns `arms_table` as aligned text for a terminal, with short heads."""
  table = arms_table(arms, best_log_loss=best_log_loss)
  return page.text_table(table.rename(columns=_SHORT))


def arms_report(
  arms: Sequence[Arm],
  output: str | os.PathLike,
  *,
  title: str,
  text: str = "",
  best_log_loss: float | None = None,
  curves: Mapping[str, Lines] | None = None,
  facts: Mapping[str, Any] | None = None,
  sections: Sequence[Section] = (),
) -> pathlib.Path:
  """Writes `report.json` and, beside it, `report.html`; returns the latter.

  Args:
    arms: at least one, see `arm`; churn is compared with that of the first.
    output: directory, made if missing.
    title: of the page.
    text: what was trained on what; plain text, first on the page.
    best_log_loss: of the model that made the clicks, in nats, if known.
    curves: of training, a picture a key: `{"validation log loss": {"single 0":
      (steps, values)}}`.
    facts: further keys of `report.json`; JSON values.
    sections: put last on the page.
  """
  output = pathlib.Path(output)
  output.mkdir(parents=True, exist_ok=True)
  value = {"arms": list(arms), **(facts or {})}
  if best_log_loss is not None:
    value["best_log_loss"] = best_log_loss
  parts = [
    _measures(arms, best_log_loss),
    *_pictures(arms),
    *map(_curve, (curves or {}).items()),
    *sections,
  ]
  stamped.write_json(output / "report.json", plain(value))
  path = output / "report.html"
  stamped.write_text(path, page.page(title, text, parts))
  return path


def plain(value: Any) -> Any:
  """Returns `value` as JSON holds it: lists, dicts, and None for nan."""
  if isinstance(value, Mapping):
    return {str(key): plain(item) for key, item in value.items()}
  if isinstance(value, (list, tuple)):
    return [plain(item) for item in value]
  if hasattr(value, "tolist"):  # numpy's scalars and arrays
    return plain(value.tolist())
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def number(value: float | None, form: str) -> str:
  """Returns `value` in the format `form`; a dash for None and nan."""
  return "–" if math.isnan(_float(value)) else format(value, form)


def percent(share: float | None) -> str:
  """Returns a share as per cent; a dash for None and nan."""
  value = 100 * _float(share)
  return "–" if math.isnan(value) else f"{value:.1f} %"


def _within(one: Arm, measure: str, form: str) -> str:
  interval = one.get("interval", {}).get(measure)
  return number(one[measure], form) + _half(interval)


def _half(interval: Sequence[float] | None) -> str:
  """Returns half the width of an interval as " ± x", "" without one."""
  low, high = interval or intervals.NOTHING
  half = (_float(high) - _float(low)) / 2
  return "" if math.isnan(half) else f" ± {half:.1g}"


def _churn_interval(one: Arm) -> Sequence[float] | None:
  found = one.get("interval", {}).get("churn")
  return found["mean_absolute"] if found else None


def _measures(arms: Sequence[Arm], best_log_loss: float | None) -> Section:
  known = ""
  if best_log_loss is not None:
    known = (
      "\n\nAbove best: the clicks come from a known model, whose own log loss"
      f" on these examples is {best_log_loss:.5f}; none does better but by"
      " chance."
    )
  return Section(
    "Quality and churn",
    table=arms_table(arms, best_log_loss=best_log_loss),
    caption=_MEASURES + known,
  )


def _pictures(arms: Sequence[Arm]) -> list[Section]:
  names = [one["name"] for one in arms]
  values = [_churn(one) for one in arms]
  drawn = [one for one in arms if math.isfinite(_churn(one))]
  if not drawn:
    return []
  points = pictures.trade_off(
    [one["name"] for one in drawn],
    list(map(_churn, drawn)),
    [_float(one["log_loss"]) for one in drawn],
  )
  axis = "churn: mean |p − q| between retrains"
  return [
    Section(
      "Churn against log loss",
      picture=points,
      caption="One point an arm; the grey one is the first of the table. Lower"
      " left is better: less churn at less log loss.",
    ),
    Section(
      "Churn of each arm",
      picture=pictures.bars(names, values, axis),
      caption="In brackets the change against the first arm (dotted line).",
    ),
  ]


def _curve(item: tuple[str, Lines]) -> Section:
  name, lines = item
  return Section(
    f"{name[:1].upper()}{name[1:]} during training",
    picture=pictures.curves(lines, name),
    caption="Over the steps of each group.",
  )


def _churn(one: Arm) -> float:
  return _float(one["churn"]["mean_absolute"])


def _change(value: float, first: float) -> str:
  if not math.isfinite(value) or not first > 0:
    return "–"
  return f"{100 * (value / first - 1):+.0f} %"


def _float(value: float | None) -> float:
  return math.nan if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values)
