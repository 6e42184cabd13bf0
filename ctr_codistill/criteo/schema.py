"""The feature spec: columns, vocabularies and statistics of prepared data.

It is part of every snapshot and of every directory of shards, so that whoever
meets two of them can tell whether they fit: by the fingerprint.

A prepared row is int32 `[columns]`: the label (0, 1, or -1 where unknown), the
numerics as integers with `MISSING` for none, then one id per categorical. An id
is 0 for a missing value, 1 ... `oov` for a value hashed because the vocabulary
lacks it, and 1 + `oov` + its rank for a value of the vocabulary.
"""

import dataclasses
import decimal
import functools
import hashlib
import itertools
import json
import math
import os
import pathlib
import re

from ctr_codistill import stamped
from ctr_codistill.errors import InputError

VERSION = 1
FILE = "schema.json"
LARGEST = 2**31 - 1
"""Integers are clipped to [-LARGEST, LARGEST]."""
MISSING = -(2**31)
"""The int32 that stands for a missing integer."""
MISSING_INT64 = -(2**63)
"""The int64 that stands for a missing integer in a served request."""
CRITEO_NUMERIC = tuple(f"I{i}" for i in range(1, 14))
CRITEO_CATEGORICAL = tuple(f"C{i}" for i in range(1, 27))

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@functools.cache
def log_squared_boundaries() -> tuple[int, ...]:
  """Returns where the ln^2 bins of Criteo_x4 (BARS) begin, made monotone.

  -1, 0, 1 and 2 have a bin each, as has everything below -1; above 2 a bin is
  an equal floor(ln(x)^2), so that bin k begins at the ceiling of exp(sqrt(k)).
  """
  with decimal.localcontext(decimal.Context(prec=60)):
    starts = (
      int(decimal.Decimal(k).sqrt().exp().to_integral(decimal.ROUND_CEILING))
      for k in itertools.count(1)
    )
    found = itertools.takewhile(lambda start: start <= LARGEST, starts)
    return (-1, 0, 1, 2, *found)


@dataclasses.dataclass(frozen=True)
class Numeric:
  """An integer feature.

  Attributes:
    name: of its column.
    mean: of sign(x) * log(1 + |x|) over the training values that are there.
    std: standard deviation of the same, above 0; 1 where they do not vary.
    boundaries: ascending int32; the id of a value is 0 when it is missing, else
      1 + the number of boundaries that are <= the value.
    ids: where that number only counts intervals: the id of each, from 1, for
      bins of more than one interval; empty where each has its own.
  """

  name: str
  mean: float
  std: float
  boundaries: tuple[int, ...]
  ids: tuple[int, ...] = ()

  def __post_init__(self) -> None:
    check_name(self.name)
    if not math.isfinite(self.mean):
      raise InputError(f"{self.name}: mean should be finite, is {self.mean}")
    if not 0 < self.std < math.inf:
      raise InputError(f"{self.name}: std should be above 0, is {self.std}")
    for low, high in itertools.pairwise((-LARGEST - 1, *self.boundaries)):
      if not low < high <= LARGEST:
        raise InputError(
          f"{self.name}: boundaries should ascend within "
          f"[{-LARGEST}, {LARGEST}], have {high} after {low}"
        )
    intervals = len(self.boundaries) + 1
    if self.ids and not (len(self.ids) == intervals and min(self.ids) > 0):
      raise InputError(
        f"{self.name}: ids should be {intervals}, each at least 1, are "
        f"{len(self.ids)} from {min(self.ids)} on"
      )

  @property
  def bins(self) -> int:
    """Number of ids: one for missing, then one for each bin."""
    return 1 + max(self.ids, default=len(self.boundaries) + 1)


