"""Fields that carry their help and their rule, and cannot hold a wrong value.

One definition of a field serves its flag, its JSON and the check at birth.
"""

import dataclasses
import math
import typing
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from ctr_codistill.course import Course
from ctr_codistill.errors import InputError


def ruled(
  default: Any, text: str, rule: str, holds: Callable[[Any], bool]
) -> Any:
  """Returns a field with its help and its rule, in words and as a test."""
  metadata = {"help": f"{text} ({rule})", "rule": rule, "holds": holds}
  if isinstance(default, list):
    frozen = tuple(default)
    return dataclasses.field(default_factory=lambda: frozen, metadata=metadata)
  return dataclasses.field(default=default, metadata=metadata)


def number(
  default: float, text: str, *, low: float, high: float = math.inf
) -> Any:
  """Returns a field that holds a number in [low, high]."""
  rule = f"at least {low:g}" + (
    f", at most {high:.10g}" if high < math.inf else ""
  )
  return ruled(default, text, rule, lambda x: low <= x <= high and x < math.inf)


def positive(default: float, text: str) -> Any:
  """Returns a field that holds a finite number above 0."""
  return ruled(default, text, "above 0", lambda x: 0 < x < math.inf)


def choice(default: str, text: str, *choices: str) -> Any:
  """Returns a field that holds one of `choices`."""
  return ruled(
    default, text, "one of " + ", ".join(choices), lambda x: x in choices
  )


def course(
  default: float, text: str, *, low: float, high: float = math.inf
) -> Any:
  """Returns a field that holds a course whose values are in [low, high]."""
  rule = f"a number or course, at least {low:g}" + (
    f", at most {high:.10g}" if high < math.inf else ""
  )
  return ruled(
    Course(default),
    text,
    rule,
    lambda x: all(low <= value <= high for value in x.values),
  )


class Checked:
  """Checks every field against its type and rule when the object is made."""

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value = _convert(self, field, getattr(self, field.name))
      object.__setattr__(self, field.name, value)
      holds = field.metadata.get("holds")
      if holds and not holds(value):
        raise InputError(
          f"{_name(self)}.{field.name} should be {field.metadata['rule']}, "
          f"is {value!r}"
        )


def _name(owner: Any) -> str:
  cls = owner if isinstance(owner, type) else type(owner)
  return cls.__name__.lower()


def _convert(owner: Any, field: dataclasses.Field, value: Any) -> Any:
  """Returns `value` as the field's type, where that loses nothing."""
  kind = field.type
  if dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
    return from_dict(kind, value)
  if kind is float and type(value) is int:
    return float(value)
  if kind is Course and type(value) in (int, float, str, Course):
    try:
      return Course(value)
    except InputError as error:
      raise InputError(f"{_name(owner)}.{field.name}: {error}") from None
  if typing.get_origin(kind) is tuple and isinstance(value, (list, tuple)):
    if all(type(item) is typing.get_args(kind)[0] for item in value):
      return tuple(value)
  elif type(value) is kind:
    return value
  wanted = getattr(kind, "__name__", kind)
  raise InputError(
    f"{_name(owner)}.{field.name} should be of type {wanted}, is {value!r}"
  )


def from_dict(cls: type, value: Any) -> Any:
  """Returns a `cls` with the given fields, defaults elsewhere.

  Raises:
    InputError: no mapping, an unknown field, a wrong type or a broken rule.
  """
  if not isinstance(value, Mapping):
    raise InputError(f"{_name(cls)} should be an object, is {value!r}")
  known = {field.name for field in dataclasses.fields(cls)}
  for name in value:
    if name not in known:
      raise InputError(
        f"{_name(cls)} has no field {name!r}; it has {', '.join(sorted(known))}"
      )
  return cls(**value)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
  """Returns each field of a dataclass, and of those in it, by dotted name."""
  found: dict[str, Any] = {}
  for field in dataclasses.fields(value):
    item = getattr(value, field.name)
    name = prefix + field.name
    if dataclasses.is_dataclass(item):
      found.update(flat(item, name + "."))
    else:
      found[name] = item
  return found


def types(cls: type, prefix: str = "") -> dict[str, Any]:
  """Returns the type of each field of `cls`, and of those in it, as `flat`."""
  found: dict[str, Any] = {}
  for field in dataclasses.fields(cls):
    name = prefix + field.name
    if dataclasses.is_dataclass(field.type):
      found.update(types(field.type, name + "."))
    else:
      found[name] = field.type
  return found


def from_text(kind: Any, text: str) -> Any:
  """Returns what `text` says as a value of a field's type.

  What is no value of the type stays as it is, for the field's own error.
  """
  if kind == tuple[int, ...]:
    return [from_text(int, item) for item in text.split(",") if item]
  if kind == tuple[str, ...]:
    return [item for item in text.split(",") if item]
  if kind is bool:
    return {"true": True, "false": False}.get(text.lower(), text)
  if kind not in (int, float):
    return text
  try:
    return kind(text)
  except ValueError:
    return text
