"""Predictions as the exchange: a teacher that costs no forward pass.

A group computes its own prediction of each example that it trains on anyway,
before the update. It leaves them, and a peer that comes to the same example
later takes what its peers left. So that some did, groups cut a window of the
data into the same parts and go around them, each from another one on
(`criteo.order`). Of N groups in step with one another the one that is first at
a part has no teacher there: (N - 1) / N of the rows have one, which is at most
a window old. A group that runs ahead or falls behind changes who is first, and
nobody waits.

What is left of a row is its logit in two bytes, at the row's place in its part.
"""

import contextlib
import dataclasses
import hmac
import json
import logging
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping

import numpy as np
import xxhash

from ctr_codistill import places
from ctr_codistill import stamped
from ctr_codistill.criteo import order
from ctr_codistill.criteo.order import Stretch
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.share import Share
from ctr_codistill.errors import InputError
from ctr_codistill.keys import Key

_LOG = logging.getLogger(__name__)
_TYPE = np.dtype("<f2")
_FURTHEST = 30.0  # a logit beyond is one: sigmoid(-30) is 1e-13
_KEPT_WINDOWS = 2
_LONGEST_HEAD = 1024  # bytes
_PLACE = 4
"""Parts of a path that say whose it is: group, "predictions", worker, name."""
_DOMAIN = "ctr_codistill predictions 1\n"
"""Before what is signed: no other use of the key can give the same."""


@dataclasses.dataclass(eq=False)
class _Visit:
  """A part that is being read: what this worker leaves, what peers left."""

  stretch: Stretch
  own: np.ndarray
  peers: dict[int, tuple[np.ndarray, int]]
  at: int = 0


class PredictionExchange:
  """What one worker leaves and takes; steps come one after the other."""

  def __init__(
    self,
    own: pathlib.Path,
    peers: Mapping[int, pathlib.Path],
    shards: Shards,
    share: Share,
    *,
    batch_rows: int,
    start_step: int = 0,
    key: Key | None = None,
  ):
    """Begins at a step of the worker's stream.

    Args:
      own: directory of what this worker leaves; is made.
      peers: directory of the same worker in each peer, by its group.
      shards: what is trained on.
      share: of this worker; its `parts` are at least the groups.
      batch_rows: rows of a batch.
      start_step: batches that were taken before.
      key: signs what is left, and must have signed what is taken.
    """
    if share.parts < share.groups:
      raise InputError(
        f"a window should have a part for each of {share.groups} groups, has "
        f"{share.parts}"
      )
    self.peers = tuple(peers)
    self._own, self._peers, self._key = own, dict(peers), key
    self._batch_rows, self._kept = batch_rows, _KEPT_WINDOWS * share.parts
    self._stretches = order.stretches(shards, share, start_step * batch_rows)
    self._visit = self._next()
    self._pieces: list[tuple[_Visit, np.ndarray]] = []
    self._torn: set[pathlib.Path] = set()
    self._troubled: set[pathlib.Path] = set()
    self.bytes_left = self.bytes_taken = 0
    own.mkdir(parents=True, exist_ok=True)
    stamped.sweep(own)
    self._left = sorted(own.iterdir(), key=lambda path: path.stat().st_mtime_ns)

  def take(self, step: int) -> tuple[np.ndarray, dict[int, float]]:
    """Returns what peers left of the next batch, the one of `step`.

    Returns:
      Their logits, float32 `[peers, batch]`, nan where one left none; of each
      peer that left some the steps between the student and the oldest of them.
    """
    self._pieces = list(self._cut())
    logits = np.full([len(self._peers), self._batch_rows], np.nan, np.float32)
    ages: dict[int, float] = {}
    start = 0
    for visit, rows in self._pieces:
      end = start + len(rows)
      for place, peer in enumerate(self._peers):
        self._look(visit, peer)
        if peer in visit.peers:
          values, then = visit.peers[peer]
          logits[place, start:end] = values[rows]
          ages[peer] = max(ages.get(peer, -np.inf), step - then)
      start = end
    return logits, ages

  def leave(self, step: int, logits: np.ndarray) -> None:
    """Keeps this worker's own logits `[batch]` of the batch just taken.

    Those of a part are written, complete or absent, when its last row has come.
    """
    start = 0
    for visit, rows in self._pieces:
      end = start + len(rows)
      visit.own[rows] = logits[start:end]
      start = end
      if visit.at == len(visit.stretch.places):
        self._write(visit, step)
    self._pieces = []

  def _next(self) -> _Visit:
    stretch = next(self._stretches)
    return _Visit(stretch, np.full(stretch.size, np.nan, np.float32), {})

  def _cut(self) -> Iterator[tuple[_Visit, np.ndarray]]:
    """Yields the parts that the next batch lies in, with its places there."""
    wanted = self._batch_rows
    while wanted:
      visit = self._visit
      rows = visit.stretch.places[visit.at : visit.at + wanted]
      visit.at += len(rows)
      wanted -= len(rows)
      yield visit, rows
      if visit.at == len(visit.stretch.places):
        self._visit = self._next()

  def _look(self, visit: _Visit, peer: int) -> None:
    """Takes what `peer` left of the part, once it is there."""
    path = self._peers[peer] / visit.stretch.name
    if peer in visit.peers or path in self._torn:
      return
    try:
      if not path.exists():
        return
      visit.peers[peer] = read(path, visit.stretch.size, self._key)
      self.bytes_taken += visit.stretch.size * _TYPE.itemsize
    except FileNotFoundError:
      pass  # its owner deleted it just now
    except InputError as error:
      self._torn.add(path)
      _LOG.warning("not learned from: %s", error)
    except OSError as error:
      self._say(path.parent, error)

  def _write(self, visit: _Visit, step: int) -> None:
    """Writes a part; one that the disk refuses is left out."""
    path = self._own / visit.stretch.name
    try:
      write(path, visit.own, step, self._key)
    except OSError as error:
      self._say(path.parent, error)
      return
    self.bytes_left += visit.own.size * _TYPE.itemsize
    if path in self._left:
      self._left.remove(path)
    self._left.append(path)
    while len(self._left) > self._kept:
      with contextlib.suppress(OSError):  # it costs room, no more
        self._left.pop(0).unlink(missing_ok=True)

  def _say(self, place: pathlib.Path, error: OSError) -> None:
    """Says once of a place that it cannot be used; it is tried again."""
    if place not in self._troubled:
      _LOG.warning("training goes on without %s: %s", place, error)
    self._troubled.add(place)


