import dataclasses

import pytest

from ctr_codistill import config
from ctr_codistill.errors import InputError


def _experiment(*texts, **fields):
  return config.from_dict({"per_group": list(texts), **fields})


def test_a_group_has_its_own_fields_and_else_those_of_all():
  experiment = _experiment(
    "1:model.name=dcn",
    "1:model.hidden=64,32",
    "1:optimizer.learning_rate=1e-2",
    "0:training.batch_size=128",
    model={"embedding_dim": 3},
  )
  first, second = (config.for_group(experiment, g) for g in (0, 1))
  assert first == config.from_dict(
    {"model": {"embedding_dim": 3}, "training": {"batch_size": 128}}
  )
  assert second == config.from_dict(
    {
      "model": {"embedding_dim": 3, "name": "dcn", "hidden": [64, 32]},
      "optimizer": {"learning_rate": 0.01},
    }
  )


def test_a_group_of_which_nothing_is_said_is_as_all():
  plain = config.Experiment(groups=3)
  assert config.for_group(plain, 2) == plain
  other = _experiment("1:model.name=dcn", groups=3)
  assert config.for_group(other, 2) == plain


def test_the_last_word_counts():
  experiment = _experiment("1:exchange.keep=5", "1:exchange.keep=7")
  assert config.for_group(experiment, 1).exchange.keep == 7


def test_a_value_may_have_colons_and_equal_signs():
  experiment = _experiment("1:model.name=my.models:make")
  assert config.for_group(experiment, 1).model.name == "my.models:make"
  with pytest.raises(InputError, match="is 'dnn=x'"):
    _experiment("1:model.name=dnn=x")


def test_a_field_may_have_a_digit_in_its_name():
  experiment = _experiment("1:optimizer.beta1=0.5")
  assert config.for_group(experiment, 1).optimizer.beta1 == 0.5


def test_no_hidden_layers_can_be_said():
  experiment = _experiment("1:model.hidden=")
  assert config.for_group(experiment, 1).model.hidden == ()


@pytest.mark.parametrize(
  "text",
  ["", "1", "1:model.name", "model.name=dcn", "-1:model.name=dcn", "x:a=b"],
)
def test_what_has_not_the_form_is_refused(text):
  with pytest.raises(InputError, match=r"each GROUP:FIELD=VALUE, is .*'"):
    _experiment(text)


def test_a_group_that_there_is_not_is_refused():
  said = r"per_group '2:model.name=dcn': the group should be in \[0, 2\), is 2"
  with pytest.raises(InputError, match=said):
    _experiment("2:model.name=dcn")
  assert _experiment("2:model.name=dcn", groups=3)


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("1:model.names=dcn", "group 1: model has no field 'names'; it has"),
    ("1:model.name.x=dcn", "group 1: model has no field 'name.x'"),
    ("0:model.name=gbdt", "group 0: model.name should be one of .* 'gbdt'"),
    ("1:model.hidden=8,x", r"group 1: model.hidden should .* \[8, 'x'\]"),
    ("1:model.hidden=8,0", r"group 1: model.hidden should .* \(8, 0\)"),
    ("1:training.epochs=two", "training.epochs should be of .* is 'two'"),
    ("1:training.batch_size=9.5", "should be of type int, is '9.5'"),
    ("1:optimizer.learning_rate=nan", "should be above 0, is nan"),
  ],
)
def test_a_wrong_field_or_value_is_refused_as_without_groups(text, said):
  with pytest.raises(InputError, match=said):
    _experiment(text)


@pytest.mark.parametrize(
  "name",
  ["groups", "data.overlap", "training.seed", "exchange.what", "nonsense"],
)
def test_what_all_groups_share_is_refused(name):
  said = f"a field of model, .*, but not training.seed, .*; is '{name}'"
  with pytest.raises(InputError, match=said):
    _experiment(f"1:{name}=3")


def test_a_batch_of_its_own_is_divisible_by_the_workers_too():
  said = "group 1: training.batch_size should be a multiple of the 2 .* is 9"
  with pytest.raises(InputError, match=said):
    _experiment("1:training.batch_size=9", workers=2)


def test_another_experiment_differs_in_it():
  one, other = config.Experiment(), _experiment("1:model.name=dcn")
  assert config.differences(one, other) == [
    "per_group: () against ('1:model.name=dcn',)"
  ]
  assert dataclasses.replace(other, per_group=()) == one
