"""Made clicks in Criteo's raw format, from a model that is known.

The best possible log loss of these rows is known, so a result can be told from
a perfect one; they may be given to anybody; and a stream of them has no end.
Rows are a function of (spec, row number): any worker makes any range in any
order, and the bytes are the same on every supported stack, because all that
decides a byte is whole numbers or exact in floating point (see `draws`).
"""

import dataclasses
import functools

import numpy as np

from ctr_codistill.criteo.made import click_model
from ctr_codistill.criteo.made import draws
from ctr_codistill.criteo.made import population
from ctr_codistill.criteo.made import raw_text
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.errors import InputError

_BLOCK = 16_384  # rows at a time: fewer cost calls, more cost cache misses
_SAMPLE = 32_768  # rows from which the click rate is set
_END = 2**60


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is made; equal specs make equal rows.

  Attributes:
    seed: decides rows and effects, 0 to 2**63 - 1.
    click_rate: about the share of clicks, 0.01 to 0.99; drift moves it later.
    signal: spread of the true logits, 0 to 4; more makes clicks easier to
      predict. 1 has a best log loss of about 0.44 and a best AUC of about 0.80.
    rows_per_day: rows until the next day begins, at least 1.
    drift: share of values whose effect is another one each day, 0 to 1.
    fresh: share of ads that a new one replaces each day, 0 to 1.

  Raises:
    InputError: a field has a wrong type or range.
  """

  seed: int = 0
  click_rate: float = 0.25
  signal: float = 1.0
  rows_per_day: int = 1_000_000
  drift: float = 0.0
  fresh: float = 0.0

  def __post_init__(self) -> None:
    _check("seed", self.seed, int, 0, 2**63 - 1)
    _check("rows_per_day", self.rows_per_day, int, 1, _END)
    _check("click_rate", self.click_rate, (int, float), 0.01, 0.99)
    _check("signal", self.signal, (int, float), 0, 4)
    _check("drift", self.drift, (int, float), 0, 1)
    _check("fresh", self.fresh, (int, float), 0, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class Clicks:
  """Made rows as arrays.

  Attributes:
    numbers: the rows' numbers, int64 `[rows]`.
    labels: 1 for a click, else 0, int8 `[rows]`.
    numerics: int32 `[rows, 13]`; `schema.MISSING` where there is none.
    categories: the index of each value in its column, int32 `[rows, 26]`;
      `schema.MISSING` where there is none.
    levels: the true logit on the grid of `click_model`, int64 `[rows]`.
  """

  numbers: np.ndarray
  labels: np.ndarray
  numerics: np.ndarray
  categories: np.ndarray
  levels: np.ndarray

  @property
  def probabilities(self) -> np.ndarray:
    """The probabilities that the labels were drawn with, float64 `[rows]`."""
    return click_model.probabilities()[self.levels] / 2**32


def rows(spec: Spec, start: int, stop: int) -> Clicks:
  """Returns the rows `start` to `stop` - 1 of the endless stream of `spec`.

  Raises:
    InputError: unless 0 <= start <= stop <= 2**60.
  """
  if not 0 <= start <= stop <= _END:
    raise InputError(
      f"a range of rows should be ascending, from 0 to 2**60, is {start} to"
      f" {stop}"
    )
  blocks = [
    _block(spec, first, min(first + _BLOCK, stop))
    for first in range(start, max(stop, start + 1), _BLOCK)
  ]
  if len(blocks) == 1:
    return blocks[0]
  return Clicks(
    *(
      np.concatenate([getattr(block, field.name) for block in blocks])
      for field in dataclasses.fields(Clicks)
    )
  )


def text(clicks: Clicks) -> bytes:
  """Returns `clicks` as raw Criteo lines.

  A value's 8 hexadecimal digits are a one-to-one function of its column and
  index: as many strings as values.
  """
  codes = np.empty(clicks.categories.T.shape, np.uint32)
  for place, name in enumerate(population.CATEGORICALS):
    codes[place] = _code(name, clicks.categories[:, place])
  return raw_text.text(
    labels=clicks.labels,
    numerics=clicks.numerics.T,
    codes=codes,
    empty=clicks.categories.T == MISSING,
  )


def _block(spec: Spec, start: int, stop: int) -> Clicks:
  numbers = np.arange(start, stop, dtype=np.int64)
  numerics, categories, scores = _scored(spec, numbers)
  levels = click_model.levels(scores, signal=spec.signal, bias=_bias(spec))
  chances = click_model.probabilities()[levels]
  luck = draws.bits32(draws.key(spec.seed, "click"), numbers)
  labels = (luck < chances).astype(np.int8)
  return Clicks(numbers, labels, numerics.T, categories.T, levels)


def _scored(
  spec: Spec, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  days = numbers // spec.rows_per_day
  who = population.actors(spec.seed, numbers, days, fresh=spec.fresh)
  numerics = population.numerics(spec.seed, who)
  categories = population.categories(spec.seed, who)
  scores = click_model.scores(
    spec.seed,
    numerics=numerics,
    categories=categories,
    days=days,
    drift=spec.drift,
  )
  return numerics, categories, scores


@functools.lru_cache(maxsize=16)
def _bias(spec: Spec) -> int:
  """Returns the bias that gives the first rows the click rate of `spec`."""
  numbers = np.arange(_SAMPLE, dtype=np.int64)
  scores = np.concatenate(
    [_scored(spec, part)[2] for part in np.split(numbers, _SAMPLE // _BLOCK)]
  )
  wanted = round(spec.click_rate * 2**32) * _SAMPLE
  low, high = -32 * click_model.UNIT, 32 * click_model.UNIT
  while high - low > 1:
    bias = (low + high) // 2
    found = click_model.levels(scores, signal=spec.signal, bias=bias)
    if int(click_model.probabilities()[found].sum()) < wanted:
      low = bias
    else:
      high = bias
  return high


def _code(name: str, indices: np.ndarray) -> np.ndarray:
  """Returns a permutation of 32 bits at `indices`, uint32 `[rows]`."""
  x = indices.astype(np.uint32)
  x ^= np.uint32(draws.key(0, "code", name) >> np.uint64(32))
  x ^= x >> np.uint32(16)
  x *= np.uint32(0x85EBCA6B)
  x ^= x >> np.uint32(13)
  x *= np.uint32(0xC2B2AE35)
  x ^= x >> np.uint32(16)
  return x


def _check(
  name: str,
  value: float,
  kind: type | tuple[type, ...],
  low: float,
  high: float,
) -> None:
  # A bool is an int to Python, and a NaN fails every comparison.
  if isinstance(value, bool) or not isinstance(value, kind):
    raise InputError(f"spec.{name} should be a number, is {value!r}")
  if not low <= value <= high:
    raise InputError(
      f"spec.{name} should be from {low} to {high}, is {value!r}"
    )
