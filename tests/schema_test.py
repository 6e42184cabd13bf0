import dataclasses
import decimal
import math

import pyarrow as pa
import pytest

from ctr_codistill.criteo import schema
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema
from ctr_codistill.errors import InputError

SUM = "0" * 64
SCHEMA = Schema(
  numeric=(Numeric("I1", 0.5, 2.0, (-1, 0, 7)),),
  categorical=(Categorical("C1", 10, 5, SUM), Categorical("C2", 0, 1, SUM)),
)


def test_boundaries_are_the_least_integers_of_each_ln_squared_bin():
  boundaries = schema.log_squared_boundaries()
  assert boundaries[:8] == (-1, 0, 1, 2, 3, 5, 6, 8)
  # ln(2**31 - 1)**2 = 461.7, so bins 1 to 461 begin at 4 + 461 boundaries.
  assert len(boundaries) == 4 + 461
  with decimal.localcontext(decimal.Context(prec=40)):
    for k, start in enumerate(boundaries[4:], 1):
      assert decimal.Decimal(start).ln() ** 2 >= k
      assert decimal.Decimal(start - 1).ln() ** 2 < k


def test_a_bin_above_two_holds_one_floor_of_ln_squared():
  boundaries = schema.log_squared_boundaries()
  for value in (3, 4, 5, 19, 20, 100, 12345, 10**9):
    above = sum(start <= value for start in boundaries) - 4
    assert above == math.floor(math.log(value) ** 2)


def test_ids_and_columns_are_counted():
  assert SCHEMA.numeric[0].bins == 5  # missing, and 4 sides of 3 boundaries
  assert SCHEMA.categorical[0].rows == 16  # missing, 5 hashed, 10 values
  assert SCHEMA.columns == 4  # label, I1, C1, C2


def test_json_gives_an_equal_schema_with_the_same_fingerprint():
  again = schema.from_json(schema.to_json(SCHEMA))
  assert again == SCHEMA
  assert again.fingerprint == SCHEMA.fingerprint


def test_fingerprint_sees_every_field():
  other = dataclasses.replace(
    SCHEMA, numeric=(Numeric("I1", 0.5, 2.0, (-1, 0, 8)),)
  )
  assert other.fingerprint != SCHEMA.fingerprint


@pytest.mark.parametrize(
  "make, said",
  [
    (lambda: Numeric("I 1", 0.0, 1.0, ()), "'I 1'"),
    (lambda: Numeric("label", 0.0, 1.0, ()), "'label'"),
    (lambda: Numeric("I1", 0.0, 0.0, ()), "std should be above 0, is 0.0"),
    (lambda: Numeric("I1", math.nan, 1.0, ()), "is nan"),
    (lambda: Numeric("I1", 0.0, 1.0, (3, 3)), "have 3 after 3"),
    (lambda: Numeric("I1", 0.0, 1.0, (2**31,)), "2147483648"),
    (lambda: Categorical("C1", -1, 1, SUM), "size should be >= 0, is -1"),
    (lambda: Categorical("C1", 1, 0, SUM), "oov should be >= 1, is 0"),
    (lambda: Categorical("C1", 2**31, 1, SUM), "is 2147483650"),
    (lambda: Categorical("C1", 1, 1, "abc"), "'abc'"),
    (lambda: Schema((), ()), "has none"),
    (
      lambda: Schema((SCHEMA.numeric[0],) * 2, ()),
      "unique, 'I1' is not",
    ),
  ],
)
def test_a_wrong_schema_cannot_be_made(make, said):
  with pytest.raises(InputError, match=said):
    make()


def test_it_is_read_as_written(tmp_path):
  schema.write(SCHEMA, tmp_path)
  assert schema.read(tmp_path) == SCHEMA
  assert [file.name for file in tmp_path.iterdir()] == ["schema.json"]


@pytest.mark.parametrize(
  "text, said",
  [
    ("{", "no schema"),
    ("[]", "no schema"),
    ('{"version": 99}', "version should be 1, is 99"),
    ('{"version": 1}', "it has no 'numeric'"),
    ('{"version": 1, "numeric": [{}], "categorical": []}', "no 'name'"),
    ("\udcff", "no schema|decode"),
  ],
)
def test_a_foreign_file_is_named(tmp_path, text, said):
  path = tmp_path / "schema.json"
  path.write_bytes(text.encode(errors="surrogateescape"))
  with pytest.raises(InputError, match=said) as raised:
    schema.read(tmp_path)
  assert str(path) in str(raised.value)


def test_a_directory_without_schema_is_named(tmp_path):
  with pytest.raises(InputError, match=r"absent.*No such file"):
    schema.read(tmp_path / "absent")


def _with_vocabulary(values, directory):
  array = pa.array(values, pa.binary())
  sha256 = vocabularies.write(array, directory, "C1")
  return Schema((), (Categorical("C1", len(values), 1, sha256),))


@pytest.mark.parametrize("values", [[], [b"b", b"\xff\xfe", "ä ".encode()]])
def test_vocabularies_are_read_as_written(tmp_path, values):
  found = vocabularies.read(tmp_path, _with_vocabulary(values, tmp_path))
  assert found["C1"].to_pylist() == values
  text = (tmp_path / "vocabularies" / "C1.txt").read_bytes()
  assert text == b"".join(value + b"\n" for value in values)


def test_an_altered_vocabulary_is_named(tmp_path):
  made = _with_vocabulary([b"a", b"b"], tmp_path)
  (tmp_path / "vocabularies" / "C1.txt").write_bytes(b"a\nc\n")
  with pytest.raises(InputError, match=r"C1.txt: sha256 should be [0-9a-f]"):
    vocabularies.read(tmp_path, made)
  (tmp_path / "vocabularies" / "C1.txt").unlink()
  with pytest.raises(InputError, match=r"C1.txt: No such file"):
    vocabularies.read(tmp_path, made)
