import pytest

from pipelines.benchmarks import memory
from pipelines.benchmarks import publish


def test_stalls_are_shares_of_the_time_between_publications():
  seconds = {
    "step": 0.1,
    "taught step": 0.2,
    "publish stall": 0.25,
    "publish cost": 1.0,
    "read cost": 0.5,
    "swap stall": 0.002,
  }
  found = {line["name"]: line for line in publish.results(seconds)}
  # 500 steps are 50 s, taught ones 100 s.
  ratios = {name: line["ratio"] for name, line in found.items()}
  assert ratios == pytest.approx(
    {
      "publish_stall": 0.005,
      "publish_cost": 0.02,
      "read_cost": 0.005,
      "swap_stall": 0.01,
    }
  )
  assert found["publish_stall"]["value"] == 0.25
  assert (found["swap_stall"]["value"], found["swap_stall"]["unit"]) == (
    pytest.approx(2.0),
    "ms",
  )


def test_memory_is_told_in_tables():
  sizes = {"before": 500.0, "table": 600.0, "plain": 2300.0, "teacher": 3500.0}
  found = {line["name"]: line for line in memory.results(sizes)}
  assert found["memory_plain"]["ratio"] == pytest.approx(3)
  assert found["memory_teacher"]["ratio"] == pytest.approx(5)
  assert found["memory_teacher"]["value"] == 3500
