"""Arms of a comparison: ways to train, each repeated independently.

An arm stands in a small TOML file; what it does not say is what `[experiment]`
says, or the default. An arm with `mean_of` trains nothing: it averages the
predictions of several repeats of another arm, an ensemble.
"""

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.+=_-]*")


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
    value = tomllib.loads(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise InputError(f"{path}: {error.strerror}") from None
  except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
    raise InputError(f"{path} should be TOML: {error}") from None
  try:
    return _arms(value)
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _arms(value: Mapping[str, Any]) -> tuple[Arm, ...]:
  _refuse_unknown(value, ("experiment", "arm"), "the file")
  items = value.get("arm")
  if not items or not isinstance(items, list):
    raise InputError(f"the file should have arms ([[arm]]), has {items}")
  shared = _table(value.get("experiment", {}), "experiment")
  arms = tuple(_arm(_table(item, "an arm"), shared) for item in items)
  _check(arms)
  return arms


def _arm(item: Mapping[str, Any], shared: Mapping[str, Any]) -> Arm:
  name = item.get("name")
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise InputError(
      "an arm should have a name of letters, digits, spaces and , . + = - _ "
      f"that begins with a letter or digit, has {name!r}"
    )
  repeats, where = _count(item, "repeats"), f"arm {name!r}"
  if "mean_of" in item:
    _refuse_unknown(item, ("name", "repeats", "mean_of", "members"), where)
    return Arm(name, repeats, (), item["mean_of"], _count(item, "members"))
  known = ("name", "repeats", "workers", "experiment", "mean_of")
  _refuse_unknown(item, known, where)
  return Arm(name, repeats, _experiments(item, repeats, shared))


def _experiments(
  item: Mapping[str, Any], repeats: int, shared: Mapping[str, Any]
) -> tuple[config.Experiment, ...]:
  """Returns an experiment a repeat: repeat r adds r to the seed."""
  where = f"arm {item['name']!r}"
  own = _table(item.get("experiment", {}), f"{where}: experiment")
  first = config.from_dict(_merged(shared, own))
  workers = item.get("workers", [first.workers] * repeats)
  if not isinstance(workers, list) or len(workers) != repeats:
    raise InputError(
      f"{where}: workers should be a list of {repeats} numbers, one a repeat, "
      f"is {workers!r}"
    )
  return tuple(
    dataclasses.replace(
      first,
      workers=count,
      training=dataclasses.replace(
        first.training, seed=first.training.seed + repeat
      ),
    )
    for repeat, count in enumerate(workers)
  )


def _table(value: Any, name: str) -> Mapping[str, Any]:
  if not isinstance(value, Mapping):
    raise InputError(f"{name} should be a table, is {value!r}")
  return value


def _count(item: Mapping[str, Any], key: str) -> int:
  value = item.get(key, 2)
  if type(value) is not int or value < 2:
    raise InputError(
      f"arm {item['name']!r}: {key} should be >= 2, is {value!r}"
    )
  return value


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


def _check(arms: tuple[Arm, ...]) -> None:
  files = [run_name(arm.name, 0) for arm in arms]
  trained = {arm.name: arm.repeats for arm in arms if arm.experiments}
  for arm, file in zip(arms, files):
    if files.count(file) > 1:
      raise InputError(
        f"names of arms should be unique, {arms[files.index(file)].name!r} is "
        "not"
      )
    if arm.experiments:
      continue
    if not isinstance(arm.mean_of, str) or arm.mean_of not in trained:
      raise InputError(
        f"arm {arm.name!r}: mean_of should be an arm that is trained, is "
        f"{arm.mean_of!r}"
      )
    if trained[arm.mean_of] < arm.repeats * arm.members:
      raise InputError(
        f"arm {arm.name!r} should average {arm.repeats} x {arm.members} "
        f"different repeats of {arm.mean_of!r}, which has "
        f"{trained[arm.mean_of]}"
      )
