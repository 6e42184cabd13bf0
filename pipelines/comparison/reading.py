"""The file of a comparison: TOML to arms, a search and a target.

What an arm does not say is what its preset says, the search found, the table
`[experiment]` says, that table's preset, or the default: in this order.
"""

import dataclasses
import math
import pathlib
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill.errors import InputError
from pipelines import presets
from pipelines import topology_file
from pipelines.comparison import arms as arms_
from pipelines.comparison import keys
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
  "weights_of",
)
_MEAN = ("name", "repeats", "mean_of", "members")
_WEIGHTS = ("name", "repeats", "weights_of")
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
    return _file(_inlined(value, path.parent), {})
  except InputError as error:
    raise InputError(f"{path}: {error}") from None


def _inlined(value: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
  """Returns the file's value with the topologies of the files it names."""
  found = dict(value)
  if isinstance(found.get("experiment"), Mapping):
    found["experiment"] = topology_file.inlined(found["experiment"], folder)
  if isinstance(found.get("arm"), list):
    found["arm"] = [
      _inlined(item, folder) if isinstance(item, Mapping) else item
      for item in found["arm"]
    ]
  return found


def _file(value: Mapping[str, Any], tuned: Values) -> File:
  known = ("experiment", "search", "target", "arm")
  keys.refuse_unknown(value, known, "the file")
  items = value.get("arm")
  if not items or not isinstance(items, list):
    raise InputError(f"the file should have arms ([[arm]]), has {items}")
  shared = _shared(value, tuned)
  arms = tuple(_arm(keys.table(item, "an arm"), shared) for item in items)
  arms_.check(arms)
  arms = _refreshed(arms)
  search = _search(value["search"], arms) if "search" in value else None
  file = File(arms, search, _target(value.get("target"), arms), value)
  if search and not tuned:
    _check_search(file, items)
  return file


def _shared(value: Mapping[str, Any], tuned: Values) -> Mapping[str, Any]:
  shared = dict(keys.table(value.get("experiment", {}), "experiment"))
  under = _preset(shared.pop("preset", ""))
  return presets.merged(presets.merged(under, shared), searches.tree(tuned))


def _arm(item: Mapping[str, Any], shared: Mapping[str, Any]) -> Arm:
  name = item.get("name")
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise InputError(
      "an arm should have a name of letters, digits, spaces and , . + = - _ "
      f"that begins with a letter or digit, has {name!r}"
    )
  repeats, where = keys.count(item, "repeats", 2, 2), f"arm {name!r}"
  if "mean_of" in item:
    keys.refuse_unknown(item, _MEAN, where)
    members = keys.count(item, "members", 2, 2)
    return Arm(
      name, repeats, mean_of=keys.name(item, "mean_of"), members=members
    )
  if "weights_of" in item:
    keys.refuse_unknown(item, _WEIGHTS, where)
    source = keys.name(item, "weights_of")
    return Arm(name, repeats, mean_of=source, of_weights=True, members=1)
  known = _TRAINED
  if "teachers_of" not in item:
    known = tuple(key for key in _TRAINED if key != "members")
  keys.refuse_unknown(item, known, where)
  return Arm(
    name,
    repeats,
    _experiments(item, repeats, shared),
    teachers_of=keys.name(item, "teachers_of") if "teachers_of" in item else "",
    members=keys.count(item, "members", 1, 1) if "teachers_of" in item else 0,
    refresh=keys.refresh(item),
  )


def _experiments(
  item: Mapping[str, Any], repeats: int, shared: Mapping[str, Any]
) -> tuple[config.Experiment, ...]:
  """Returns an experiment a repeat: repeat r adds r to the seed."""
  try:
    return _repeated(item, repeats, shared)
  except InputError as error:
    raise InputError(f"arm {item['name']!r}: {error}") from None


def _repeated(
  item: Mapping[str, Any], repeats: int, shared: Mapping[str, Any]
) -> tuple[config.Experiment, ...]:
  own = keys.table(item.get("experiment", {}), "experiment")
  under = presets.merged(shared, _preset(item.get("preset", "")))
  first = config.from_dict(presets.merged(under, own))
  workers = item.get("workers", [first.workers] * repeats)
  if not isinstance(workers, list) or len(workers) != repeats:
    raise InputError(
      f"workers should be a list of {repeats} numbers, one a repeat, is "
      f"{workers!r}"
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
  value = keys.table(value, "search")
  keys.refuse_unknown(value, _SEARCH, "search")
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
      file.tuned(rest | {field: value})  # what others say may not go with it


def _target(value: Any, arms: tuple[Arm, ...]) -> float | str | None:
  if value is None:
    return None
  if isinstance(value, Mapping) and len(value) == 1:
    if type(value.get("log_loss")) is float:
      if 0 < value["log_loss"] < math.inf:
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
