"""Limits on a comparison, for the CI of models: what is read, and how judged.

A file of limits is TOML. A number is the most that is allowed, and a table says
`most`, `least` or both:

  judge = "value"              # or "surely_within", "surely_beyond"
  [measures]                   # of churn, as churn.json names them
  mean_absolute = 0.01
  equal = { least = 0.1 }
  [runs]                       # each run
  calibration_off = 0.02       # |calibration - 1|
  [worse]                      # each run against the first
  log_loss = 1e-4
  [slices]                     # each slice with at least so many examples
  examples = 1000
  calibration_off = 0.02
  may_be_none = false          # true: it holds though no slice has so many
  [ranks]
  tau_b = { least = 0.9 }

`judge` says what of a figure must keep the limit: its value; its whole interval
over examples (what is not sure breaks it); or any of the interval (only what is
surely beyond breaks it; of slices the interval that holds for all together, so
that many slices do not break a limit by chance).
"""

import dataclasses
import math
import os
import tomllib
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn import limitable
from ctr_codistill.evaluation.churn import verdict
from ctr_codistill.evaluation.churn.facts import Found
from ctr_codistill.evaluation.churn.measures import Measure
from ctr_codistill.evaluation.churn.verdict import Figure
from ctr_codistill.evaluation.churn.verdict import Limit
from ctr_codistill.evaluation.churn.verdict import Outcome
from ctr_codistill.evaluation.churn.verdict import Verdict

_HIGHER_IS_BETTER = ("auc",)


@dataclasses.dataclass(frozen=True)
class Limits:
  """A file of limits.

  Attributes:
    judge: see the module.
    limits: one at least.
    slice_examples: fewest examples of a slice that is judged.
    may_be_none: whether limits of slices hold where no slice has so many.
  """

  judge: str
  limits: tuple[Limit, ...]
  slice_examples: int = 1
  may_be_none: bool = False


def read(path: str | os.PathLike) -> Limits:
  """Reads a file of limits.

  Raises:
    InputError: no such file, no TOML, no limit, or one that is not known.
  """
  try:
    value = tomllib.loads(places.read_bytes(path).decode())
  except FileNotFoundError:
    raise InputError(f"{path} does not exist") from None
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
    raise InputError(f"{path} should be TOML: {error}") from None
  judge = value.pop("judge", verdict.VALUE)
  if judge not in verdict.JUDGES:
    raise InputError(
      f"{path}: judge should be of {verdict.JUDGES}, is {judge!r}"
    )
  for section, entries in value.items():
    if section not in _SECTIONS or not isinstance(entries, dict):
      known = ", ".join(f"[{name}]" for name in _SECTIONS)
      raise InputError(f"{path} should have of {known}, has {section!r}")
  slices = value.get("slices", {})
  examples = _number(slices.pop("examples", 1), f"{path}: slices.examples")
  if not 0 <= examples < math.inf:
    raise InputError(f"{path}: slices.examples is {examples:g}")
  may_be_none = slices.pop("may_be_none", False)
  if not isinstance(may_be_none, bool):
    raise InputError(
      f"{path}: slices.may_be_none should be true or false, is {may_be_none!r}"
    )
  limits = tuple(
    _limit(section, name, entry, path)
    for section, entries in value.items()
    for name, entry in entries.items()
  )
  if not limits:
    raise InputError(f"{path} should have a limit, has none")
  return Limits(judge, limits, math.ceil(examples), may_be_none)


def check(limits: Limits, there: Mapping[str, Collection[str]]) -> None:
  """Raises InputError for a limit on what a comparison does not have.

  Args:
    limits: of a file.
    there: the measures by section, of `limitable`; of a comparison that is
      still to be made those that it will have, so that a word that is wrong
      does not cost the hours that it takes.
  """
  for limit in limits.limits:
    measures = there[limit.section]
    if limit.measure not in measures:
      known = ", ".join(measures) or _NONE[limit.section]
      raise InputError(
        f"[{limit.section}] should be of {known}, has {limit.measure!r}"
      )


def judge(found: Found, limits: Limits) -> Outcome:
  """Returns the verdict on each limit, in the file's order.

  Raises:
    InputError: as `check`.
  """
  check(limits, limitable.of(found))
  verdicts = [_verdict(found, limit, limits) for limit in limits.limits]
  return Outcome(limits.judge, tuple(verdicts))


