"""Integers as categories: the bins of Criteo_x4, those seen often enough.

What every published figure on Criteo_x4 was made with: the function
`convert_to_bucket` of FuxiCTR (github.com/reczoo/FuxiCTR, and reczoo/BARS,
datasets/Criteo, setting Criteo_x4_001),

    bin(x) = floor(ln(x)^2) if x > 2, else x

and a bin that fewer than 10 training rows have is no bin of its own. 3 and 4
fall on the bin of 1, and 5 on that of 2. There a missing integer is 0; here it
keeps an id of its own.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo.schema import MISSING
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema

OTHER = 1
"""The id of an integer whose bin is rare."""


def bins(values: np.ndarray) -> np.ndarray:
  """Returns the bin of each integer, int32 `[n]` of int32 `[n]`."""
  starts = np.array(_starts(), np.int32)
  above = np.searchsorted(starts, values, side="right").astype(np.int32)
  return np.where(values > 2, above, values)


def column(values: np.ndarray) -> pa.DictionaryArray:
  """Returns the bins of int32 `[rows]` as a column of text; missing: empty."""
  found, places = np.unique(bins(values), return_inverse=True)
  # The bin of what is missing is MISSING itself, as of any integer up to 2.
  text = [b"" if b == MISSING else b"%d" % b for b in found.tolist()]
  return pa.DictionaryArray.from_arrays(
    pa.array(places.astype(np.int32)), pa.array(text, pa.binary())
  )


def binned(schema: Schema, often: Sequence[pa.BinaryArray]) -> Schema:
  """Returns `schema` with the bins of each numeric that have an id.

  Args:
    schema: whose numerics have other boundaries.
    often: for each numeric the bins seen often enough, most frequent first, as
      `column` names them: `counting.vocabulary` of its counts.
  """
  numeric = tuple(
    _binned(feature, [int(name) for name in names.to_pylist()])
    for feature, names in zip(schema.numeric, often, strict=True)
  )
  return dataclasses.replace(schema, numeric=numeric)


def _starts() -> tuple[int, ...]:
  """Returns where the bins 1, 2, ... of integers above 2 begin: 3, 5, 6 ..."""
  return tuple(b for b in schemas.log_squared_boundaries() if b > 2)


def _binned(feature: Numeric, often: Sequence[int]) -> Numeric:
  ids = {name: OTHER + 1 + rank for rank, name in enumerate(often)}
  edges = {0, 1, 2, 3, *_starts()}
  for name in often:
    if name < 0:  # an integer each, with others beside it
      edges |= {name, name + 1}
  edges = sorted(edges)
  names = bins(np.array(edges, np.int32)).tolist()
  found = [(edge, ids.get(name, OTHER)) for edge, name in zip(edges, names)]
  # Neighbours of one id are one interval.
  kept = [
    (edge, here)
    for (edge, here), (_, before) in zip(found, [(0, OTHER), *found])
    if here != before
  ]
  return dataclasses.replace(
    feature,
    boundaries=tuple(edge for edge, _ in kept),
    ids=(OTHER, *(here for _, here in kept)),
  )
