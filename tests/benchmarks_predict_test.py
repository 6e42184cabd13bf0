import pytest

from pipelines.benchmarks import predict


def test_the_job_stands_against_the_forward_pass_and_each_keras():
  rates = {
    "forward, in memory": 100.0,
    "job, records": 90.0,
    "job, raw text": 60.0,
    "keras predict, batches of 32": 10.0,
    "keras predict, raw columns": 30.0,
  }
  found = predict.results(rates)
  ratios = {(line["name"], line["against"]): line["ratio"] for line in found}
  records, text = "predict_job_records", "predict_job_raw_text"
  assert ratios == pytest.approx(
    {
      (records, "forward, in memory"): 0.9,
      (text, "forward, in memory"): 0.6,
      (records, "keras predict, batches of 32"): 9,
      (records, "keras predict, raw columns"): 3,
      (text, "keras predict, batches of 32"): 6,
      (text, "keras predict, raw columns"): 2,
    }
  )
  assert {(line["value"], line["unit"]) for line in found} == {
    (90.0, "rows/s"),
    (60.0, "rows/s"),
  }
