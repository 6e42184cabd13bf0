"""What made rows look like: which values meet, how often, how many there are.

A row is a user in a session who is shown an ad. Each column follows one of them
or another column, so columns share information and some are near copies. Counts
of values, shares of the first ones, missing rates and ranges of the integers
are round figures near those known of the Kaggle set; every value is made.
"""

import dataclasses
import functools

import numpy as np

from ctr_codistill.criteo.made import draws
from ctr_codistill.criteo.made.draws import Quantiles
from ctr_codistill.criteo.schema import MISSING

_UNIFORM = 10**12
_BLOCK = 64  # neighbouring rows that share sessions
_SESSIONS = 16  # of a block: four rows each
_ADS = 10_131_226
_INDEX_BITS = np.uint64(2**31 - 1)


@dataclasses.dataclass(frozen=True)
class Column:
  """How one column is filled.

  Attributes:
    parent: what decides the value: user, session, ad, row or a column above.
    missing: the (share, cause) of empty cells; the cause is a parent.
    knots: shares and values as `draws.quantiles` takes them; none: the parent's
      own number.
    offset: see `draws.quantiles`.
    lowest: what the value 0 stands for.
    noise: of an integer: 2**-noise of the range is the row's own.
  """

  parent: str
  missing: tuple[float, str]
  knots: tuple[tuple[float, int], ...]
  offset: int = 1
  lowest: int = 0
  noise: int = 1

  @functools.cached_property
  def quantiles(self) -> Quantiles:
    """The column's distribution."""
    return draws.quantiles(self.knots, offset=self.offset)


def _integer(
  parent: str,
  missing: float,
  *knots: tuple[float, int],
  lowest: int = 0,
  noise: int = 1,
) -> Column:
  return Column(
    parent, (missing, parent), ((0.0, 0), *knots), lowest=lowest, noise=noise
  )


def _category(
  parent: str,
  values: int,
  *head: float,
  missing: tuple[float, str] = (0.0, "row"),
  flat: int = 1,
) -> Column:
  """A column of `values` values, the first ones with the shares `head`."""
  knots, share = [(0.0, 0)], 0.0
  for rank, part in enumerate(head):
    share += part
    knots.append((share, rank + 1))
  if values > len(head):
    knots.append((1.0, values))
  return Column(parent, missing, tuple(knots), offset=flat)


# fmt: off
NUMERICS = {
  "I1": _integer("user", 0.45,
                 (0.43, 1), (0.75, 4), (0.95, 15), (0.99, 40), (1, 400)),
  "I2": _integer("ad", 0.0, (0.05, 2), (0.22, 3), (0.5, 7), (0.75, 38),
                 (0.95, 500), (0.99, 2_200), (1, 10_000), lowest=-3),
  "I3": _integer("ad", 0.21,
                 (0.25, 2), (0.5, 6), (0.95, 75), (0.99, 220), (1, 65_000)),
  "I4": _integer("ad", 0.21,
                 (0.05, 1), (0.5, 4), (0.95, 26), (0.99, 40), (1, 350)),
  "I5": _integer("user", 0.026, (0.02, 1), (0.25, 330), (0.75, 10_000),
                 (0.95, 60_000), (0.99, 350_000), (1, 2_000_000)),
  "I6": _integer("user", 0.22, (0.06, 1), (0.25, 8), (0.75, 100),
                 (0.95, 480), (0.99, 1_300), (1, 100_000)),
  "I7": _integer("session", 0.043, (0.22, 1), (0.5, 3), (0.75, 12),
                 (0.95, 65), (0.99, 220), (1, 5_000)),
  "I8": _integer("row", 0.001,
                 (0.11, 1), (0.5, 8), (0.95, 42), (0.99, 50), (1, 1_500)),
  "I9": _integer("session", 0.043, (0.03, 1), (0.25, 10), (0.75, 110),
                 (0.95, 440), (0.99, 1_000), (1, 9_000), noise=3),
  "I10": _integer("user", 0.45,
                  (0.48, 1), (0.9, 2), (0.98, 3), (1, 8), noise=3),
  "I11": _integer("session", 0.043, (0.23, 1), (0.75, 4), (0.95, 11),
                  (0.99, 26), (1, 120), noise=3),
  "I12": _integer("row", 0.77, (0.74, 1), (0.95, 4), (0.99, 19), (1, 200)),
  "I13": _integer("ad", 0.21, (0.06, 1), (0.5, 4), (0.95, 29), (0.99, 50),
                  (1, 1_500), noise=3),
}
# fmt: on

_AD = (0.034, "ad")
_OFFER = (0.44, "session")

