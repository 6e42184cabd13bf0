"""Limits on a comparison, for the CI of models: each holds or is broken.

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
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ctr_codistill import places
from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.churn.facts import Found
from ctr_codistill.evaluation.intervals import Interval

_JUDGES = ("value", "surely_within", "surely_beyond")
_HIGHER_IS_BETTER = ("auc",)
_OFF = "calibration_off"


@dataclasses.dataclass(frozen=True)
class Limit:
  """One limit of a file.

  Attributes:
    section: of the file.
    measure: that is limited.
    most: allowed; infinite where only `least` is said.
    least: allowed.
  """

  section: str
  measure: str
  most: float = math.inf
  least: float = -math.inf


@dataclasses.dataclass(frozen=True)
class Limits:
  """A file of limits.

  Attributes:
    judge: see the module.
    limits: one at least.
    slice_examples: fewest examples of a slice that is judged.
  """

  judge: str
  limits: tuple[Limit, ...]
  slice_examples: int = 1


@dataclasses.dataclass(frozen=True)
class Verdict:
  """Whether a limit holds, and the line that says so."""

  holds: bool
  line: str


@dataclasses.dataclass(frozen=True)
class _Figure:
  """What a limit is held against: of what, its value, its interval."""

  of: str
  value: float
  interval: Interval


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
  judge = value.pop("judge", _JUDGES[0])
  if judge not in _JUDGES:
    raise InputError(f"{path}: judge should be of {_JUDGES}, is {judge!r}")
  limits, examples = [], 1
  for section, entries in value.items():
    if section not in _SECTIONS or not isinstance(entries, dict):
      known = ", ".join(f"[{name}]" for name in _SECTIONS)
      raise InputError(f"{path} should have of {known}, has {section!r}")
    for name, entry in entries.items():
      if (section, name) == ("slices", "examples"):
        examples = int(_number(entry, f"{path}: slices.examples"))
      else:
        limits.append(_limit(section, name, entry, path))
  if not limits:
    raise InputError(f"{path} should have a limit, has none")
  return Limits(judge, tuple(limits), examples)


def judge(found: Found, limits: Limits) -> list[Verdict]:
  """Returns the verdict on each limit, in the file's order.

  Raises:
    InputError: a limit on what the comparison does not have.
  """
  return [_verdict(found, limit, limits) for limit in limits.limits]


def _limit(
  section: str, name: str, entry: Any, path: str | os.PathLike
) -> Limit:
  what = f"{path}: {section}.{name}"
  if not isinstance(entry, dict):
    return Limit(section, name, most=_number(entry, what))
  if not entry or set(entry) - {"most", "least"}:
    raise InputError(f"{what} should say most or least, says {entry}")
  return Limit(section, name, **{k: _number(v, what) for k, v in entry.items()})


def _number(value: Any, what: str) -> float:
  if isinstance(value, bool) or not isinstance(value, int | float):
    raise InputError(f"{what} should be a number, is {value!r}")
  if math.isnan(value):
    raise InputError(f"{what} should be a number, is nan")
  return float(value)


def _verdict(found: Found, limit: Limit, limits: Limits) -> Verdict:
  figures = list(_SECTIONS[limit.section](found, limit.measure, limits))
  name = f"{limit.section}.{limit.measure}"
  if not figures:
    return Verdict(True, f"ok      {name}: nothing to judge")
  broken = [f for f in figures if not _holds(f, limit, limits.judge)]
  worst = max(broken or figures, key=lambda figure: _excess(figure, limit))
  text = f"{'BROKEN' if broken else 'ok'}".ljust(8)
  text += f"{name}: {worst.value:.4g}{worst.of}"
  if limits.judge == _JUDGES[0]:
    text += f", should be {_allowed(limit)}"
  else:
    text += _surely(worst, limit, limits.judge, holds=not broken)
  if len(figures) > 1:
    text += f"; {len(broken)} of {len(figures)} beyond"
  return Verdict(not broken, text)


def _surely(figure: _Figure, limit: Limit, judge: str, *, holds: bool) -> str:
  """Returns what an interval says of a limit, such as: not surely beyond."""
  low, high = figure.interval
  sure = holds == (judge == "surely_within")
  said = judge.replace("_", " ") if sure else f"not {judge.replace('_', ' ')}"
  return f" (95 %: {low:.4g} to {high:.4g}), {_allowed(limit)}: {said}"


def _holds(figure: _Figure, limit: Limit, how: str) -> bool:
  """Tells whether a figure keeps its limit; what is undefined does not."""
  low, high = figure.interval
  if how == "value" or (how == "surely_beyond" and math.isnan(low)):
    low = high = figure.value
  if how == "surely_beyond":
    return low <= limit.most and high >= limit.least
  return high <= limit.most and low >= limit.least


def _excess(figure: _Figure, limit: Limit) -> float:
  if math.isnan(figure.value):
    return math.inf
  return max(figure.value - limit.most, limit.least - figure.value)


def _allowed(limit: Limit) -> str:
  parts = [f"at most {limit.most:g}"] * math.isfinite(limit.most)
  parts += [f"at least {limit.least:g}"] * math.isfinite(limit.least)
  return " and ".join(parts)


def _off(figure: _Figure) -> _Figure:
  """Returns how far a calibration is from 1."""
  low, high = figure.interval
  ends = (abs(low - 1), abs(high - 1))
  nearest = 0.0 if low <= 1 <= high else min(ends)
  interval = intervals.NOTHING if math.isnan(low) else (nearest, max(ends))
  return _Figure(figure.of, abs(figure.value - 1), interval)


def _measures(found: Found, name: str, _: Limits) -> Iterator[_Figure]:
  one = _known(found.measures, name, "measures")
  yield _Figure("", one.value, one.interval_examples)


def _ranks(found: Found, name: str, _: Limits) -> Iterator[_Figure]:
  one = _known(found.rank_measures, name, "ranks")
  yield _Figure("", one.value, one.interval_examples)


def _runs(found: Found, name: str, _: Limits) -> Iterator[_Figure]:
  plain = "calibration" if name == _OFF else name
  _known(found.quality, plain, "runs")
  for run, measures in zip(found.comparison.names, found.by_run):
    one = measures[plain]
    figure = _Figure(f" of {run}", one.value, one.interval_examples)
    yield _off(figure) if name == _OFF else figure


def _worse(found: Found, name: str, _: Limits) -> Iterator[_Figure]:
  if name == "calibration":
    raise InputError("calibration has no better and worse; see [runs]")
  _known(found.quality, name, "worse")
  sign = -1 if name in _HIGHER_IS_BETTER else 1
  for one in found.differences:
    if one.measure == name:
      low, high = sorted(sign * end for end in one.interval)
      run = found.comparison.names[one.run]
      yield _Figure(f" of {run}", sign * one.value, (low, high))


def _slices(found: Found, name: str, limits: Limits) -> Iterator[_Figure]:
  plain = "calibration" if name == _OFF else name
  if not found.slices:
    raise InputError(f"slices.{name} needs slices, there are none")
  for one in found.slices:
    measure = _known(one.measures, plain, "slices")
    if one.examples >= limits.slice_examples:
      sure = limits.judge == "surely_beyond"
      interval = one.sure[plain] if sure else measure.interval_examples
      place = f" in {one.column} = {one.name}"
      figure = _Figure(place, measure.value, interval)
      yield _off(figure) if name == _OFF else figure


_SECTIONS: Mapping[str, Callable[[Found, str, Limits], Iterator[_Figure]]] = {
  "measures": _measures,
  "runs": _runs,
  "worse": _worse,
  "slices": _slices,
  "ranks": _ranks,
}


def _known(measures: Mapping[str, Any], name: str, section: str) -> Any:
  if name not in measures:
    there = ", ".join(measures) or "none (labels or --query are missing)"
    raise InputError(f"{section} should be of {there}, has {name!r}")
  return measures[name]
