import math

import numpy as np
import pyarrow as pa
import pytest

from ctr_codistill.criteo.parsing import Rows
from ctr_codistill.criteo.preparing import counting
from ctr_codistill.criteo.preparing import spilling
from ctr_codistill.criteo.schema import MISSING


def _rows(numbers, strings):
  return Rows(
    labels=np.zeros(len(numbers), np.int32),
    numeric=np.array(numbers, np.int32)[:, None],
    categorical=(pa.array(strings, pa.binary()).dictionary_encode(),),
    lines=np.arange(len(numbers)),
    bad=(),
  )


def _tables(counts):
  return [spilling.grouped(counts.values[0])]


def test_moments_are_of_the_logs_of_what_is_there():
  # log 2, 2 log 2 and -3 log 2, whose mean is 0.
  rows = _rows([1, MISSING, 3, -7], [b"a"] * 4)
  (numeric,) = counting.numerics(counting.count(rows, 4), ["I1"])
  logs = [math.log(2), 2 * math.log(2), -3 * math.log(2)]
  assert numeric.mean == pytest.approx(0, abs=2**-16)
  assert numeric.std == pytest.approx(np.std(logs), abs=2**-16)


@pytest.mark.parametrize("number, mean", [(MISSING, 0), (1, math.log(2))])
def test_integers_that_do_not_vary_have_std_one(number, mean):
  counts = counting.count(_rows([number] * 3, [b"a"] * 3), 3)
  (numeric,) = counting.numerics(counts, ["I1"])
  assert (numeric.mean, numeric.std) == (pytest.approx(mean, abs=2**-16), 1.0)


def test_the_frequent_come_first_and_the_rare_and_the_empty_stay_out():
  strings = [b"b"] * 2 + [b"c"] * 3 + [b"a"] * 2 + [b"rare"] + [b""] * 9
  counts = counting.count(_rows([0] * len(strings), strings), len(strings))
  found = counting.vocabulary(_tables(counts), 2).values
  assert found.to_pylist() == [b"c", b"a", b"b"]
  assert counting.vocabulary(_tables(counts), 4).values.to_pylist() == []


def test_only_the_first_rows_count():
  rows = _rows([1, 1, 5], [b"a", b"b", b"c"])
  counts = counting.count(rows, 2)
  assert counts.rows == 2
  assert counting.vocabulary(_tables(counts), 1).values.to_pylist() == [
    b"a",
    b"b",
  ]
  (numeric,) = counting.numerics(counts, ["I1"])
  assert numeric.mean == pytest.approx(math.log(2), abs=2**-16)
  assert counting.count(rows, 0).rows == 0


@pytest.mark.parametrize("merge_at", [1, 10, 1 << 20])
def test_parts_merge_into_the_whole(monkeypatch, merge_at):
  monkeypatch.setattr(counting, "_MERGE_AT", merge_at)
  random = np.random.default_rng(0)
  numbers = random.integers(-5, 99, 200)
  strings = [b"v%d" % v for v in random.zipf(1.3, 200) % 50]
  whole = counting.count(_rows(numbers, strings), 200)
  merged = counting.nothing(1, 1)
  for first in range(0, 200, 20):
    part = slice(first, first + 20)
    merged = merged.merge(
      counting.count(_rows(numbers[part], strings[part]), 20)
    )
  assert merged.rows == 200
  assert merged.moments.tolist() == whole.moments.tolist()
  assert counting.vocabulary(_tables(merged), 2).values.equals(
    counting.vocabulary(_tables(whole), 2).values
  )


@pytest.mark.parametrize("merge_at", [1, 1 << 20])
def test_a_cap_keeps_the_most_frequent_and_says_what_is_lost(
  monkeypatch, merge_at
):
  monkeypatch.setattr(counting, "_MERGE_AT", merge_at)
  tables = [
    pa.table([pa.array(values, pa.binary()), pa.array(counts)], spilling.TYPE)
    for values, counts in [
      ([b"", b"a", b"b"], [99, 5, 7]),
      ([b"c", b"d", b"e", b"f"], [1, 5, 9, 4]),
    ]
  ]
  found = counting.vocabulary(tables, 2, most=2)
  assert found.values.to_pylist() == [b"e", b"b"]
  # a, d and f are lost, c is too rare.
  assert (found.distinct, found.capped, found.capped_rows) == (6, 3, 14)
  found = counting.vocabulary(tables, 2)
  assert found.values.to_pylist() == [b"e", b"b", b"a", b"d", b"f"]
  assert (found.distinct, found.capped, found.capped_rows) == (6, 0, 0)
