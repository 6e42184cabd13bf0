"""Limits and the verdicts on them, as data, and the text that they read as.

A verdict holds the figure it was passed on, so that a page, a JSON file and a
terminal's line say the same of it. What was never judged is not kept: a gate
that passes without having looked would be believed.
"""

import collections
import dataclasses
import math
from typing import Any

from ctr_codistill.errors import InputError
from ctr_codistill.evaluation import intervals
from ctr_codistill.evaluation.intervals import Interval

VALUE = "value"
WITHIN = "surely_within"
BEYOND = "surely_beyond"
JUDGES = (VALUE, WITHIN, BEYOND)
"""What of a figure must keep a limit, see `gate`."""
KEPT = "kept"
BROKEN = "broken"
UNJUDGED = "not judged"


@dataclasses.dataclass(frozen=True)
class Limit:
  """One limit of a file.

  Attributes:
    section: of the file.
    measure: that is limited.
    most: allowed; infinite where only `least` is said.
    least: allowed, at most `most`.
  """

  section: str
  measure: str
  most: float = math.inf
  least: float = -math.inf

  def __post_init__(self) -> None:
    if not self.least <= self.most:
      raise InputError(
        f"{self.name}: least should be at most {self.most:g}, is {self.least:g}"
      )

  @property
  def name(self) -> str:
    """Its section and measure, such as slices.log_loss."""
    return f"{self.section}.{self.measure}"

  @property
  def allowed(self) -> str:
    """What it allows, such as: at most 0.1."""
    parts = [f"at most {self.most:g}"] * math.isfinite(self.most)
    parts += [f"at least {self.least:g}"] * math.isfinite(self.least)
    return " and ".join(parts)


@dataclasses.dataclass(frozen=True)
class Figure:
  """What a limit is held against.

  Attributes:
    value: of the measure.
    interval: over examples, 95 %; nan where there is none.
    of: nothing where it is of all; (run,); or (column, slice).
  """

  value: float
  interval: Interval = intervals.NOTHING
  of: tuple[str, ...] = ()

  @property
  def place(self) -> str:
    """What it is of, such as site = b; "" where it is of all."""
    return " = ".join(self.of)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """Whether one limit holds.

  Attributes:
    limit: that was judged.
    judge: one of `JUDGES`.
    worst: of the figures the one farthest beyond, or else nearest to it; None
      where there was nothing to judge.
    judged: number of figures held against it.
    beyond: how many of them broke it.
    why: nothing was judged; "" if it was.
    may_be_none: whether it holds though nothing was judged.
  """

  limit: Limit
  judge: str
  worst: Figure | None
  judged: int = 1
  beyond: int = 0
  why: str = ""
  may_be_none: bool = False

  def __post_init__(self) -> None:
    if not 0 <= self.beyond <= self.judged:
      raise InputError(
        f"beyond should be 0 to {self.judged} judged, is {self.beyond}"
      )
    if (self.worst is None) != (self.judged == 0):
      raise InputError(f"worst of {self.judged} judged is {self.worst}")

  @property
  def holds(self) -> bool:
    """Whether it stops nothing."""
    return not self.beyond if self.judged else self.may_be_none

  @property
  def outcome(self) -> str:
    """Kept, broken or not judged."""
    if not self.judged:
      return UNJUDGED
    return BROKEN if self.beyond else KEPT

  @property
  def line(self) -> str:
    """The verdict for a terminal."""
    word = "ok" if self.holds else self.outcome.upper()
    head = f"{word.ljust(7)} {self.limit.name}: "
    if self.worst is None:
      return f"{head}nothing to judge, {self.why}"
    text = f"{head}{self.worst.value:.4g}{_of(self.worst)}"
    if self.judge == VALUE:
      text += f", should be {self.limit.allowed}"
    elif math.isnan(self.worst.interval[0]):
      text += f" (no interval), should be {self.limit.allowed}"
    else:
      text += self._surely(*self.worst.interval)
    if self.judged > 1:
      text += f"; {self.beyond} of {self.judged} beyond"
    return text

  def _surely(self, low: float, high: float) -> str:
    """Returns what an interval says of a limit, such as: surely within."""
    sure = self.holds == (self.judge == WITHIN)
    said = "not " * (not sure) + self.judge.replace("_", " ")
    return f" (95 %: {low:.4g} to {high:.4g}), {self.limit.allowed}: {said}"

  def to_dict(self) -> dict[str, Any]:
    """Returns what `churn.json` says of it; docs/churn.md has the keys."""
    worst = self.worst or Figure(math.nan)
    has_interval = not math.isnan(worst.interval[0])
    return {
      "section": self.limit.section,
      "measure": self.limit.measure,
      "most": self.limit.most,
      "least": self.limit.least,
      "holds": self.holds,
      "outcome": self.outcome,
      "judged": self.judged,
      "beyond": self.beyond,
      "value": worst.value,
      "interval": list(worst.interval) if has_interval else None,
      "run": worst.of[0] if len(worst.of) == 1 else None,
      "slice": list(worst.of) if len(worst.of) == 2 else None,
    }


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a gate came to.

  Attributes:
    judge: one of `JUDGES`, as the file of limits says.
    verdicts: on its limits, in the file's order.
  """

  judge: str
  verdicts: tuple[Verdict, ...]

  @property
  def holds(self) -> bool:
    """Whether all limits hold."""
    return all(verdict.holds for verdict in self.verdicts)

  @property
  def word(self) -> str:
    """What the gate says: passed or refused."""
    return "passed" if self.holds else "refused"

  @property
  def counted(self) -> str:
    """How many limits came to what, such as: of 3 limits 1 broken, 2 kept."""
    counts = collections.Counter(one.outcome for one in self.verdicts)
    kinds = (BROKEN, UNJUDGED, KEPT)
    parts = [f"{counts[kind]} {kind}" for kind in kinds if counts[kind]]
    total = len(self.verdicts)
    return f"of {total} limit{'s' * (total > 1)} {', '.join(parts)}"

  def to_dict(self) -> dict[str, Any]:
    """Returns what `churn.json` says of it."""
    verdicts = [one.to_dict() for one in self.verdicts]
    return {"judge": self.judge, "holds": self.holds, "verdicts": verdicts}


def _of(figure: Figure) -> str:
  preposition = ("", " of ", " in ")[len(figure.of)]
  return preposition + figure.place
