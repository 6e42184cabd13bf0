"""Arms of a comparison: ways to train, each repeated independently.

An arm stands in a small TOML file; what it does not say is what `[experiment]`
says, or the default. An arm with `mean_of` trains nothing: it averages the
predictions of several repeats of another arm, an ensemble.
"""

import dataclasses
import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

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
    members: how many repeats of `mean_of` make one mean.
  """

  name: str
  repeats: int
  experiments: tuple[config.Experiment, ...] = ()
  mean_of: str = ""
  members: int = 0


def run_name(arm: str, repeat: int) -> str:
  """Returns the name of a repeat of the arm of this name, fit for a file."""
  return f"{arm.replace(' ', '-')}-{repeat}"


def read(path: pathlib.Path) -> tuple[Arm, ...]:
  """Returns the arms of a TOML file.

  Raises:
    InputError: no such file, no TOML, an unknown key, or a wrong value.
  """
  try:
    text = path.read_text(encoding="utf-8")
    value = tomllib.loads(text)
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}") from None
  except tomllib.TOMLDecodeError as error:
    raise InputError(f"{path} should be TOML: {error}") from None
  _refuse_unknown(value, ("experiment", "arm"), str(path))
  shared = value.get("experiment", {})
  arms = tuple(_arm(item, shared) for item in value.get("arm", []))
  _check(arms, path)
  return arms


def _arm(item: Mapping[str, Any], shared: Mapping[str, Any]) -> Arm:
  name = item.get("name")
  if not isinstance(name, str) or not name:
    raise InputError(f"an arm should have a name, has {name!r}")
  known = ("name", "repeats", "workers", "experiment", "mean_of", "members")
  _refuse_unknown(item, known, f"arm {name!r}")
  repeats = item.get("repeats", 2)
  if type(repeats) is not int or repeats < 2:
    raise InputError(f"arm {name!r}: repeats should be >= 2, is {repeats!r}")
  if "mean_of" in item:
    members = item.get("members", 2)
    return Arm(name, repeats, (), item["mean_of"], members)
  return Arm(name, repeats, _experiments(item, repeats, shared))


def _experiments(
  item: Mapping[str, Any], repeats: int, shared: Mapping[str, Any]
) -> tuple[config.Experiment, ...]:
  """Returns an experiment a repeat: repeat r adds r to the seed."""
  own = _merged(shared, item.get("experiment", {}))
  workers = item.get("workers", [own.get("workers", 1)] * repeats)
  if not isinstance(workers, list) or len(workers) != repeats:
    raise InputError(
      f"arm {item['name']!r}: workers should be a list of {repeats} numbers, "
      f"one a repeat, is {workers!r}"
    )
  seed = own.get("training", {}).get("seed", 0)
  return tuple(
    config.from_dict(
      _merged(own, {"workers": count, "training": {"seed": seed + repeat}})
    )
    for repeat, count in enumerate(workers)
  )


def _merged(
  under: Mapping[str, Any], over: Mapping[str, Any]
) -> dict[str, Any]:
  found = dict(under)
  for key, value in over.items():
    if isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
      value = _merged(found[key], value)
    found[key] = value
  return found


def _refuse_unknown(
  value: Mapping[str, Any], known: tuple[str, ...], where: str
) -> None:
  for key in value:
    if key not in known:
      raise InputError(f"{where} has no key {key!r}; it has {', '.join(known)}")


def _check(arms: tuple[Arm, ...], path: pathlib.Path) -> None:
  if not arms:
    raise InputError(f"{path} should have arms ([[arm]]), has none")
  trained = {arm.name: arm.repeats for arm in arms if arm.experiments}
  if len({arm.name for arm in arms}) < len(arms):
    raise InputError(f"{path}: names of arms should be unique")
  for arm in arms:
    if arm.mean_of and trained.get(arm.mean_of, 0) < arm.repeats * arm.members:
      raise InputError(
        f"arm {arm.name!r} should average {arm.repeats} x {arm.members} "
        f"different repeats of {arm.mean_of!r}, which has "
        f"{trained.get(arm.mean_of, 0)}"
      )
