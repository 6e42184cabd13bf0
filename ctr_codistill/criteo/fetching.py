"""Prepared data of a remote place on this machine: complete or absent.

Training takes blocks from all over the shards, again in every epoch, and an
object store needs longer to begin its answer than a step takes. So the data
come over once, each block checked by its sum on the way. A copy is named after
the bytes of its `prepare.json`, which no two preparations share: it never gets
stale, and one that broke off goes on.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

from ctr_codistill import locks
from ctr_codistill import places
from ctr_codistill.criteo import parallel
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.records import Shard
from ctr_codistill.criteo.records import Shards
from ctr_codistill.errors import InputError

_LOG = logging.getLogger(__name__)
_THREADS = 4  # that mostly wait for the store
Progress = Callable[[str, int | None], Callable[[int], None]]


def fetch(
  source: str,
  cache: str | os.PathLike,
  progress: Progress = lambda name, rows: lambda done: None,
) -> pathlib.Path:
  """Returns the local copy of a remote prepared directory.

  It is made if it is not there; another process that makes it is waited for.

  Args:
    source: address of the prepared directory.
    cache: directory that gets one for each source; made if missing.
    progress: is told of each split and of rows done.

  Raises:
    InputError: no complete prepared directory, one that is damaged or changes
      meanwhile, a store that is out of reach, or a disk that is full.
  """
  with _copy(source, cache) as (stamp, target):
    if not (target / prepared.SUMMARY).exists():
      _fetch_features(source, target)
      for split in (prepared.TRAIN, prepared.VALIDATION):
        _fetch_split(source, target, split, stamp, progress)
      places.write_bytes(target / prepared.SUMMARY, stamp)
  return target


def fetch_split(
  source: str,
  cache: str | os.PathLike,
  progress: Progress = lambda name, rows: lambda done: None,
) -> pathlib.Path:
  """Returns the local copy of one split of a remote prepared directory.

  As `fetch`, but `source` is the address of a directory of shards in it.
  """
  whole, _, split = source.rstrip("/").rpartition("/")
  with _copy(whole, cache) as (stamp, target):
    _fetch_split(whole, target, split, stamp, progress)
  return target / split


@contextlib.contextmanager
def _copy(
  source: str, cache: str | os.PathLike
) -> Iterator[tuple[bytes, pathlib.Path]]:
  """Yields `prepare.json` and the directory of the copy, to this process alone.

  An OSError of the body is told as an InputError.
  """
  try:
    stamp = places.read_bytes(os.path.join(source, prepared.SUMMARY))
    name = os.path.basename(source.rstrip("/"))
    digest = hashlib.sha256(stamp).hexdigest()[:16]
    target = pathlib.Path(cache, f"{name}-{digest}")
    target.mkdir(parents=True, exist_ok=True)
    _LOG.info("%s is read from its copy, %s", source, target)
    with locks.alone(target.parent / f".{target.name}{locks.FILE}"):
      yield stamp, target
  except FileNotFoundError as error:
    raise InputError(
      f"{source} should be a prepared directory: {places.said(error, source)}"
    ) from None
  except OSError as error:
    raise InputError(places.said(error, cache)) from None


def _fetch_features(source: str, target: pathlib.Path) -> None:
  """Copies the schema and the vocabularies, which it says the sums of."""
  text = places.read_bytes(os.path.join(source, schemas.FILE))
  for feature in schemas.from_json(text.decode()).categorical:
    path = vocabularies.path("", feature.name)
    content = places.read_bytes(os.path.join(source, path))
    found = hashlib.sha256(content).hexdigest()
    if found != feature.sha256:
      raise InputError(
        f"{source}/{path}: sha256 should be {feature.sha256}, is {found}"
      )
    places.write_bytes(target / path, content)
  places.write_bytes(target / schemas.FILE, text)


def _fetch_split(
  source: str,
  target: pathlib.Path,
  split: str,
  stamp: bytes,
  progress: Progress,
) -> None:
  """Copies the shards that are not there yet, their manifest last."""
  folder = target / split
  if (folder / records.MANIFEST).exists():
    return
  shards = records.read_manifest(os.path.join(source, split))
  done = progress(f"fetch {split}", shards.rows)

  def copy(shard: Shard) -> int:
    path = folder / shard.name
    if not path.exists() or path.stat().st_size != shard.bytes:
      _copy_shard(shards, shard, path)
    return shard.rows

  for rows in parallel.in_order(copy, shards.shards, _THREADS):
    done(rows)
  if places.read_bytes(os.path.join(source, prepared.SUMMARY)) != stamp:
    raise InputError(f"{source} changed while it was read; start again")
  places.copy(
    os.path.join(source, split, records.MANIFEST), folder / records.MANIFEST
  )


def _copy_shard(shards: Shards, shard: Shard, target: pathlib.Path) -> None:
  source = os.path.join(shards.directory, shard.name)
  with (
    places.open_bytes(source) as file,
    places.written(target, durable=True) as out,
  ):
    lengths = records.block_lengths(shard.rows, shards.block_rows)
    for number, rows in enumerate(lengths.tolist()):
      body = bytearray(rows * shards.row_bytes)
      wanted = bytearray(records.SUM_BYTES)
      size = file.readinto(body) + file.readinto(wanted)
      records.check_block(source, number, body, wanted, size)
      out.write(body + wanted)
