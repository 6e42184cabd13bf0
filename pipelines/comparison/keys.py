"""Keys of a table of a comparison's file: their values, or what is wrong."""

from collections.abc import Mapping
from typing import Any

from ctr_codistill.errors import InputError


def table(value: Any, name: str) -> Mapping[str, Any]:
  """Returns `value`, which `name` is, if it is a table.

  Raises:
    InputError: it is none. All below raise it for what is wrong, too.
  """
  if not isinstance(value, Mapping):
    raise InputError(f"{name} should be a table, is {value!r}")
  return value


def name(item: Mapping[str, Any], key: str) -> str:
  """Returns the arm that `key` of an arm names."""
  if not isinstance(item[key], str) or not item[key]:
    raise InputError(
      f"arm {item['name']!r}: {key} should be an arm that is trained, is "
      f"{item[key]!r}"
    )
  return item[key]


def count(item: Mapping[str, Any], key: str, default: int, low: int) -> int:
  """Returns the number under `key` of an arm, at least `low`."""
  value = item.get(key, default)
  if type(value) is not int or value < low:
    raise InputError(
      f"arm {item['name']!r}: {key} should be >= {low}, is {value!r}"
    )
  return value


def refresh(item: Mapping[str, Any]) -> float:
  """Returns the share that an arm's repeats go without, in [0, 1)."""
  value = item.get("refresh", 0.0)
  if "refresh" in item and not (type(value) is float and 0 < value < 1):
    raise InputError(
      f"arm {item['name']!r}: refresh should be in (0, 1), is {value!r}"
    )
  return value


def refuse_unknown(
  value: Mapping[str, Any], known: tuple[str, ...], where: str
) -> None:
  """Refuses keys of `where` that are not among the known."""
  for key in value:
    if key not in known:
      raise InputError(f"{where} has no key {key!r}; it has {', '.join(known)}")
