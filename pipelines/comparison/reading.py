"""The file of a comparison: TOML to arms, a search and a target.

What an arm does not say is what its preset says, the search found, the table
`[experiment]` says, that table's preset, or the default: in this order.
"""

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill.errors import InputError
from pipelines import presets
from pipelines.comparison import arms as arms_
from pipelines.comparison import search as searches
from pipelines.comparison.arms import Arm
from pipelines.comparison.search import Search
from pipelines.comparison.search import Values

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.+=_-]*")
_TRAINED = (
  "name",
  "repeats",
  "workers",
  "preset",
  "experiment",
  "teachers_of",
  "members",
  "refresh",
  "mean_of",
)
_MEAN = ("name", "repeats", "mean_of", "members")
_SEARCH = ("arm", "holdout", "repeats", "order", "grid")


@dataclasses.dataclass(frozen=True)
class File:
  """What a file says.

  Attributes:
    arms: what is compared; the others are measured against the first.
    search: what is done before, None for nothing.
    target: of "steps to": a log loss, or the name of the arm that ends with
      it; None for none.
  """

  arms: tuple[Arm, ...]
  search: Search | None
  target: float | str | None
  _value: Mapping[str, Any]

  def tuned(self, values: Values) -> "File":
    """Returns the same with what a search found below all arms' own."""
    return _file(self._value, values)

  def point(self, values: Values) -> Arm:
    """Returns the arm of the search with `values` put over all it says."""
    item = next(
      item for item in self._value["arm"] if item["name"] == self.search.arm
    )
    over = presets.merged(item.get("experiment", {}), searches.tree(values))
    name, repeats = searches.name(values), self.search.repeats
    plain = {"name": item["name"], "preset": item.get("preset", "")}
    shared = _shared(self._value, {})
    experiments = _experiments(plain | {"experiment": over}, repeats, shared)
    return Arm(name, repeats, experiments)


