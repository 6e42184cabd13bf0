"""What a reader demands of a snapshot."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key
from ctr_codistill.manifests import Manifest


@dataclasses.dataclass(frozen=True)
class Demands:
  """What a snapshot must show; nothing by default but that its sums hold.

  `key` must have signed it, its graph may hold `allowed_ops` beside the usual
  ones, it must have these `facts` and those that are `numbers`, and its files
  may have `largest` bytes.
  """

  key: Key | None = None
  allowed_ops: tuple[str, ...] = ()
  facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  numbers: tuple[str, ...] = ()
  largest: int | None = None

  def at(self, step: int) -> "Demands":
    """Returns these for the snapshot of a step, in its own place."""
    return dataclasses.replace(self, facts={**self.facts, "step": step})

  def check(self, path: str | os.PathLike, manifest: Manifest) -> None:
    """Refuses a snapshot of another group, step, feature spec or size.

    Raises:
      InputError: naming the fact.
    """
    for name, wanted in self.facts.items():
      if name not in manifest.facts or manifest.facts[name] != wanted:
        raise InputError(
          f"{path} should have {name} {wanted!r}, has "
          f"{manifest.facts.get(name)!r}"
        )
    for name in self.numbers:
      value = manifest.facts.get(name)
      if not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{path} should have a number {name}, has {value!r}")
    if self.largest is not None and manifest.bytes > self.largest:
      raise InputError(
        f"{path} should have at most {self.largest} bytes, has {manifest.bytes}"
      )


NONE = Demands()
