import itertools

import pytest

from pipelines.benchmarks import serving


def test_lookups_are_what_is_not_the_model():
  ms = {}
  for batch, signature in itertools.product(
    (1, 32, 1024), ("serving_default", "predict", "predict_ids")
  ):
    alone = {"serving_default": 5.0, "predict": 4.0, "predict_ids": 1.0}
    ms[f"{signature} {batch} alone"] = alone[signature]
    ms[f"{signature} {batch} p50"] = 1.5 * alone[signature]
    ms[f"{signature} {batch} p99"] = 2.0 * alone[signature]
  first, *others = serving.results(ms)
  assert (first["name"], first["value"]) == ("serve_p99", 8.0)
  assert first["ratio"] == pytest.approx(8 / 5)
  ratios = {line["name"]: line["ratio"] for line in others}
  assert ratios["serve_lookups_predict_1"] == pytest.approx(3 / 4)
  assert ratios["serve_lookups_serving_default_32"] == pytest.approx(4 / 5)
  assert ratios["serve_predict_ids_1024_p99"] == pytest.approx(2)
