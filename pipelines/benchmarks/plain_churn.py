"""Churn in plain pandas: what one would write first, to be timed beside ours.

All in memory, joined by `merge`. It leaves out intervals, tests of slices, the
density and the levels, which ours has. It prints the mean |p - q|, so that both
can be seen to agree.

  python -m pipelines.benchmarks.plain_churn a.parquet b.parquet
"""

import itertools
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

_THRESHOLDS = (0.1, 0.5)


def main(paths: Sequence[str]) -> None:
  """Prints the mean |p - q| of the runs, after all other measures."""
  table = _joined(paths)
  runs = [name for name in table if name.startswith("p")]
  label = table["label"]
  for run in runs:
    _quality(table[run], label)
  found = [
    _pair(table[one], table[other], label)
    for one, other in itertools.combinations(runs, 2)
  ]
  table[runs].var(axis=1).mean()
  _slices(table, runs)
  print(np.mean(found))


def _slices(table: pd.DataFrame, runs: Sequence[str]) -> None:
  """Churn and calibration by the label, and by ranges of a prediction."""
  table["churn"] = np.mean(
    [
      (table[one] - table[other]).abs()
      for one, other in itertools.combinations(runs, 2)
    ],
    axis=0,
  )
  table["mean"] = table[runs].mean(axis=1)
  for column in ("label", pd.qcut(table["p0"], 20)):
    sums = table.groupby(column, observed=True)[["churn", "mean"]].mean()
    sums.sort_values("churn")


def _joined(paths: Sequence[str]) -> pd.DataFrame:
  table = pd.read_parquet(paths[0]).rename(columns={"probability": "p0"})
  for number, path in enumerate(paths[1:], 1):
    other = pd.read_parquet(path, columns=["example", "probability"])
    other = other.rename(columns={"probability": f"p{number}"})
    table = table.merge(other, on="example", validate="one_to_one")
  names = [f"p{number}" for number in range(len(paths))]
  table[names] = table[names].astype(np.float64)
  return table


def _quality(p: pd.Series, label: pd.Series) -> None:
  clipped = p.clip(1e-7, 1 - 1e-7)
  loss = -np.log(np.where(label == 1, clipped, 1 - clipped)).mean()
  rate = label.mean()
  loss / -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
  p.sum() / label.sum()
  clicks = label.sum()
  (p.rank()[label == 1].sum() - clicks * (clicks + 1) / 2) / (
    clicks * (len(p) - clicks)
  )


def _pair(p: pd.Series, q: pd.Series, label: pd.Series) -> float:
  size = (p - q).abs()
  (2 * size / (p + q)).mean()
  logit = np.log(p / (1 - p)) - np.log(q / (1 - q))
  np.sqrt((logit**2).mean())
  for values in (size, logit.abs()):
    values.quantile([0.5, 0.9, 0.99])
  np.histogram(size, bins=200)
  size.max(), (p == q).mean(), (p - q).mean(), (p - q).std()
  for threshold in _THRESHOLDS:
    one, other = p >= threshold, q >= threshold
    flipped = one != other
    flipped.mean(), (flipped & (other == label)).mean()
  return float(size.mean())


if __name__ == "__main__":
  main(sys.argv[1:])
