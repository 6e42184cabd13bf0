"""The parts of the page on churn: what each shows, and how it is read."""

import math

import numpy as np

from ctr_codistill.evaluation import pictures
from ctr_codistill.evaluation.churn import bins
from ctr_codistill.evaluation.churn import facts
from ctr_codistill.evaluation.churn import tables
from ctr_codistill.evaluation.churn.facts import Found
from ctr_codistill.evaluation.churn.sums import Churn
from ctr_codistill.evaluation.comparison import Comparison
from ctr_codistill.evaluation.page import Section
from ctr_codistill.evaluation.report import number
from ctr_codistill.evaluation.report import percent

_SHOWN_PAIRS = 20
_SHOWN_SLICES = 30
_DRAWN_SLICES = 12
_GROUPS = 10
_NAMED = 3  # slices in the lead

_INTERVALS = (
  "Two things are uncertain, and each has an interval that holds 95 times of"
  " 100. Over examples: had other examples come, how would these same runs"
  " differ? (Poisson bootstrap over 256 random groups of examples.) Over runs:"
  " had other trainings been made, how would they differ on these examples?"
  " (Jackknife over trainings, with Student's t: pairs with a run in common"
  " are no independent evidence.) The number of examples says nothing of the"
  " second: to know how a retrain comes out, retrain more often. Where runs"
  " have large biases of their own, the second holds rather 83 to 90 times of"
  " 100 (docs/churn.md)."
)
_TWO_RUNS = (
  "\n\nTwo runs are one pair, and one pair tells nothing of how pairs vary:"
  " there is no interval over runs. Make three runs or more."
)


def lead(found: Found) -> str:
  """Returns what stands first on the page: how far, of what, and where."""
  comparison, churn = found.comparison, found.comparison.churn
  return (
    f"Two of these {churn.runs} runs differ by {churn.mean_absolute:#.3g} on"
    " average in the probability of a click that they predict for the same"
    f" example, or by {percent(churn.mean_relative)} of the prediction."
    f"{_moved(found)}\n\n"
    f"Runs: {', '.join(comparison.names)}. Examples: {churn.examples:,}."
    f" Pairs of runs: {len(churn.pairs)}. Churn is meant between independent"
    " trainings, never between models that learned from each other."
  )


def _moved(found: Found) -> str:
  """Returns what the difference is made of, and which slices have most."""
  share = found.measures["variance.systematic_share"].value
  if math.isnan(share):
    return ""
  text = (
    f" Of the variance between runs {percent(share)} is that some predict more"
    f" everywhere, and {percent(1 - share)} goes up here and down there."
  )
  worse = [f"{s.column} = {s.name}" for s in found.slices if s.churns]
  if worse:
    more = f" and {len(worse) - _NAMED} more" * (len(worse) > _NAMED)
    text += f" Beyond chance more moved in {', '.join(worse[:_NAMED])}{more}."
  return text


def sections(found: Found) -> list[Section]:
  """Returns the parts of the page, in their order."""
  comparison, churn = found.comparison, found.comparison.churn
  two = _TWO_RUNS if churn.runs < 3 else ""
  parts = [
    Section(
      "How far the runs differ",
      table=tables.headline(found),
      prose=True,
      caption="p and q are the predictions of two runs for the same example;"
      " all but the quantiles and the largest difference are means over the"
      f" pairs of runs.\n\n{_INTERVALS}{two}",
    ),
    *_quality(found),
    _pairs(comparison),
    *_variance(found),
    *_slices(found),
    *_ranks(comparison),
  ]
  if churn.maximum > 0:
    parts += [*_differences(churn), _density(comparison), _profile(churn)]
  return parts


def _quality(found: Found) -> list[Section]:
  comparison = found.comparison
  if not comparison.qualities:
    return [Section("Quality of each run", "The files have no labels.")]
  one = comparison.qualities[0]
  parts = [
    Section(
      "Quality of each run",
      table=tables.quality(comparison),
      caption="Log loss in nats, lower is better. AUC: share of pairs of a"
      " click and another example ranked rightly, higher is better (exact to"
      f" {number(one.auc_error, '.1g')}). Norm. entropy: log loss / that of"
      " always predicting the click rate, which is"
      f" {percent(one.base_rate)} here (He et al. 2014). Calibration: clicks"
      " predicted / clicks that came; 1 is right.",
    )
  ]
  if found.differences:
    parts.append(
      Section(
        f"Quality against {comparison.names[0]}",
        table=tables.differences(found),
        caption="Each run's figure less the first run's, on the same examples."
        " The intervals are over examples and hold for all runs of a measure"
        " together (Bonferroni). They say whether these runs differ, not"
        " whether another retrain would.",
      )
    )
  return parts


