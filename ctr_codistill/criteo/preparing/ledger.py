"""How far a preparation has come: what a job that is killed goes on from.

It is written whole, after what it says is there. Whatever lies beyond it is
written again with the same bytes, for these follow from input and options.
"""

import dataclasses
import json
import pathlib
import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ctr_codistill import stamped
from ctr_codistill.criteo.preparing import spilling
from ctr_codistill.criteo.preparing.counting import Counts
from ctr_codistill.criteo.records import Shard
from ctr_codistill.errors import InputError

FOLDER = "unfinished"
_FILE = "state.json"
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclasses.dataclass(frozen=True)
class Counted:
  """How far the first pass has come, at the end of a block.

  Attributes:
    row: lines that were counted: the first row of the next block.
    bad: of them those that are no rows.
    rows: of them those that are.
    moments: of `counting.Counts`; none before the first block.
    runs: that hold the values.
    spilled_bytes: that the runs take.
  """

  row: int = 0
  bad: int = 0
  rows: int = 0
  moments: tuple[tuple[int, ...], ...] = ()
  runs: int = 0
  spilled_bytes: int = 0

  def counts(self, numerics: int, categoricals: int) -> Counts:
    """Returns the counts without the values, which lie in the runs."""
    moments = self.moments or ((0,) * numerics,) * 3
    values = (spilling.TYPE.empty_table(),) * categoricals
    return Counts(self.rows, np.array(moments, object), values)


@dataclasses.dataclass(frozen=True)
class Encoded:
  """How far the second pass has come, at the end of a shard.

  Attributes:
    row: first line of the first block that is not wholly written.
    written: rows of that block that are in shards, its first.
    bad: bad lines before it.
    bad_bytes: that those take in the quarantine.
    train: shards that are complete.
    validation: shards that are complete.
  """

  row: int = 0
  written: int = 0
  bad: int = 0
  bad_bytes: int = 0
  train: tuple[Shard, ...] = ()
  validation: tuple[Shard, ...] = ()


@dataclasses.dataclass(frozen=True)
class State:
  """How far a job has come.

  Attributes:
    rows: lines of the input; `None` until they are counted.
    counted: the first pass.
    schema: as JSON, once the vocabularies are written.
    vocabularies: what `prepare.json` says of them.
    encoded: the second pass.
    seconds_count: that went into what led to the schema.
    seconds_encode: that went into what the shards hold.
    peak_rss_bytes: the most memory that a process of the job had.
  """

  rows: int | None = None
  counted: Counted = Counted()
  schema: str | None = None
  vocabularies: dict[str, Any] = dataclasses.field(default_factory=dict)
  encoded: Encoded = Encoded()
  seconds_count: float = 0.0
  seconds_encode: float = 0.0
  peak_rss_bytes: int = 0


class Ledger:
  """Notes how far a job has come, with what it cost so far.

  Args:
    output: of the job.
    clock: seconds.

  Raises:
    InputError: there are notes, but they say nothing.
  """

  def __init__(self, output: pathlib.Path, clock: Callable[[], float]) -> None:
    self._folder = output / FOLDER
    self._clock = clock
    self._since = clock()
    self.state = _read(self._folder / _FILE)

  def note(self, **changes: Any) -> None:
    """Changes fields of the state and writes it: all of it, or none."""
    now = self._clock()
    name = "seconds_encode" if self.state.schema else "seconds_count"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
    cost = {
      name: getattr(self.state, name) + now - self._since,
      "peak_rss_bytes": max(self.state.peak_rss_bytes, peak),
    }
    self.state = dataclasses.replace(self.state, **cost, **changes)
    self._since = now
    self._folder.mkdir(exist_ok=True)
    stamped.write_json(self._folder / _FILE, dataclasses.asdict(self.state))


def _read(path: pathlib.Path) -> State:
  try:
    return _from_dict(json.loads(path.read_text(encoding="utf-8")))
  except FileNotFoundError:
    return State()
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      f"{path} does not say how far the job came ({error}); --overwrite "
      "starts it anew"
    ) from None


def _from_dict(value: dict[str, Any]) -> State:
  moments = tuple(map(tuple, value["counted"].pop("moments")))
  shards = {
    name: tuple(Shard(**item) for item in value["encoded"].pop(name))
    for name in ("train", "validation")
  }
  counted = Counted(**value.pop("counted"), moments=moments)
  encoded = Encoded(**value.pop("encoded"), **shards)
  return State(**value, counted=counted, encoded=encoded)
