import pytest

from pipelines.benchmarks import updates


def test_the_first_line_is_that_of_the_largest_ratio():
  ms = {}
  for i, rule in enumerate(updates.RULES):
    ms[f"{rule}, 1e5 rows"] = 10.0
    ms[f"{rule}, 1e7 rows"] = 14.0 - i
  first, *others = updates.results(ms)
  assert first == {
    "name": "table_1e7_over_1e5",
    "value": 14.0,
    "unit": "ms",
    "against": "adagrad, 1e5 rows",
    "ratio": pytest.approx(1.4),
  }
  assert [line["name"] for line in others] == [
    f"table_1e7_over_1e5_{rule}" for rule in updates.RULES
  ]
  assert [line["ratio"] for line in others] == pytest.approx(
    [1.4, 1.3, 1.2, 1.1, 1.0]
  )
