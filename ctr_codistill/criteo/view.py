"""Views: the first training rows of prepared data, as prepared data.

What is chosen on the rows that a report is about is no finding, so a search
learns from the first training rows and is judged by those after them; and a
model that is trained again later had fewer rows the first time.
"""

import os
import pathlib
import shutil
from collections.abc import Iterable

import numpy as np

from ctr_codistill import stamped
from ctr_codistill.criteo import prepared
from ctr_codistill.criteo import records
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing.shard_writer import SHARD_ROWS
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.records import Shards
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError


def write(
  data: str | os.PathLike,
  output: pathlib.Path,
  *,
  without: float,
  holdout: bool,
) -> pathlib.Path:
  """Writes the view of `data` to `output`, unless it is there; returns that.

  Rows are copied; the view has the feature spec of all. Of n training rows it
  has the first k, the nearest whole number to (1 - `without`) n.

  Args:
    data: directory that prepare wrote.
    output: complete or absent.
    without: share of the last training rows that are left out, in (0, 1).
    holdout: whether these are what the view is validated with; otherwise it
      has the validation rows of `data`.

  Raises:
    InputError: no row is left in or out; `output` is a view of other data.
  """
  schema = schemas.read(data)
  train, validation = (
    records.open_shards(os.path.join(data, split), schema)
    for split in (prepared.TRAIN, prepared.VALIDATION)
  )
  kept = round((1 - without) * train.rows)
  if not 0 < kept < train.rows:
    raise InputError(
      f"a view should leave rows in and out, leaves {kept} of {train.rows} in"
    )
  facts = {
    "schema": schema.fingerprint,
    "rows": [train.rows, validation.rows],
    "kept": kept,
    "holdout": holdout,
  }
  if stamped.is_stamped(output):
    if stamped.facts(output) != facts:
      raise InputError(f"{output} is a view of other data; delete it")
    return output
  rest = (
    records.read_rows(train, kept) if holdout else records.read_rows(validation)
  )

  def fill(path: pathlib.Path) -> None:
    vocabulary = os.path.join(data, vocabularies.FOLDER)
    shutil.copytree(vocabulary, path / vocabularies.FOLDER)
    schemas.write(schema, path)
    first = records.read_rows(train, 0, kept)
    summary = {
      "rows_train": _copy(first, path / prepared.TRAIN, schema, train),
      "rows_validation": _copy(rest, path / prepared.VALIDATION, schema, train),
      "view": facts,
    }
    stamped.write_json(path / prepared.SUMMARY, summary)

  return stamped.write(output, fill, facts)


def _copy(
  rows: Iterable[np.ndarray],
  directory: pathlib.Path,
  schema: Schema,
  source: Shards,
) -> int:
  """Writes rows in blocks as the source's; returns how many there were."""
  size = source.block_rows
  shard = max(SHARD_ROWS // size, 1) * size
  with ShardWriter(
    directory, schema, block_rows=size, shard_rows=shard
  ) as writer:
    for part in rows:
      writer.write(part)
  return writer.rows
