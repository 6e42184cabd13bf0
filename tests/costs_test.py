import dataclasses

import pytest

from ctr_codistill import config
from pipelines.comparison import costs


def _experiment(**fields):
  codistill = {"burn_in_steps": 20, "taught_share": 0.5}
  codistill |= fields.pop("codistill", {})
  training = {"batch_size": 10}
  return config.from_dict(
    {"training": training, "codistill": codistill, **fields}
  )


SMALL, LARGE = config.Model(hidden=(2,)), config.Model(hidden=(9,))
FORWARDS = {SMALL: 100, LARGE: 700}


def test_the_cost_of_a_model_is_its_kernels(schema, tiny):
  # 3 strings and 2 binned integers of width 2, 4 logarithms; 4 units; a logit.
  assert costs.forward(tiny, schema) == (5 * 2 + 4) * 4 + 4


@pytest.mark.parametrize(
  ("changes", "kernels"),
  [
    # Two crosses of 14 x 14 more, and the logit reads both parts.
    ({"name": "dcn"}, 14 * 4 + 2 * 14 * 14 + 4 + 14),
    ({"name": "wide_deep", "numeric": "log"}, (6 + 4) * 4 + 4 + 4),
  ],
)
def test_crosses_and_linear_parts_count(schema, tiny, changes, kernels):
  model = dataclasses.replace(tiny, **changes)
  assert costs.forward(model, schema) == kernels


def test_a_single_model_costs_three_passes():
  found = costs.training(
    _experiment(groups=1, model={"hidden": [2]}), (50,), FORWARDS
  )
  assert found == 50 * 10 * 3 * 100


def test_after_the_burn_in_a_share_is_asked_of_each_peer():
  experiment = _experiment(
    groups=2, model={"hidden": [2]}, per_group=["1:model.hidden=9"]
  )
  found = costs.training(experiment, (50, 40), FORWARDS)
  first = 500 * 3 * 100 + 0.5 * 300 * 700
  second = 400 * 3 * 700 + 0.5 * 200 * 100
  assert found == first + second


@pytest.mark.parametrize(
  "fields",
  [
    {"codistill": {"weight": 0.0}},
    {"exchange": {"what": "predictions"}},
    {"codistill": {"burn_in_steps": 60}},
  ],
)
def test_who_asks_nobody_pays_for_nobody(fields):
  experiment = _experiment(groups=2, model={"hidden": [2]}, **fields)
  found = costs.training(experiment, (50, 50), FORWARDS)
  assert found == 2 * 500 * 3 * 100


def test_fixed_teachers_are_asked_too():
  experiment = _experiment(
    groups=1, model={"hidden": [2]}, codistill={"teachers": ["a", "b"]}
  )
  found = costs.training(experiment, (50,), FORWARDS, (LARGE,))
  # One is known; the other is taken to be like the student.
  assert found == 500 * 3 * 100 + 0.5 * 300 * (700 + 100)


def test_in_a_ring_one_peer_is_asked():
  experiment = _experiment(
    groups=3, model={"hidden": [2]}, exchange={"topology": "ring"}
  )
  found = costs.training(experiment, (50,) * 3, FORWARDS)
  assert found == 3 * (500 * 3 * 100 + 0.5 * 300 * 100)


def test_while_the_weight_is_zero_nobody_is_asked():
  experiment = _experiment(
    groups=2, model={"hidden": [2]}, codistill={"weight": "0, 40:1, 45:0"}
  )
  found = costs.training(experiment, (50, 50), FORWARDS)
  assert found == 2 * (500 * 3 * 100 + 0.5 * 50 * 100)