CATEGORICALS = {
  "C1": _category("user", 1_460, 0.5, 0.17, 0.08, 0.05, 0.03),
  "C2": _category("user", 583, 0.11, 0.045, 0.04, flat=12),
  "C3": Column("ad", _AD, ()),
  "C4": _category("ad", 2_202_608, missing=_AD),
  "C5": _category("session", 305, 0.67, 0.15, 0.06, 0.04),
  "C6": _category("user", 24, 0.45, 0.25, 0.21, missing=(0.12, "user")),
  "C7": _category("session", 12_517, flat=5),
  "C8": _category("user", 633, 0.6, 0.16, 0.07, 0.04),
  "C9": _category("user", 3, 0.9, 0.098, 0.002),
  "C10": _category("user", 93_145, 0.22, flat=20),
  "C11": _category("C7", 5_683, flat=10),
  "C12": _category("ad", 8_351_593, missing=_AD, flat=_UNIFORM),
  "C13": _category("C11", 3_194, flat=10),
  "C14": _category("row", 27, 0.35, 0.34, 0.155, 0.05),
  "C15": _category("user", 14_992, flat=10),
  "C16": _category("ad", 5_461_306, missing=_AD, flat=_UNIFORM),
  "C17": _category("ad", 10, 0.46, 0.13, 0.11, 0.09),
  "C18": _category("ad", 5_652, flat=15),
  "C19": _category("session", 2_173, 0.62, 0.035, missing=_OFFER),
  "C20": _category("user", 4, 0.34, 0.33, 0.329, missing=_OFFER),
  "C21": _category("ad", 7_046_547, missing=_AD, flat=_UNIFORM),
  "C22": _category("row", 18, 0.57, 0.36, 0.03, missing=(0.76, "row")),
  "C23": _category("session", 15, 0.44, 0.2, 0.12, 0.09),
  "C24": _category("ad", 286_181, missing=_AD),
  "C25": _category("C24", 105, 0.25, 0.19, 0.14, missing=_OFFER),
  "C26": _category("ad", 142_572, missing=_OFFER),
}

_RANKS = draws.quantiles(((0.0, 0), (1.0, _ADS)))
_USERS = draws.quantiles(((0.0, 0), (1.0, 50_000_000)), offset=100_000)


def actors(
  seed: int, numbers: np.ndarray, days: np.ndarray, *, fresh: float
) -> dict[str, np.ndarray]:
  """Returns who meets in each row: user, session, ad, row, each `[rows]`.

  Args:
    seed: the stream's.
    numbers: the rows' numbers, int64 `[rows]`.
    days: the day of each row, int64 `[rows]`.
    fresh: share of ads that another ad replaces each day, 0 to 1.
  """
  turn = draws.bits64(draws.key(seed, "session"), numbers)
  sessions = numbers // _BLOCK * _SESSIONS
  sessions += (turn % np.uint64(_SESSIONS)).astype(np.int64)
  users = _USERS.pick(draws.bits32(draws.key(seed, "user"), sessions))
  # A third of a session's rows show its favourite ad: whole tuples come again.
  again = turn >> np.uint64(32) < draws.below(1 / 3)
  shown = np.where(again, sessions, numbers + 2**62)
  ads = _RANKS.pick(draws.bits32(draws.key(seed, "ad"), shown))
  if fresh:
    age = draws.bits32(draws.key(seed, "age"), ads) >> np.uint64(16)
    ads += generation(days, age, fresh) * np.uint64(_ADS)
  ads &= _INDEX_BITS
  return {"user": users, "session": sessions, "ad": ads, "row": numbers}


def generation(days: np.ndarray, phase: np.ndarray, share: float) -> np.ndarray:
  """Returns how often each thing was replaced by its day, uint64 `[rows]`.

  Args:
    days: int64 `[rows]`.
    phase: a draw of 16 bits of each thing, uint64 `[rows]`.
    share: of the things that are replaced each day.
  """
  turned = days.astype(np.uint64) * np.uint64(round(share * 2**16)) + phase
  return turned >> np.uint64(16)


def numerics(seed: int, who: dict[str, np.ndarray]) -> np.ndarray:
  """Returns the integers of the rows, int32 `[13, rows]`, some MISSING."""
  found = np.empty((len(NUMERICS), len(who["row"])), np.int32)
  levels = {
    parent: draws.bits32(draws.key(seed, "level", parent), counters)
    for parent, counters in who.items()
  }
  for place, (name, column) in enumerate(NUMERICS.items()):
    own = draws.bits32(draws.key(seed, "own", name), who["row"])
    own >>= np.uint64(column.noise)
    own += levels[column.parent]
    own &= np.uint64(2**32 - 1)  # around the circle: still uniform
    found[place] = column.quantiles.pick(own)
    found[place] += column.lowest
  return _emptied(found, NUMERICS, seed, who)


def categories(seed: int, who: dict[str, np.ndarray]) -> np.ndarray:
  """Returns the categories' indices, int32 `[26, rows]`, some MISSING."""
  found = np.empty((len(CATEGORICALS), len(who["row"])), np.int32)
  known = dict(who)
  for place, (name, column) in enumerate(CATEGORICALS.items()):
    known[name] = known[column.parent]
    if column.knots:
      choice = draws.bits32(draws.key(seed, "value", name), known[name])
      known[name] = column.quantiles.pick(choice)
    found[place] = known[name]
  return _emptied(found, CATEGORICALS, seed, who)


def _emptied(
  found: np.ndarray,
  columns: dict[str, Column],
  seed: int,
  who: dict[str, np.ndarray],
) -> np.ndarray:
  """Empties cells; columns with one cause and share are empty together."""
  masks = {
    (share, cause): draws.bits32(
      draws.key(seed, "missing", cause, share), who[cause]
    )
    < draws.below(share)
    for share, cause in {column.missing for column in columns.values()}
    if share
  }
  for place, column in enumerate(columns.values()):
    if column.missing in masks:
      found[place][masks[column.missing]] = MISSING
  return found