def read(path: pathlib.Path) -> File:
  """Returns what a TOML file says, before its search is done.

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
    return _file(value, {})
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _file(value: Mapping[str, Any], tuned: Values) -> File:
  known = ("experiment", "search", "target", "arm")
  _refuse_unknown(value, known, "the file")
  items = value.get("arm")
  if not items or not isinstance(items, list):
    raise InputError(f"the file should have arms ([[arm]]), has {items}")
  shared = _shared(value, tuned)
  arms = tuple(_arm(_table(item, "an arm"), shared) for item in items)
  arms_.check(arms)
  arms = _refreshed(arms)
  search = _search(value["search"], arms) if "search" in value else None
  file = File(arms, search, _target(value.get("target"), arms), value)
  if search and not tuned:
    _check_search(file, items)
  return file


def _shared(value: Mapping[str, Any], tuned: Values) -> Mapping[str, Any]:
  shared = dict(_table(value.get("experiment", {}), "experiment"))
  under = _preset(shared.pop("preset", ""))
  return presets.merged(presets.merged(under, shared), searches.tree(tuned))


def _arm(item: Mapping[str, Any], shared: Mapping[str, Any]) -> Arm:
  name = item.get("name")
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise InputError(
      "an arm should have a name of letters, digits, spaces and , . + = - _ "
      f"that begins with a letter or digit, has {name!r}"
    )
  repeats, where = _count(item, "repeats", 2, 2), f"arm {name!r}"
  if "mean_of" in item:
    _refuse_unknown(item, _MEAN, where)
    members = _count(item, "members", 2, 2)
    return Arm(name, repeats, mean_of=_name(item, "mean_of"), members=members)
  known = _TRAINED
  if "teachers_of" not in item:
    known = tuple(key for key in _TRAINED if key != "members")
  _refuse_unknown(item, known, where)
  return Arm(
    name,
    repeats,
    _experiments(item, repeats, shared),
    teachers_of=_name(item, "teachers_of") if "teachers_of" in item else "",
    members=_count(item, "members", 1, 1) if "teachers_of" in item else 0,
    refresh=_refresh(item),
  )


def _experiments(
  item: Mapping[str, Any], repeats: int, shared: Mapping[str, Any]
) -> tuple[config.Experiment, ...]:
  """Returns an experiment a repeat: repeat r adds r to the seed."""
  where = f"arm {item['name']!r}"
  own = _table(item.get("experiment", {}), f"{where}: experiment")
  under = presets.merged(shared, _preset(item.get("preset", "")))
  first = config.from_dict(presets.merged(under, own))
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


def _refreshed(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
  """Returns arms in which a mean of refreshed repeats is refreshed too."""
  shares = {arm.name: arm.refresh for arm in arms}
  return tuple(
    dataclasses.replace(arm, refresh=shares[arm.mean_of])
    if arm.mean_of
    else arm
    for arm in arms
  )


def _search(value: Any, arms: tuple[Arm, ...]) -> Search:
  value = _table(value, "search")
  _refuse_unknown(value, _SEARCH, "search")
  name = value.get("arm", arms[0].name)
  arm = next((one for one in arms if one.name == name), None)
  if arm is None or not arm.experiments or arm.teachers_of:
    raise InputError(
      "search.arm should be an arm that is trained without teachers of "
      f"another, is {name!r}"
    )
  return Search(
    arm=name,
    holdout=value.get("holdout", 1 / 6),
    repeats=value.get("repeats", 2),
    order=value.get("order", "grid"),
    grid=value.get("grid", {}),
  )


def _check_search(file: File, items: list[Mapping[str, Any]]) -> None:
  """Refuses values that are none, and fields that the arm decides itself."""
  item = next(item for item in items if item["name"] == file.search.arm)
  own = presets.merged(
    _preset(item.get("preset", "")), item.get("experiment", {})
  )
  for field, values in file.search.grid.items():
    if _has(own, field):
      raise InputError(
        f"arm {file.search.arm!r} should leave {field} to the search, has its "
        "own"
      )
    rest = {name: tried[0] for name, tried in file.search.grid.items()}
    for value in values:
      file.point(rest | {field: value})


def _target(value: Any, arms: tuple[Arm, ...]) -> float | str | None:
  if value is None:
    return None
  if isinstance(value, Mapping) and len(value) == 1:
    if type(value.get("log_loss")) is float and value["log_loss"] > 0:
      return value["log_loss"]
    if value.get("arm") in [arm.name for arm in arms if arm.experiments]:
      return value["arm"]
  raise InputError(
    "target should be {log_loss = X} with a number above 0, or {arm = NAME} "
    f"with an arm that is trained, is {value!r}"
  )


def _has(tree: Mapping[str, Any], field: str) -> bool:
  first, _, rest = field.partition(".")
  if first not in tree:
    return False
  return not rest or (
    isinstance(tree[first], Mapping) and _has(tree[first], rest)
  )


def _preset(name: Any) -> Mapping[str, Any]:
  if name == "":
    return {}
  if not isinstance(name, str):
    raise InputError(f"preset should be a name, is {name!r}")
  return presets.read(name)


def _table(value: Any, name: str) -> Mapping[str, Any]:
  if not isinstance(value, Mapping):
    raise InputError(f"{name} should be a table, is {value!r}")
  return value


def _name(item: Mapping[str, Any], key: str) -> str:
  if not isinstance(item[key], str) or not item[key]:
    raise InputError(
      f"arm {item['name']!r}: {key} should be an arm that is trained, is "
      f"{item[key]!r}"
    )
  return item[key]


def _count(item: Mapping[str, Any], key: str, default: int, low: int) -> int:
  value = item.get(key, default)
  if type(value) is not int or value < low:
    raise InputError(
      f"arm {item['name']!r}: {key} should be >= {low}, is {value!r}"
    )
  return value


def _refresh(item: Mapping[str, Any]) -> float:
  value = item.get("refresh", 0.0)
  if "refresh" in item and not (type(value) is float and 0 < value < 1):
    raise InputError(
      f"arm {item['name']!r}: refresh should be in (0, 1), is {value!r}"
    )
  return value


def _refuse_unknown(
  value: Mapping[str, Any], known: tuple[str, ...], where: str
) -> None:
  for key in value:
    if key not in known:
      raise InputError(f"{where} has no key {key!r}; it has {', '.join(known)}")
