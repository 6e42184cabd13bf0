"""Who learns from whom: the peers of each group.

    all          each from all others
    ring         group g from group g - 1, the first from the last
    0<1,2 1<2    0 from 1 and 2, 1 from 2; one that is not named learns alone

A text, so that a flag and the JSON of a run hold it; arrows point the way that
predictions go.
"""

import re

from ctr_codistill.errors import InputError

_ONE = re.compile(r"(\d+)<((?:\d+(?:,\d+)*)?)")


def is_one(text: str) -> bool:
  """Tells whether `text` has the form of a topology."""
  own = text in ("all", "ring")
  return own or all(_ONE.fullmatch(part) for part in text.split())


def peers(text: str, groups: int) -> tuple[tuple[int, ...], ...]:
  """Returns for each of `groups` the peers it learns from, ascending.

  Raises:
    InputError: a group that is not there, that stands twice, or learns from
      itself.
  """
  if text == "all":
    return tuple(
      tuple(peer for peer in range(groups) if peer != group)
      for group in range(groups)
    )
  if text == "ring":
    around = [((group - 1) % groups,) for group in range(groups)]
    return tuple(around) if groups > 1 else ((),)
  found: dict[int, tuple[int, ...]] = {}
  for part in text.split():
    group, those = _one(part, groups)
    if group in found:
      raise _wrong(part, "a group should stand there once")
    found[group] = those
  return tuple(found.get(group, ()) for group in range(groups))


def text_of(learns_from: dict[int, list[int]]) -> str:
  """Returns the text that says that each group learns from those it has."""
  return " ".join(
    f"{group}<{','.join(map(str, learns_from[group]))}"
    for group in sorted(learns_from)
  )


def _one(part: str, groups: int) -> tuple[int, tuple[int, ...]]:
  found = _ONE.fullmatch(part)
  if not found:
    raise _wrong(part, "should be all, ring or such as '0<1,2 1<0'")
  group = int(found[1])
  those = [int(peer) for peer in found[2].split(",") if peer]
  for number in (group, *those):
    if number >= groups:
      raise _wrong(part, f"a group should be in [0, {groups}), is {number}")
  if group in those:
    raise _wrong(part, "a group should not be its own peer")
  if len(set(those)) < len(those):
    raise _wrong(part, "a peer should stand there once")
  return group, tuple(sorted(those))


def _wrong(part: str, why: str) -> InputError:
  return InputError(f"exchange.topology {part!r}: {why}")
