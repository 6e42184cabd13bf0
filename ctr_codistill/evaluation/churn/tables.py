"""The figures of churn as tables that read well."""

import math

import pandas as pd

from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn.facts import Found
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.churn.slices import Slice
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.intervals import Interval
from ctr_codistill.evaluation.report import alike
from ctr_codistill.evaluation.report import number
from ctr_codistill.evaluation.report import percent

# Of a slice that is shown, if nothing of it is beyond chance.
LEAST_EXAMPLES = 100
_LEAST_RATE = 0.0001  # of a false discovery rate that is told
_RUNS = "95 %: runs"
_WHAT = {
  "mean_absolute": ("mean absolute difference", "#.3g",
    "Mean of |p − q| (Anil et al. 2018): the headline; 0 if a retrain changes"
    " nothing."),
  "relative": ("mean relative difference", "%",
    "Mean of 2|p − q| / (p + q) (Shamir & Lin 2022): weighs small predictions"
    " like large ones; what bids feel."),
  "logit_rms": ("RMS difference of logits", "#.3g",
    "Root of the mean of (logit p − logit q)²: comparable between data of other"
    " click rates; large ones count more."),
  "equal": ("equal predictions", "%",
    "Share of examples with p = q to the last bit; 100 % for a training that"
    " repeats exactly."),
  "shift": ("systematic shift", "#.3g",
    "Size of the mean of p − q: one run predicts more clicks altogether. Near 0"
    " for noise; a biased retrain shows here."),
  "scatter": ("scatter", "#.3g",
    "Standard deviation of p − q: what is left when the shift is taken out."),
  "quantiles": ("of the examples differ by less than", "#.3g",
    "Quantile of |p − q|, all pairs together (from a histogram, right to"
    " 6.25 %)."),
  "logit_quantiles": ("differ by less than, in logits", "#.3g",
    "The same of |logit p − logit q|."),
  "flips": ("decisions flipped at", "%",
    "Share with just one of p and q at the threshold or more (Milani Fard et"
    " al. 2016)."),
  "wins": ("flips won at", "%",
    "Those of them where the later-named run of a pair is right."),
  "losses": ("flips lost at", "%",
    "Those of them where the earlier-named run is right."),
  "maximum": ("largest difference", "#.3g",
    "Of any example and pair; the largest of some says little of all, so it has"
    " no interval."),
}  # fmt: skip
_VARIANCE = {
  "variance.total": "Mean over the examples of the variance over the runs.",
  "variance.systematic": "Variance of the runs' mean predictions: some runs"
  " predict more everywhere.",
  "variance.scatter": "What is left: example by example, up and down.",
}


def headline(found: Found) -> pd.DataFrame:
  """Returns each measure, its value, its intervals, and what it says."""
  rows = []
  for name, (title, form, text) in _WHAT.items():
    for key, one in found.measures.items():
      head, _, rest = key.partition(".")
      if head == name:
        label = _label(title, name, rest)
        rows.append((label, *_cells(one, form), text))
  names = ("measure", "value", "95 %: examples", _RUNS, "what it says")
  return _without_empty(pd.DataFrame(rows, columns=names), found.comparison)


def variance(found: Found) -> pd.DataFrame:
  """Returns the parts of the variance over three runs or more."""
  whole = found.measures["variance.total"].value
  rows = []
  for name, text in _VARIANCE.items():
    one = found.measures[name]
    share = percent(one.value / whole) if whole else "–"
    rows.append((name.partition(".")[2], *_cells(one, ".2e"), share, text))
  names = ("part", "variance", "95 %: examples", _RUNS, "share",
           "what it says")  # fmt: skip
  return pd.DataFrame(rows, columns=names)


def quality(comparison: Comparison) -> pd.DataFrame:
  """Returns the quality of each run; there should be labels."""
  return pd.DataFrame(
    {
      "run": name,
      "log loss": number(one.log_loss, ".5f"),
      "AUC": number(one.auc, ".4f"),
      "norm. entropy": number(one.normalized_entropy, ".4f"),
      "calibration": number(one.calibration, ".3f"),
    }
    for name, one in zip(comparison.names, comparison.qualities)
  )