def _variance(found: Found) -> list[Section]:
  churn = found.comparison.churn
  if churn.runs < 3 or not churn.maximum > 0:
    return []
  held = facts.concentration(churn)
  said = " and ".join(
    f"{percent(part)} of the variance is in the {100 * top:g} % of examples"
    " that vary most"
    for top, part in held.items()
  )
  return [
    Section(
      "Biased or noisy",
      table=tables.variance(found),
      prose=True,
      caption="The mean over examples of the variance over runs of the"
      " prediction is the sum of two parts: the variance of the runs' levels"
      " (a biased retrain), and what goes up here and down there (a noisy"
      f" one).\n\n{said[:1].upper()}{said[1:]}.",
    )
  ]


def _slices(found: Found) -> list[Section]:
  if not found.slices:
    return []
  total, churn = len(found.slices), found.comparison.churn
  kept = tables.shown(found)
  drawn = kept[:_DRAWN_SLICES]
  worse = sum(one.churns for one in found.slices)
  off = sum(one.miscalibrated for one in found.slices)
  few = total - len(kept)
  shown = f" The worst {_SHOWN_SLICES} of {len(kept)}."
  shown *= len(kept) > _SHOWN_SLICES
  left = (
    f" {few} of fewer than {tables.LEAST_EXAMPLES} examples and with nothing"
    " beyond chance are left out."
  ) * (few > 0)
  return [
    Section(
      "Slices, the worst first",
      f"Of {total} slices {worse} churn more than all other examples beyond"
      " chance"
      + (f", and {off} are miscalibrated." * churn.labelled or ".")
      + left,
      table=tables.slices(found, most=_SHOWN_SLICES) if kept else None,
      picture=pictures.bars(
        ["all examples", *(f"{s.column} = {s.name}" for s in drawn)],
        [
          churn.mean_absolute,
          *(s.measures["mean_absolute"].value for s in drawn),
        ],
        "mean |p − q|",
      ),
      caption="* beyond chance: tested against all other examples (churn) or"
      " against 1 (calibration, mean over the runs), with a false discovery"
      " rate of 5 % over all slices of all columns (Benjamini & Hochberg 1995)."
      " FDR: the least such rate at which the slice's churn would differ from"
      " the others'. First those that churn more beyond chance, then the"
      " others, by mean |p − q|. Intervals are those of one slice"
      f" alone.{shown}",
    )
  ]


def _ranks(comparison: Comparison) -> list[Section]:
  if not comparison.ranks:
    return []
  return [
    Section(
      f"Order within each {comparison.ranks.column}",
      table=tables.ranks(comparison),
      caption=f"Means over {comparison.ranks.groups:,} groups and the pairs of"
      " runs. Kendall's tau-b: 1 for the same order, 0 for unrelated ones."
      " Top k: share of the k highest of one run that are among those of the"
      " other, in groups of more than k. Here examples are drawn anew by"
      " group.",
    )
  ]


def _pairs(comparison: Comparison) -> Section:
  total = len(comparison.churn.pairs)
  shown = f" The {_SHOWN_PAIRS} with most churn of {total} pairs."
  return Section(
    "Each pair of runs",
    table=tables.pairs(comparison, most=_SHOWN_PAIRS),
    caption="Most churn first. Shift is the mean of p − q, first run minus"
    " second." + (shown if total > _SHOWN_PAIRS else ""),
  )


def _differences(churn: Churn) -> list[Section]:
  counts, edges = churn.total("histogram"), bins.difference_edges()
  if not counts[1:].any():
    return []
  # Bins are evenly wide, not evenly wide on this axis: bars of even shares.
  wide = np.log2(edges[2:] / edges[1:-1]) * 16
  bars = np.append(counts[0], counts[1:] / wide)
  return [
    Section(
      "How often they differ by how much",
      picture=pictures.differences(bars, edges),
      caption="All pairs together; the share of the examples in 1/16 of a"
      " factor of two. Differences too rare and small to show are left out;"
      f" below {edges[1]:.1g} are {percent(counts[0] / counts.sum())} of the"
      " examples.",
    )
  ]


def _density(comparison: Comparison) -> Section:
  pairs = comparison.churn.pairs
  worst = max(range(len(pairs)), key=lambda i: pairs[i].absolute)
  i, j = bins.pairs_of(comparison.churn.runs)[worst]
  return Section(
    "One run against another",
    picture=pictures.density(
      pairs[worst].density,
      bins.level_edges(),
      first=comparison.names[i],
      second=comparison.names[j],
    ),
    caption="The pair with most churn. Each cell is 1/8 of a logit wide; its"
    " colour is the number of examples. Without churn all lie on the red line;"
    " a cloud to one side of it is a systematic shift.",
  )


def _profile(churn: Churn) -> Section:
  levels = facts.levels(churn, groups=_GROUPS)
  return Section(
    "Churn by predicted probability",
    picture=pictures.levels(
      levels["probability"].to_numpy(), levels["mean_absolute"].to_numpy()
    ),
    caption=f"Examples in up to {_GROUPS} groups of about equal number, by the"
    " mean logit of the pair. Left the mean absolute difference, right the same"
    " as a share of the prediction.",
  )
