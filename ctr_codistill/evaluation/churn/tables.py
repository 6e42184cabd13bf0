"""What the churn of some runs comes to, as records and as tables to read.

Numbers that a reviewer sees and numbers that a program reads come from the same
place, so that they cannot part.
"""

from typing import Any

import numpy as np
import pandas as pd

from ctr_codistill.evaluation.churn import Churn
from ctr_codistill.evaluation.churn import sums
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.report import number
from ctr_codistill.evaluation.report import percent


def by_pair(comparison: Comparison) -> list[dict[str, Any]]:
  """Returns the measures of each pair of runs, by name."""
  names, churn = comparison.names, comparison.churn
  return [
    {
      "first": names[i],
      "second": names[j],
      "mean_absolute": pair.mean_absolute,
      "relative": pair.mean_relative,
      "logit_rms": pair.logit_rms,
      "maximum": pair.maximum,
      "equal": pair.equal_share,
      "flips": dict(zip(churn.thresholds, pair.flip_shares)),
      "shift": pair.shift,
      "scatter": pair.scatter,
    }
    for (i, j), pair in zip(sums.pairs_of(churn.runs), churn.pairs)
  ]


def by_run(comparison: Comparison) -> list[dict[str, Any]]:
  """Returns the name of each run and, with labels, its quality."""
  qualities = comparison.qualities or [None] * len(comparison.names)
  return [
    {"name": name, **(quality.to_dict() if quality else {})}
    for name, quality in zip(comparison.names, qualities)
  ]


def levels(churn: Churn, *, groups: int) -> pd.DataFrame:
  """Returns up to `groups` rows by prediction, of about as many examples.

  Columns: examples (over all pairs), probability (mean, to 1/16 of a logit) and
  mean_absolute.
  """
  edges = sums.level_edges()
  centres = np.sqrt(edges[1:] * edges[:-1])
  counts = churn.total("level_examples")
  before = np.cumsum(counts) - counts / 2
  group = np.floor(before / counts.sum() * groups).astype(int)
  found = pd.DataFrame(
    {
      "examples": counts,
      "probability": counts * centres,
      "mean_absolute": churn.total("level_absolute"),
    }
  )
  found = found[counts > 0].groupby(group[counts > 0]).sum()
  means = found[["probability", "mean_absolute"]].div(found["examples"], axis=0)
  return pd.concat([found["examples"], means], axis=1)


def headline(churn: Churn) -> pd.DataFrame:
  """Returns each measure, its value, and what it says."""
  within = [(q, f"{churn.quantile(q):#.3g}") for q in (0.5, 0.9, 0.99)]
  rows = [
    ("mean absolute difference", f"{churn.mean_absolute:#.3g}",
     "Mean of |p − q| (Anil et al. 2018): the headline; 0 if a retrain changes"
     " nothing."),
    ("mean relative difference", percent(churn.mean_relative),
     "Mean of 2|p − q| / (p + q) (Shamir & Lin 2022): weighs small predictions"
     " like large ones; what bids feel."),
    ("RMS difference of logits", f"{churn.mean('logit_rms'):#.3g}",
     "Root of the mean of (logit p − logit q)²: comparable between data of"
     " other click rates; large ones count more."),
    *(
      (f"{100 * q:g} % of examples within", value,
       "That share of the examples differs by no more (read from a histogram,"
       " at most 7.5 % too high).")
      for q, value in within
    ),
    ("largest difference", f"{churn.maximum:#.3g}",
     "Over all examples and pairs."),
    ("equal predictions", percent(churn.mean("equal_share")),
     "Share of examples with p = q to the last bit; 100 % for a training that"
     " repeats exactly."),
    ("systematic shift", f"{churn.shift:#.3g}",
     "Size of the mean of p − q: one run predicts more clicks altogether. Near"
     " 0 for noise; a biased retrain shows here."),
    ("scatter", f"{churn.mean('scatter'):#.3g}",
     "Standard deviation of p − q: what is left when the shift is taken out."),
    *(
      (f"decisions flipped at {t:g}", percent(share),
       f"Share with just one of p and q at {t:g} or more (Milani Fard et al."
       " 2016).")
      for t, share in zip(churn.thresholds, churn.flip_shares)
    ),
  ]  # fmt: skip
  return pd.DataFrame(rows, columns=["measure", "value", "what it says"])


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


def pairs(comparison: Comparison, *, most: int) -> pd.DataFrame:
  """Returns the `most` pairs of runs with most churn, the worst first."""
  rows = sorted(by_pair(comparison), key=lambda p: -p["mean_absolute"])
  return pd.DataFrame(
    {
      "pair": f"{row['first']} − {row['second']}",
      "mean |p − q|": f"{row['mean_absolute']:#.3g}",
      "relative": percent(row["relative"]),
      "logit RMS": f"{row['logit_rms']:#.3g}",
      "largest": f"{row['maximum']:#.3g}",
      "equal": percent(row["equal"]),
      "shift": f"{row['shift']:+.2g}",
      "scatter": f"{row['scatter']:#.3g}",
    }
    for row in rows[:most]
  )
