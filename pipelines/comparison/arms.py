"""Arms of a comparison: ways to get a served model, repeated independently.

An arm is trained, or a mean: that one trains nothing, it averages what repeats
of another arm predict, an ensemble. A trained arm may have repeats of another
one as teachers that stay as they are.
"""

import dataclasses
from collections.abc import Sequence

from ctr_codistill import config
from ctr_codistill.errors import InputError


@dataclasses.dataclass(frozen=True)
class Arm:
  """One way to get a served model.

  Attributes:
    name: in reports.
    repeats: independent trainings (or means), at least 2: churn needs a pair.
    experiments: one a repeat; empty for a mean.
    mean_of: the arm whose predictions are averaged, "" for none.
    of_weights: whether `mean_of` means the weights of all groups of a repeat
      instead, one model.
    teachers_of: the arm whose served models teach, "" for none.
    members: how many repeats of either make one mean or teach one repeat.
    refresh: share of the training rows, the last, that every second repeat,
      from the first, is trained without; 0: all have the same rows.
  """

  name: str
  repeats: int
  experiments: tuple[config.Experiment, ...] = ()
  mean_of: str = ""
  of_weights: bool = False
  teachers_of: str = ""
  members: int = 0
  refresh: float = 0.0

  @property
  def source(self) -> str:
    """The arm of which it needs repeats, "" for none."""
    return self.mean_of or self.teachers_of

  @property
  def seeds(self) -> tuple[int, ...]:
    """The seed of each repeat; none for a mean."""
    return tuple(one.training.seed for one in self.experiments)


def run_name(arm: str, repeat: int) -> str:
  """Returns the name of a repeat of the arm of this name, fit for a file."""
  return f"{arm.replace(' ', '-')}-{repeat}"


def run_names(arm: Arm) -> list[str]:
  """Returns the name of each repeat."""
  return [run_name(arm.name, repeat) for repeat in range(arm.repeats)]


def members(arm: Arm, repeat: int, source: Arm) -> list[str]:
  """Returns the runs of `source` that repeat `repeat` of `arm` needs.

  Each run serves one repeat, so that repeats stay independent. Of an arm whose
  data are refreshed an even repeat gets those without the last rows, an odd one
  those with them.
  """
  count, first, step = arm.members, repeat * arm.members, 1
  if source.refresh:
    first, step = repeat // 2 * 2 * count + repeat % 2, 2
  return [run_name(source.name, first + step * i) for i in range(count)]


def stages(arms: Sequence[Arm]) -> list[list[Arm]]:
  """Returns the trained arms in stages: teachers before those they teach."""
  left, found = [arm for arm in arms if arm.experiments], []
  while left:
    untrained = {arm.name for arm in left}
    found.append([arm for arm in left if arm.teachers_of not in untrained])
    left = [arm for arm in left if arm.teachers_of in untrained]
  return found


def check(arms: Sequence[Arm]) -> None:
  """Checks what arms say of one another.

  Raises:
    InputError: two names that make one file name; an arm that needs repeats of
      what is not trained, of itself in the end, or of more than there are.
  """
  files = [run_name(arm.name, 0) for arm in arms]
  for i, file in enumerate(files):
    if file in files[:i]:
      raise InputError(
        f"names of arms should be unique, {arms[files.index(file)].name!r} is "
        "not"
      )
  for arm in arms:
    if arm.source:
      _check_source(arm, {one.name: one for one in arms})


def _check_source(arm: Arm, known: dict[str, Arm]) -> None:
  key = "mean_of" if arm.mean_of else "teachers_of"
  key = "weights_of" if arm.of_weights else key
  for one in arm.experiments[:1]:
    if one.exchange.what != "snapshots":
      raise InputError(
        f"arm {arm.name!r}: exchange.what should be snapshots with teachers_of,"
        f" is {one.exchange.what}"
      )
  source = known.get(arm.source)
  if source is None or not source.experiments:
    raise InputError(
      f"arm {arm.name!r}: {key} should be an arm that is trained, is "
      f"{arm.source!r}"
    )
  if arm.of_weights and source.experiments[0].groups < 2:
    raise InputError(
      f"arm {arm.name!r}: weights_of should be an arm of 2 groups or more, is "
      f"{arm.source!r}"
    )
  chain = [arm.name]
  while source is not None and source.name not in chain:
    chain.append(source.name)
    source = known.get(source.source)
  if source is not None:
    raise InputError(
      f"arm {arm.name!r}: {key} should end at an arm without teachers, goes "
      f"around: {' <- '.join([*chain, source.name])}"
    )
  needed = members(arm, arm.repeats - 1, known[arm.source])
  names = run_names(known[arm.source])
  if not set(needed) <= set(names) or len(names) < arm.repeats * arm.members:
    raise InputError(
      f"arm {arm.name!r} should have {arm.repeats} x {arm.members} different "
      f"repeats of {arm.source!r}, which has {len(names)}"
    )
