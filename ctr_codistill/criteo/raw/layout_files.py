"""Layouts by name: a preset, or a small TOML file about any other log.

    label = "click"          # the column that is learned
    header = true            # whether each file begins with the names
    delimiter = ","          # a tab if not said
    categorical = ["site_id", "device_type"]
    numeric = []             # columns of integers
    ignored = ["id"]         # columns that are skipped

A log without a header has `columns` as well: all names in their order.
`label_values = ["no", "yes"]` says what stands for 0 and for 1.
"""

import pathlib
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from ctr_codistill.criteo import schema
from ctr_codistill.criteo.raw import layouts
from ctr_codistill.criteo.raw.layouts import Layout
from ctr_codistill.errors import InputError

_LISTS = ("columns", "numeric", "categorical", "ignored", "label_values")


def read(name: str) -> Layout:
  """Returns the preset `name`, or what the TOML file of that path says.

  Raises:
    InputError: neither, or a file whose entries break a rule, which is named.
  """
  if name in layouts.PRESETS:
    return layouts.PRESETS[name]
  if not name.endswith(".toml"):
    presets = ", ".join(layouts.PRESETS)
    raise InputError(f"layout should be {presets} or a .toml file, is {name!r}")
  try:
    entries = tomllib.loads(pathlib.Path(name).read_text(encoding="utf-8"))
    return _layout(entries)
  except OSError as error:
    raise InputError(f"layout {name}: {error.strerror}") from None
  except ValueError as error:  # an InputError is one
    raise InputError(f"layout {name}: {error}") from None


def _layout(entries: Mapping[str, Any]) -> Layout:
  fields = {"label", "delimiter", "header", "min_count", "oov", *_LISTS}
  for name in entries:
    if name not in fields:
      raise InputError(
        f"there is no {name!r}; there are {', '.join(sorted(fields))}"
      )
  values = {
    name: _strings(name, value) if name in _LISTS else value
    for name, value in entries.items()
  }
  values["order"] = values.pop("columns", ())
  defaults = {"numeric": (), "categorical": (), "has_label": True}
  layout = Layout(**(defaults | values))
  _check(layout)
  return layout


def _strings(name: str, value: object) -> tuple[str, ...]:
  if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
    raise InputError(f"{name} should be a list of strings, is {value!r}")
  return tuple(value)


def _check(layout: Layout) -> None:
  """Raises InputError where a layout file breaks a rule."""
  if not isinstance(layout.label, str) or not layout.label:
    raise InputError(f"label should be a name, is {layout.label!r}")
  delimiter = layout.delimiter
  if not isinstance(delimiter, str) or len(delimiter) != 1:
    raise InputError(f"delimiter should be one character, is {delimiter!r}")
  if not delimiter.isascii() or delimiter in '\r\n\0"':
    raise InputError(f"delimiter should be plain ASCII, is {delimiter!r}")
  if not isinstance(layout.header, bool):
    raise InputError(f"header should be true or false, is {layout.header!r}")
  for name in ("min_count", "oov"):
    value = getattr(layout, name)
    if value is not None and (type(value) is not int or value < 1):
      raise InputError(f"{name} should be at least 1, is {value!r}")
  _check_labels(layout)
  _check_names(layout)


def _check_labels(layout: Layout) -> None:
  values = layout.label_values
  if len(values) != 2 or len(set(values)) != 2 or not all(values):
    raise InputError(
      "label_values should be two different strings, for 0 and for 1, are "
      f"{list(values)}"
    )


def _check_names(layout: Layout) -> None:
  features = layout.numeric + layout.categorical
  if not features:
    raise InputError("numeric or categorical should name a column")
  for name in features:
    schema.check_name(name)
  known = (layout.label, *features, *layout.ignored)
  _check_unique("the names of label, numeric, categorical and ignored", known)
  _check_unique("columns", layout.order)
  if layout.order and set(layout.order) != set(known):
    odd = min(set(layout.order) ^ set(known))
    raise InputError(
      "columns should name label, numeric, categorical and ignored, all of "
      f"them and no other; {odd!r} stands in one of the two"
    )
  if layout.ignored and not (layout.order or layout.header):
    raise InputError("ignored needs columns, to tell where they stand")


def _check_unique(what: str, names: Iterable[str]) -> None:
  names = list(names)
  for name in names:
    if names.count(name) > 1:
      raise InputError(f"{what} should be unique, {name!r} is not")