@dataclasses.dataclass(frozen=True)
class Categorical:
  """A string feature.

  Attributes:
    name: of its column.
    size: values in its vocabulary, at least 0.
    oov: rows for values that are in none, at least 1; a value's is 1 +
      `tf.strings.to_hash_bucket_fast(value, oov)`.
    sha256: hexadecimal sum of its vocabulary file.
  """

  name: str
  size: int
  oov: int
  sha256: str

  def __post_init__(self) -> None:
    check_name(self.name)
    if self.size < 0:
      raise InputError(f"{self.name}: size should be >= 0, is {self.size}")
    if self.oov < 1:
      raise InputError(f"{self.name}: oov should be >= 1, is {self.oov}")
    if self.rows > LARGEST:
      raise InputError(
        f"{self.name}: 1 + oov + size should be at most {LARGEST}, "
        f"is {self.rows}"
      )
    if not _SHA256.fullmatch(self.sha256):
      raise InputError(
        f"{self.name}: sha256 should be 64 hexadecimal digits, "
        f"is {self.sha256!r}"
      )

  @property
  def rows(self) -> int:
    """Number of ids: one for missing, `oov` hashed ones, the vocabulary."""
    return 1 + self.oov + self.size


@dataclasses.dataclass(frozen=True)
class Schema:
  """The columns of prepared data, in their order."""

  numeric: tuple[Numeric, ...]
  categorical: tuple[Categorical, ...]

  def __post_init__(self) -> None:
    names = [feature.name for feature in self.numeric + self.categorical]
    for name in names:
      if names.count(name) > 1:
        raise InputError(f"feature names should be unique, {name!r} is not")
    if not names:
      raise InputError("a schema should have features, has none")

  @property
  def columns(self) -> int:
    """Width of a prepared row: the label and every feature."""
    return 1 + len(self.numeric) + len(self.categorical)

  @functools.cached_property
  def fingerprint(self) -> str:
    """Hexadecimal sum of the whole spec; equal schemas have equal ones."""
    text = json.dumps(_to_dict(self), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def to_json(schema: Schema) -> str:
  """Returns `schema` as JSON; `from_json` makes an equal one of it."""
  return json.dumps(_to_dict(schema), indent=1) + "\n"


def from_json(text: str) -> Schema:
  """Returns the schema that `to_json` wrote.

  Raises:
    InputError: no JSON, another version, or a field that breaks its rule.
  """
  try:
    value = json.loads(text)
    if value["version"] != VERSION:
      raise InputError(f"version should be {VERSION}, is {value['version']!r}")
    return Schema(
      numeric=tuple(_numeric(item) for item in value["numeric"]),
      categorical=tuple(_categorical(item) for item in value["categorical"]),
    )
  except (KeyError, TypeError, ValueError) as error:
    raise InputError(f"this is no schema: {_said(error)}") from None


def read(directory: str | os.PathLike) -> Schema:
  """Returns the schema of a prepared directory or of a snapshot's assets.

  Raises:
    InputError: naming the file that is missing or no schema.
  """
  path = pathlib.Path(directory) / FILE
  try:
    return from_json(path.read_text(encoding="utf-8"))
  except OSError as error:
    raise InputError(
      f"{directory} should be a prepared directory; {FILE} there: "
      f"{error.strerror}"
    ) from None
  except ValueError as error:
    raise InputError(f"{path}: {_said(error)}") from None


def write(schema: Schema, directory: str | os.PathLike) -> None:
  """Writes `schema` into `directory`: the whole file or none."""
  stamped.write_text(pathlib.Path(directory) / FILE, to_json(schema))


def check_name(name: str) -> None:
  """Raises InputError for a name that no feature may have.

  Names are file names, flags and arguments of served signatures.
  """
  if not (isinstance(name, str) and _NAME.fullmatch(name)) or name == "label":
    raise InputError(
      "a feature's name should be letters, digits and _, not begin with a "
      f"digit, and not be 'label'; is {name!r}"
    )


def _to_dict(schema: Schema) -> dict[str, object]:
  found = dataclasses.asdict(schema)
  for item in found["numeric"]:
    if not item["ids"]:
      del item["ids"]  # as before there were any: fingerprints stay
  return {"version": VERSION, **found}


def _numeric(item: dict) -> Numeric:
  return Numeric(
    name=item["name"],
    mean=float(item["mean"]),
    std=float(item["std"]),
    boundaries=tuple(map(int, item["boundaries"])),
    ids=tuple(map(int, item.get("ids", ()))),
  )


def _categorical(item: dict) -> Categorical:
  return Categorical(
    name=item["name"],
    size=int(item["size"]),
    oov=int(item["oov"]),
    sha256=str(item["sha256"]),
  )


def _said(error: Exception) -> str:
  if isinstance(error, KeyError):
    return f"it has no {error.args[0]!r}"
  return str(error)