def folder(root: pathlib.Path, worker: int) -> pathlib.Path:
  """Returns where worker `worker` of the group of `root` leaves predictions."""
  return root / "predictions" / f"worker-{worker}"


def write(
  path: pathlib.Path, logits: np.ndarray, step: int, key: Key | None = None
) -> None:
  """Writes the logits of a part: the whole file, or what was there before.

  Args:
    path: of the file; its directory is there.
    logits: `[size]`; nan where there is none.
    step: of the training, after which they were left.
    key: signs them, for this place.
  """
  payload = logits.clip(-_FURTHEST, _FURTHEST).astype(_TYPE).tobytes()
  found = _sum(path, step, payload, key)
  head = {"step": step, "rows": len(logits), "sum": found}
  places.write_bytes(path, json.dumps(head).encode() + b"\n" + payload)


def read(
  path: pathlib.Path, rows: int, key: Key | None = None
) -> tuple[np.ndarray, int]:
  """Returns the logits `[rows]` that `write` wrote, and their step.

  Args:
    path: of the file.
    rows: that it should have.
    key: must have signed them; None: their sum alone must hold.

  Raises:
    FileNotFoundError: there is no such file.
    InputError: it is not as it was written, or has other rows.
  """
  with path.open("rb") as file:  # and no more than it should have
    held = file.read(rows * _TYPE.itemsize + _LONGEST_HEAD)
  head, _, payload = held.partition(b"\n")
  try:
    value = json.loads(head)
    step, found, wanted = int(value["step"]), value["rows"], value["sum"]
  except (ValueError, KeyError, TypeError) as error:
    raise InputError(f"{path} should begin with its sum: {error}") from None
  if found != rows or len(payload) != rows * _TYPE.itemsize:
    raise InputError(
      f"{path} should have {rows} rows, says {found} and has "
      f"{len(payload) // _TYPE.itemsize}"
    )
  found, wanted = _sum(path, step, payload, key), str(wanted)
  if not hmac.compare_digest(
    found.encode(), str(wanted).encode("utf-8", "replace")
  ):
    raise InputError(
      f"{path}: its {'signature' if key else 'sum'} does not hold"
    )
  return np.frombuffer(payload, _TYPE), step


def _sum(path: pathlib.Path, step: int, payload: bytes, key: Key | None) -> str:
  if not key:
    return xxhash.xxh3_64_hexdigest(payload, seed=step)
  # Of this group, worker and part: nobody puts it to another.
  place = "/".join(path.parts[-_PLACE:])
  return key.sign(f"{_DOMAIN}{place} {step}\n".encode() + payload)