def differences(found: Found) -> pd.DataFrame:
  """Returns how each run's quality differs from that of the first."""
  rows = []
  for one in found.differences:
    form = alike("+#.2g", one.value, *one.interval)
    rows.append(
      {
        "run": found.comparison.names[one.run],
        "measure": one.measure.replace("_", " "),
        "difference": number(one.value, form),
        "95 %, all runs together": _interval(one.interval, form),
        "differs": "yes" if one.significant else "not beyond chance",
      }
    )
  return pd.DataFrame(rows)


def pairs(comparison: Comparison, *, most: int) -> pd.DataFrame:
  """Returns the `most` pairs of runs with most churn, the worst first."""
  rows = sorted(facts.by_pair(comparison), key=lambda p: -p["mean_absolute"])
  shift = alike("+#.2g", *(row["shift"] for row in rows[:most]))
  return pd.DataFrame(
    {
      "pair": f"{row['first']} − {row['second']}",
      "mean |p − q|": f"{row['mean_absolute']:#.3g}",
      "relative": percent(row["relative"]),
      "logit RMS": f"{row['logit_rms']:#.3g}",
      "largest": f"{row['maximum']:#.3g}",
      "equal": percent(row["equal"]),
      "shift": number(row["shift"], shift),
      "scatter": f"{row['scatter']:#.3g}",
    }
    for row in rows[:most]
  )


def shown(found: Found) -> list[Slice]:
  """Returns the slices that tell something, the worst first.

  Those of few examples churn much or little by chance, and would come first.
  """
  return [
    one
    for one in found.slices
    if one.examples >= LEAST_EXAMPLES or one.churns or one.miscalibrated
  ]


def slices(found: Found, *, most: int) -> pd.DataFrame:
  """Returns the `most` worst of `shown`; marks what is beyond chance."""
  rows = []
  for one in shown(found)[:most]:
    churn = one.measures["mean_absolute"]
    row = {
      "slice": f"{one.column} = {one.name}",
      "examples": f"{one.examples:,}",
      "mean |p − q|": f"{churn.value:#.3g}" + ("*" if one.churns else ""),
      "95 %: examples": _interval(churn.interval_examples, "#.3g"),
      "relative": percent(one.measures["relative"].value),
      "FDR": _rate(one.churn_fdr),
    }
    if found.comparison.churn.labelled:
      calibration = one.measures["calibration"]
      mark = "*" if one.miscalibrated else ""
      row["calibration"] = number(calibration.value, ".3f") + mark
      row["95 %"] = _interval(calibration.interval_examples, ".3f")
    rows.append(row)
  return pd.DataFrame(rows)


def ranks(comparison: Comparison) -> pd.DataFrame:
  """Returns the rank churn; there should be one."""
  found = comparison.ranks
  rows = [("Kendall's tau-b", *_cells(found.tau, ".3f"))]
  for k, one in found.overlap.items():
    rows.append((f"top {k} in common", *_cells(one, "%")))
  names = ("measure", "value", "95 %: examples", _RUNS)
  return _without_empty(pd.DataFrame(rows, columns=names), comparison)


def _without_empty(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
  """Drops the interval over runs where two runs have none."""
  few = comparison.churn.runs < 3
  return table.drop(columns=_RUNS) if few else table


def _label(title: str, name: str, rest: str) -> str:
  if "quantiles" in name:
    return f"{100 * float(rest):g} % {title}"
  return f"{title} {rest}".strip()


def _rate(value: float) -> str:
  return f"< {_LEAST_RATE}" if value < _LEAST_RATE else number(value, ".4f")


def _cells(one: Measure, form: str) -> tuple[str, str, str]:
  form = alike(form, one.value, *one.interval_examples, *one.interval_runs)
  value = percent(one.value) if form == "%" else number(one.value, form)
  return (
    value,
    _interval(one.interval_examples, form),
    _interval(one.interval_runs, form),
  )


def _interval(interval: Interval, form: str) -> str:
  low, high = interval
  if math.isnan(low):
    return "–"
  if form == "%":
    digits = 1 if high - low > 2e-3 else 2
    return f"{100 * low:.{digits}f} – {100 * high:.{digits}f} %"
  return f"{low:{form}} – {high:{form}}"
