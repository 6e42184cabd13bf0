"""The entry of an arm in `report.json`, and how its numbers are written.

An arm is one way to train (a single model, a codistilled pair, ...), repeated
independently; it is worth what it costs in log loss and saves in churn, so an
entry never has one without the other, and each with its interval.
"""

import itertools
import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill.evaluation import differences
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.differences import Runs
from ctr_codistill.evaluation.metrics import Quality

Arm = Mapping[str, Any]

_CHURNS = {"mean_absolute": "mean_absolute", "relative": "mean_relative"}


def arm(
  name: str,
  qualities: Sequence[Quality],
  churn: Churn | None,
  *,
  is_refreshed: bool = False,
  measures: Mapping[str, Sequence[float]] | None = None,
  **extra: Any,
) -> dict[str, Any]:
  """Returns one entry of `report.json`.

  Args:
    name: of the arm.
    qualities: one a repeat; ratios are averaged over them. At least one.
    churn: between the repeats; None where there is just one.
    is_refreshed: whether even and odd repeats were trained on other data; then
      only pairs of an even and an odd one count for churn.
    measures: further ones, values of the repeats that have it by its name; they
      are averaged.
    **extra: further keys; JSON values.
  """
  own = {m: [getattr(q, m) for q in qualities] for m in differences.MEASURES}
  values = {**own, **(measures or {})}
  churns, within = _churn(churn, is_refreshed=is_refreshed)
  return {
    "name": name,
    "repeats": len(qualities),
    **{measure: _mean(found) for measure, found in values.items()},
    "churn": churns,
    "interval": {
      **{m: intervals.of_mean(found) for m, found in values.items()},
      "churn": within,
    },
    **extra,
  }


def runs(
  seeds: Sequence[int],
  qualities: Sequence[Quality],
  churn: Churn,
  *,
  is_refreshed: bool,
) -> Runs:
  """Returns what `differences` compares of an arm."""
  return Runs(
    tuple(seeds),
    {m: [getattr(q, m) for q in qualities] for m in differences.MEASURES},
    _pairs(churn, "mean_absolute", is_refreshed=is_refreshed),
    is_refreshed,
  )


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
  return "–" if math.isnan(as_float(value)) else format(value, form)


def alike(form: str, *values: float | None) -> str:
  """Returns the format in which all `values` stand in one notation.

  Args:
    form: of kind g, which writes small numbers as 9.1e-05 and others not.
    *values: that stand beside each other.
  """
  if not form.endswith("g"):
    return form
  if not any("e" in number(value, form) for value in values):
    return form
  head, digits = form[:-1].split(".")
  return f"{head.replace('#', '')}.{int(digits) - 1}e"


def percent(share: float | None) -> str:
  """Returns a share as per cent; a dash for None and nan."""
  value = 100 * as_float(share)
  return "–" if math.isnan(value) else f"{value:.1f} %"


def half(interval: Sequence[float] | None) -> str:
  """Returns half the width of an interval as " ± x", "" without one."""
  low, high = interval or intervals.NOTHING
  width = (as_float(high) - as_float(low)) / 2
  if not math.isfinite(width):
    return ""
  return f" ± {width:,.0f}" if width >= 1 else f" ± {width:.1g}"


def as_float(value: float | None) -> float:
  """Returns `value`, nan for None."""
  return math.nan if value is None else float(value)


def _churn(
  churn: Churn | None, *, is_refreshed: bool
) -> tuple[dict[str, Any], dict[str, intervals.Interval] | None]:
  """Returns the means over pairs and their intervals."""
  if churn is None:
    return dict.fromkeys(_CHURNS), None
  every = range(churn.runs)
  samples = differences.samples(churn.runs, is_refreshed=is_refreshed)
  means, within = {}, {}
  for name, measure in _CHURNS.items():
    pairs = _pairs(churn, measure, is_refreshed=is_refreshed)
    means[name] = intervals.over_pairs(pairs, set(every))
    within[name] = intervals.jackknife(
      lambda kept, pairs=pairs: intervals.over_pairs(pairs, kept), samples
    )
  return means, within


def _pairs(
  churn: Churn, measure: str, *, is_refreshed: bool
) -> dict[tuple[int, int], float]:
  """Returns the pairs that count."""
  every = zip(itertools.combinations(range(churn.runs), 2), churn.pairs)
  return {
    (i, j): getattr(pair, measure)
    for (i, j), pair in every
    if not is_refreshed or (i + j) % 2
  }


def _mean(values: Sequence[float]) -> float:
  return sum(values) / len(values) if values else math.nan
