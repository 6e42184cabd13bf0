"""Courses: texts that say how a number goes through a training.

    1                          always 1
    0, 200:1                   0, from step 200 on 1
    1e-4, 33%:1e-5, 67%:0      down after a third and two thirds of all steps
    0, 200-400:1               0, from step 200 to 400 in a line to 1, then 1
    0.2, 0%-100%:0             in a line from 0.2 to 0 at the end

The first value, then what comes later: PLACE:VALUE is a jump, PLACE-PLACE:VALUE
a line. A place is a step, counted from 0, or a share of the training's steps.
"""

import functools
import math
import re

from ctr_codistill.errors import InputError

_PLACE = r"[0-9]+(?:\.[0-9]+)?%|[0-9]+"
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_PIECE = re.compile(rf"({_PLACE})(?:-({_PLACE}))?:(.+)")

_Piece = tuple[str, str, float]
"""Where it begins, where it has reached its value, the value."""


class Course(str):
  """A text of the grammar above, in one form; equal if that is equal.

  A text, so that a flag, JSON and TOML hold it as it is; and a plain number is
  one. Its truth is that of a text: ask `is_zero`.
  """

  def __new__(cls, value: str | float) -> "Course":
    """Returns the course that `value` says.

    Raises:
      InputError: it says none, or has a value that is not finite.
    """
    text = value if isinstance(value, str) else _text(value)
    first, pieces = _parsed(text)
    parts = [_text(first)]
    for start, end, reached in pieces:
      place = start if start == end else f"{start}-{end}"
      parts.append(f"{place}:{_text(reached)}")
    return super().__new__(cls, ", ".join(parts))

  @property
  def values(self) -> tuple[float, ...]:
    """The values that it jumps or goes to, in their order."""
    first, pieces = _parsed(str(self))
    return (first, *(value for _, _, value in pieces))

  @property
  def is_zero(self) -> bool:
    """Whether it is 0 from the first step to the last."""
    return not any(self.values)

  def at(self, step: int, *, steps: int) -> float:
    """Returns the value at `step`, from 0, of a training of `steps`."""
    value, pieces = _parsed(str(self))
    for first, last, reached in pieces:
      start, end = _step(first, steps), _step(last, steps)
      if step < start:
        break
      if step < end:
        return value + (reached - value) * (step - start) / (end - start)
      value = reached
    return value


@functools.lru_cache(maxsize=1024)
def _parsed(text: str) -> tuple[float, tuple[_Piece, ...]]:
  first, *rest = text.split(",")
  pieces = tuple(_piece(part.strip(), text) for part in rest)
  places = [place for start, end, _ in pieces for place in (start, end)]
  # Steps and shares can only be compared once the number of steps is known;
  # then pieces count in the order of the text.
  for is_share in (True, False):
    own = [p.rstrip("%") for p in places if p.endswith("%") == is_share]
    if own != sorted(own, key=float):
      raise _wrong(text, "places should rise")
    if is_share and any(float(place) > 100 for place in own):
      raise _wrong(text, "a share should be at most 100%")
  return _value(first, text), pieces


def _piece(part: str, text: str) -> _Piece:
  found = _PIECE.fullmatch(part)
  if not found:
    raise _wrong(text, f"{part!r} should be PLACE:VALUE or PLACE-PLACE:VALUE")
  start, end, value = found.groups()
  return start, end or start, _value(value, text)


def _value(part: str, text: str) -> float:
  # float() takes "1_0" for 10, and digits of all scripts.
  value = float(part) if _NUMBER.fullmatch(part.strip()) else math.nan
  if not math.isfinite(value):
    raise _wrong(text, f"{part.strip()!r} should be a finite number")
  return value


def _step(place: str, steps: int) -> float:
  return float(place[:-1]) * steps / 100 if place[-1] == "%" else int(place)


def _text(value: float) -> str:
  return repr(float(value)).removesuffix(".0")


def _wrong(text: str, why: str) -> InputError:
  return InputError(
    f"a course should be a number, or such as '0, 200:1', is {text!r}: {why}"
  )
