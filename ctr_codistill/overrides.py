"""What one group has otherwise: texts like `1:model.name=dcn`.

Texts, not structure, so that one field, one flag and one list of the JSON hold
them. Only what a group decides alone can differ: which rows it gets, the seed
of their order and what goes around are a matter of all groups.
"""

import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from ctr_codistill import fields
from ctr_codistill.errors import InputError

_FORM = re.compile(r"(\d+):([a-z0-9_.]+)=(.*)", re.DOTALL)
_SECTIONS = (
  "model",
  "optimizer",
  "training",
  "codistill",
  "exchange",
  "regularization",
)
_SHARED = ("training.seed", "exchange.what", "exchange.topology")


def is_one(text: str) -> bool:
  """Tells whether `text` has the form GROUP:FIELD=VALUE."""
  return bool(_FORM.fullmatch(text))


def groups(texts: Sequence[str], count: int) -> list[int]:
  """Returns the groups that `texts` speak of, in ascending order.

  Raises:
    InputError: one is not in [0, `count`).
  """
  found = {int(_FORM.fullmatch(text)[1]): text for text in texts}
  for group, text in found.items():
    if group >= count:
      raise InputError(
        f"per_group {text!r}: the group should be in [0, {count}), is {group}"
      )
  return sorted(found)


def of(texts: Sequence[str], group: int) -> dict[str, str]:
  """Returns what `texts` say of `group`: by field; the last word counts."""
  parts = [_FORM.fullmatch(text) for text in texts]
  return {part[2]: part[3] for part in parts if int(part[1]) == group}


def apply(
  own: Mapping[str, str], value: Mapping[str, Any], types: Mapping[str, Any]
) -> None:
  """Writes `own` texts into the sections of `value`.

  Args:
    own: by field, from `of`.
    value: an experiment as a dict of dicts.
    types: of its fields, by dotted name.

  Raises:
    InputError: a field that groups cannot have on their own.
  """
  for name, text in own.items():
    section, _, field = name.partition(".")
    if section not in _SECTIONS or name in _SHARED:
      raise InputError(
        "per_group: what a group has otherwise should be a field of "
        f"{', '.join(_SECTIONS)}, but not {', '.join(_SHARED)}; is {name!r}"
      )
    value[section][field] = fields.from_text(types.get(name), text)
