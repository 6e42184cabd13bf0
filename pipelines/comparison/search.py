"""The search that comes first: a baseline that was not tuned is a straw man.

It learns from the first training rows and is judged by the last of them; the
rows that the report is about are never seen.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill.errors import InputError

Values = dict[str, Any]
"""What a point of the search says, by dotted field."""

_ORDERS = ("grid", "coordinates")


@dataclasses.dataclass(frozen=True)
class Search:
  """What is tried.

  Attributes:
    arm: whose experiment is tuned.
    holdout: share of the training rows, the last, that judge; in (0, 1).
    repeats: trainings of each point, at least 1.
    order: all points of the grid; or one field after the other, those before
      at their best, those after at the first of their values.
    grid: the values of each field, by dotted name.
  """

  arm: str
  holdout: float
  repeats: int
  order: str
  grid: Mapping[str, Sequence[Any]]

  def __post_init__(self) -> None:
    if type(self.holdout) is not float or not 0 < self.holdout < 1:
      raise InputError(
        f"search.holdout should be in (0, 1), is {self.holdout!r}"
      )
    if type(self.repeats) is not int or self.repeats < 1:
      raise InputError(f"search.repeats should be >= 1, is {self.repeats!r}")
    if self.order not in _ORDERS:
      raise InputError(
        f"search.order should be one of {', '.join(_ORDERS)}, is {self.order!r}"
      )
    if not isinstance(self.grid, Mapping) or not self.grid:
      raise InputError(
        f"search.grid should be a table of fields, is {self.grid!r}"
      )
    for field, values in self.grid.items():
      if not isinstance(values, Sequence) or isinstance(values, str):
        raise InputError(
          f"search.grid: {field} should be a list, is {values!r}"
        )
      if not values:
        raise InputError(f"search.grid: {field} should have values, has none")
      if any(value in values[:i] for i, value in enumerate(values)):
        # Two trainings in one directory, each the ruin of the other.
        raise InputError(
          f"search.grid: {field} should have each value once, is {values!r}"
        )
      if any(other.startswith(field + ".") for other in self.grid):
        raise InputError(
          f"search.grid: {field} should be a field, others are below it"
        )


@dataclasses.dataclass(frozen=True)
class Tried:
  """A point and the log loss of each of its trainings; none if one failed."""

  values: Values
  log_losses: tuple[float, ...]

  @property
  def mean(self) -> float:
    """Mean log loss over the trainings, infinite if one failed."""
    if not self.log_losses:
      return float("inf")
    return sum(self.log_losses) / len(self.log_losses)


def rounds(search: Search) -> Iterator[list[Values]]:
  """Yields the points to try side by side; it is sent the best until then."""
  if search.order == "grid":
    points = itertools.product(*search.grid.values())
    yield [dict(zip(search.grid, point)) for point in points]
    return
  best = {field: values[0] for field, values in search.grid.items()}
  for field, values in search.grid.items():
    best = yield [{**best, field: value} for value in values]


def best(tried: Sequence[Tried]) -> Tried:
  """Returns the point of the least mean log loss, the first of equal ones.

  Raises:
    InputError: a training of every point failed.
  """
  found = min(tried, key=lambda one: one.mean)
  if not found.log_losses:
    raise InputError("the search has no point whose trainings all ended well")
  return found


def name(values: Values) -> str:
  """Returns the name of a point, fit for a file."""
  text = ",".join(f"{field}={value}" for field, value in values.items())
  # What fits no file's name is spelled: "10:1" is not "10%:1".
  return re.sub(r"[^\w,.+=-]", _spelled, text)


def _spelled(found: re.Match) -> str:
  kept_out = " \"'[]()"  # of lists and texts, which are told apart without
  return "" if found[0] in kept_out else f"_{ord(found[0]):x}_"


def tree(values: Values) -> dict[str, Any]:
  """Returns dotted fields as a tree of tables."""
  found: dict[str, Any] = {}
  for field, value in values.items():
    *tables, last = field.split(".")
    place = found
    for table in tables:
      place = place.setdefault(table, {})
    place[last] = value
  return found


def at_an_end(search: Search, values: Values) -> list[str]:
  """Returns the fields whose chosen number is the least or largest tried.

  Beyond it there may be a better one.
  """
  return [
    field
    for field, tried in search.grid.items()
    if len(tried) > 1
    and all(type(value) in (int, float) for value in tried)
    and values[field] in (min(tried), max(tried))
  ]
