"""Whether two runs are equal to the bit, and where they part."""

import dataclasses
import pathlib
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill.errors import InputError
from ctr_codistill.training import contents
from ctr_codistill.training import manifest
from ctr_codistill.training import workdir

EQUAL, DIFFERENT, INCOMPARABLE = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Verdict:
  """One of `EQUAL`, `DIFFERENT` and `INCOMPARABLE`, and why, in lines."""

  status: int
  lines: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Parting:
  """Where two runs differ first."""

  step: int
  group: int
  variable: str


def verify(one: pathlib.Path, other: pathlib.Path) -> Verdict:
  """Compares all that two runs published, snapshot by snapshot.

  Args:
    one: work directory of a run.
    other: that of another.
  """
  try:
    return _verdict(one, other)
  except InputError as error:
    return Verdict(INCOMPARABLE, (f"cannot be compared: {error}",))


def _verdict(one: pathlib.Path, other: pathlib.Path) -> Verdict:
  ours, theirs = manifest.read(one), manifest.read(other)
  different = manifest.differences(ours, theirs)
  if different:
    return Verdict(
      INCOMPARABLE, ("cannot be compared, since they differ in:", *different)
    )
  partings, common, unequal = [], 0, []
  for group in range(_groups(ours, one)):
    folders = [workdir.group_folder(root, group) for root in (one, other)]
    steps = [contents.steps(folder) for folder in folders]
    both = sorted(set(steps[0]) & set(steps[1]))
    common += len(both)
    partings += _parting(folders, both, group)
    ends = [max(own, default=0) for own in steps]
    if ends[0] != ends[1] or not both:
      unequal.append(
        f"group {group} has snapshots up to step {ends[0]} in {one}, up to "
        f"step {ends[1]} in {other}"
      )
  expected = _expected(ours)
  if partings:
    return _parted(partings, expected)
  if unequal:
    said = f"cannot be compared to their ends, are equal in {common} snapshots:"
    return Verdict(INCOMPARABLE, (said, *unequal, expected))
  return Verdict(EQUAL, (f"equal in {common} snapshots", expected))


def _parted(partings: Sequence[_Parting], expected: str) -> Verdict:
  first = min(partings, key=lambda parting: (parting.step, parting.group))
  said = (
    f"differ first at step {first.step}, group {first.group}, variable "
    f"{first.variable}"
  )
  return Verdict(DIFFERENT, (said, expected))


def _groups(found: Mapping[str, Any], root: pathlib.Path) -> int:
  try:
    return int(found["world"]["groups"])
  except (KeyError, TypeError, ValueError):
    raise InputError(f"the manifest of {root} should name its groups") from None


def _expected(found: Mapping[str, Any]) -> str:
  flags = found.get("flags")
  if isinstance(flags, Mapping) and flags.get("reproducible"):
    return "they should be equal: both are reproducible, of one manifest"
  return "they need not be equal: they were trained without --reproducible"


def _parting(
  folders: list[pathlib.Path], steps: list[int], group: int
) -> list[_Parting]:
  """Returns the first parting of a group, none if there is none."""
  for step in steps:
    ours, theirs = (contents.read(folder, step) for folder in folders)
    if ours != theirs:
      names = [
        name
        for (name, own), (_, its) in zip(ours, theirs, strict=False)
        if own != its
      ]
      return [_Parting(step, group, (names or ["(their names differ)"])[0])]
  return []
