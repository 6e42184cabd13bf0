"""Presets: experiments under a name, `NAME.toml` in this folder each.

A preset is what an experiment has where nobody says otherwise: it stands above
the defaults and below every flag or table that is given.
"""

import pathlib
import tomllib
from collections.abc import Mapping
from typing import Any

from ctr_codistill import config
from ctr_codistill.errors import InputError

FOLDER = pathlib.Path(__file__).parent


def names() -> list[str]:
  """Returns the names of the presets that there are, sorted."""
  return sorted(path.stem for path in FOLDER.glob("*.toml"))


def described() -> str:
  """Returns each preset with the first line of its comment, for a help."""
  found = [f"{name} ({_first_comment(name)})" for name in names()]
  return "; ".join(found) or "none"


def read(name: str) -> dict[str, Any]:
  """Returns the fields that preset `name` sets, as a tree of tables.

  Raises:
    InputError: there is no such preset, or its file is none.
  """
  known = names()
  if name not in known:
    rule = f"one of {', '.join(known)}" if known else "left out: there is none"
    raise InputError(f"preset should be {rule}, is {name!r}")
  path = FOLDER / f"{name}.toml"
  try:
    value = tomllib.loads(path.read_text(encoding="utf-8"))
    if list(value) != ["experiment"] or not isinstance(
      value["experiment"], dict
    ):
      raise InputError(f"it should be one table, experiment; has {list(value)}")
    config.from_dict(value["experiment"])
  except (ValueError, OSError) as error:
    raise InputError(f"preset {path}: {error}") from None
  return value["experiment"]


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
  """Returns two trees as one; where both say something, `over` counts."""
  found = dict(under)
  for key, value in over.items():
    if isinstance(value, Mapping) and isinstance(found.get(key), Mapping):
      value = merged(found[key], value)
    found[key] = value
  return found


def _first_comment(name: str) -> str:
  text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
  line = text.partition("\n")[0]
  return line.lstrip("# ").rstrip() if line.startswith("#") else "no comment"
