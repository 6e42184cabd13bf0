import pytest

from ctr_codistill import config
from ctr_codistill.errors import InputError


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("codistill.teachers", ["a/1"]),
    ("exchange.delay_steps", 50),
    ("exchange.every_seconds", 1.0),
  ],
)
def test_predictions_have_nothing_to_do_with_snapshots(name, value):
  section, field = name.split(".")
  fields = {section: {field: value}}
  fields.setdefault("exchange", {})["what"] = "predictions"
  with pytest.raises(InputError, match=f"{name} is for snapshots"):
    config.from_dict(fields)


def test_enough_snapshots_stay_for_a_delay():
  # Two publications on the way, one that a peer is ahead, one in use.
  said = "exchange.keep should be at least 4 for a delay of 80 .* 50, is 3"
  with pytest.raises(InputError, match=said):
    config.Exchange(delay_steps=80)
  assert config.Exchange(delay_steps=80, keep=4).keep == 4
  said = "delay_steps should be 0 with exchange.every_seconds, is 50"
  with pytest.raises(InputError, match=said):
    config.Exchange(delay_steps=50, every_seconds=1)


def test_a_burn_in_in_steps_does_not_vanish_behind_a_share():
  said = "burn_in_steps should be left out .*, is 9 with 0.5"
  with pytest.raises(InputError, match=said):
    config.Codistill(burn_in_steps=9, burn_in_share=0.5)
  assert config.Codistill(burn_in_steps=9, burn_in_share=0.0)


def test_ftrl_has_a_decay_of_its_own():
  fields = {"regularization": {"weight_decay": 0.1}}
  assert config.from_dict(fields)
  fields["optimizer"] = {"name": "ftrl"}
  with pytest.raises(InputError, match=r"optimizer\.l2, is '0\.1'"):
    config.from_dict(fields)


def test_a_group_may_have_a_method_of_its_own_but_not_a_topology():
  experiment = config.from_dict(
    {
      "per_group": [
        "1:codistill.weight=0, 5:1",
        "1:codistill.teachers=a/1,b/2",
        "1:regularization.dropout=0.5",
      ]
    }
  )
  own = config.for_group(experiment, 1)
  assert own.codistill.weight == "0, 5:1"
  assert own.codistill.teachers == ("a/1", "b/2")
  assert own.regularization.dropout == "0.5"
  with pytest.raises(InputError, match=r"not .*exchange\.topology"):
    config.from_dict({"per_group": ["1:exchange.topology=ring"]})


@pytest.mark.parametrize(
  ("name", "value", "rule"),
  [
    ("training.threads", 0, "at least 1"),
    ("exchange.every_seconds", 1.0, "0"),
    ("exchange.what", "predictions", "snapshots"),
  ],
)
def test_what_depends_on_time_or_cores_does_not_repeat(name, value, rule):
  section, field = name.split(".")
  fields = {"reproducible": True, "training": {"threads": 1}}
  assert config.from_dict(fields).reproducible
  fields.setdefault(section, {})[field] = value
  said = f"{name} should be {rule} with reproducible, is {value!r}"
  with pytest.raises(InputError, match=said):
    config.from_dict(fields)


def test_groups_that_repeat_publish_at_the_same_steps():
  fields = {"training": {"threads": 1}}
  fields["per_group"] = ["1:exchange.every_steps=7"]
  assert config.from_dict(fields)
  with pytest.raises(InputError, match=r"exchange should be .* in group 1"):
    config.from_dict(fields | {"reproducible": True})
