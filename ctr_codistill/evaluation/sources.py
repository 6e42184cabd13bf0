"""What each source adds to churn: entries of `sources.json`, with intervals.

Repeats have no seed in common, so a repeat is what is counted: one training
and one with a single change, a churn a repeat, and Student's interval of their
mean.
"""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation import report
from ctr_codistill.evaluation.comparison import Comparison

Entry = Mapping[str, Any]
MEASURES = ("mean_absolute", "relative", "rms_logit", "equal", "log_loss")
SHARES = ("share", "square_share")


def values(found: Comparison) -> dict[str, float]:
  """Returns the measures of one repeat.

  Args:
    found: a training and the changed one, in this order, with labels.
  """
  (pair,), (base, changed) = found.churn.pairs, found.qualities
  return {
    "mean_absolute": pair.mean_absolute,
    "relative": pair.mean_relative,
    "rms_logit": pair.logit_rms,
    "equal": pair.equal_share,
    "log_loss": changed.log_loss - base.log_loss,
  }


def entry(
  name: str,
  repeats: Sequence[Mapping[str, float]],
  *,
  of: str,
  varied: str,
  whole: Sequence[Mapping[str, float]] | None,
) -> dict[str, Any]:
  """Returns one entry of `sources.json`.

  Args:
    name: of the source.
    repeats: `values` of each; at least two.
    of: the kind of model that is served.
    varied: a sentence on what was varied and what held.
    whole: `repeats` of all sources at once, of the same model and the same
      seeds; None where they are not known.
  """
  columns = {m: [one[m] for one in repeats] for m in MEASURES}
  shares = {
    key: _share(repeats, whole, key) if whole else (math.nan, intervals.NOTHING)
    for key in SHARES
  }
  return {
    "name": name,
    "of": of,
    "varied": varied,
    "repeats": len(repeats),
    **{m: float(np.mean(column)) for m, column in columns.items()},
    **{key: share for key, (share, _) in shares.items()},
    "interval": {
      **{m: intervals.of_mean(column) for m, column in columns.items()},
      **{key: within for key, (_, within) in shares.items()},
    },
    "values": columns,
  }


def flat(entries: Sequence[Entry]) -> pd.DataFrame:
  """Returns `sources.csv`: a row a source, `_low` and `_high` its interval."""
  rows = []
  for one in entries:
    row = {key: one[key] for key in ("name", "of", "repeats")}
    for key in (*MEASURES, *SHARES):
      low, high = one["interval"][key]
      row |= {key: one[key], f"{key}_low": low, f"{key}_high": high}
    rows.append(row | {"varied": one["varied"]})
  return pd.DataFrame(rows)


def table(entries: Sequence[Entry]) -> pd.DataFrame:
  """Returns the table of a page and of the terminal, cells as they read."""
  rows = [
    {
      "source": label(one),
      "n": str(one["repeats"]),
      "churn": _with_half(one, "mean_absolute", ".5f"),
      "share of all": share(one, "share"),
      "of squares": share(one, "square_share"),
      "relative": _with_half(one, "relative", ".4f"),
      "RMS logit": _with_half(one, "rms_logit", ".4f"),
      "equal": report.percent(one["equal"]),
      "log loss": _with_half(one, "log_loss", "+.5f"),
    }
    for one in entries
  ]
  return pd.DataFrame(rows)


def label(one: Entry) -> str:
  """Returns how a source is called beside others."""
  return (
    one["name"] if one["of"] == "single" else f"{one['name']} ({one['of']})"
  )


def share(one: Entry, key: str) -> str:
  """Returns a share of an entry and its interval, in per cent."""
  value, (low, high) = report.as_float(one[key]), one["interval"][key]
  if math.isnan(value):
    return "–"
  ends = f" [{_hundred(low)}, {_hundred(high)}]" if low < high else ""
  return f"{_hundred(value)} %{ends}"


def _hundred(value: float) -> str:
  """Returns 100 times a value, two digits where it is small."""
  whole = 100 * value
  return f"{whole:.0f}" if abs(whole) >= 10 else f"{whole:.2g}"


def _share(
  repeats: Sequence[Mapping[str, float]],
  whole: Sequence[Mapping[str, float]],
  key: str,
) -> tuple[float, intervals.Interval]:
  """Returns a source's part of all, a ratio of means, and its interval.

  Both are of the same repeats, so the jackknife leaves one out of both.
  """
  power, measure = (1, "mean_absolute") if key == "share" else (2, "rms_logit")
  part, total = (
    np.array([one[measure] for one in group]) ** power
    for group in (repeats, whole)
  )

  def ratio(kept: frozenset[int]) -> float:
    rows = sorted(kept)
    below = total[rows].mean() if rows else 0.0
    return float(part[rows].mean() / below) if below else math.nan

  every = range(len(repeats))
  return ratio(frozenset(every)), intervals.jackknife(ratio, [every])


def _with_half(one: Entry, key: str, form: str) -> str:
  text = report.number(one[key], form)
  return text + report.half(one["interval"][key])