def _limit(
  section: str, name: str, entry: Any, path: str | os.PathLike
) -> Limit:
  what = f"{path}: {section}.{name}"
  if not isinstance(entry, dict):
    return Limit(section, name, most=_number(entry, what))
  if not entry or set(entry) - {"most", "least"}:
    raise InputError(f"{what} should say most or least, says {entry}")
  ends = {k: _number(v, what) for k, v in entry.items()}
  try:
    return Limit(section, name, **ends)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _number(value: Any, what: str) -> float:
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise InputError(f"{what} should be a number, is {value!r}")
  if math.isnan(value):
    raise InputError(f"{what} should be a number, is nan")
  return float(value)


def _verdict(found: Found, limit: Limit, limits: Limits) -> Verdict:
  figures = list(_SECTIONS[limit.section](found, limit.measure, limits))
  if not figures:  # of slices alone
    most = max(one.examples for one in found.slices)
    why = "it is defined in no slice, such as a calibration without clicks"
    if most < limits.slice_examples:
      why = (
        f"no slice has {limits.slice_examples:,} examples, the largest has"
        f" {most:,}"
      )
    return Verdict(
      limit, limits.judge, None, 0, why=why, may_be_none=limits.may_be_none
    )
  broken = [f for f in figures if not _holds(f, limit, limits.judge)]
  worst = max(broken or figures, key=lambda figure: _excess(figure, limit))
  return Verdict(limit, limits.judge, worst, len(figures), len(broken))


def _holds(figure: Figure, limit: Limit, how: str) -> bool:
  """Tells whether a figure keeps its limit; what is undefined does not."""
  low, high = figure.interval
  if how == verdict.VALUE or (how == verdict.BEYOND and math.isnan(low)):
    low = high = figure.value
  if how == verdict.BEYOND:
    return low <= limit.most and high >= limit.least
  return high <= limit.most and low >= limit.least


def _excess(figure: Figure, limit: Limit) -> float:
  if math.isnan(figure.value):
    return math.inf
  return max(figure.value - limit.most, limit.least - figure.value)


def _off(figure: Figure) -> Figure:
  """Returns how far a calibration is from 1."""
  low, high = figure.interval
  ends = (abs(low - 1), abs(high - 1))
  nearest = 0.0 if low <= 1 <= high else min(ends)
  interval = intervals.NOTHING if math.isnan(low) else (nearest, max(ends))
  return Figure(abs(figure.value - 1), interval, figure.of)


def _measures(found: Found, name: str, _: Limits) -> Iterator[Figure]:
  yield _figure(found.measures[name])


def _ranks(found: Found, name: str, _: Limits) -> Iterator[Figure]:
  yield _figure(found.rank_measures[name])


def _runs(found: Found, name: str, _: Limits) -> Iterator[Figure]:
  plain = limitable.plain(name)
  for run, measures in zip(found.comparison.names, found.by_run):
    figure = _figure(measures[plain], run)
    yield figure if name == plain else _off(figure)


def _worse(found: Found, name: str, _: Limits) -> Iterator[Figure]:
  sign = -1 if name in _HIGHER_IS_BETTER else 1
  for one in found.differences:
    if one.measure == name:
      low, high = sorted(sign * end for end in one.interval)
      run = found.comparison.names[one.run]
      yield Figure(sign * one.value, (low, high), (run,))


def _slices(found: Found, name: str, limits: Limits) -> Iterator[Figure]:
  plain = limitable.plain(name)
  for one in found.slices:
    if one.examples < limits.slice_examples:
      continue
    figure = _figure(one.measures[plain], one.column, one.name)
    if math.isnan(figure.value):
      continue  # of few clicks there may be none, and no calibration
    if limits.judge == verdict.BEYOND:
      figure = dataclasses.replace(figure, interval=one.sure[plain])
    yield figure if name == plain else _off(figure)


def _figure(one: Measure, *of: str) -> Figure:
  return Figure(one.value, one.interval_examples, of)


_SECTIONS: Mapping[str, Callable[[Found, str, Limits], Iterator[Figure]]] = {
  "measures": _measures,
  "runs": _runs,
  "worse": _worse,
  "slices": _slices,
  "ranks": _ranks,
}
_NONE = {
  "runs": "none (there are no labels)",
  "worse": "none (there are no labels)",
  "slices": "none (there are no slices: --slices)",
  "ranks": "none (nothing is ranked: --query)",
}
