import dataclasses
import json
import math

import pytest

from ctr_codistill import config
from ctr_codistill import fields
from ctr_codistill.errors import InputError

# For each field a value that breaks its rule, and what is said of it.
WRONG = [
  ("groups", 0, "experiment.groups should be at least 1, is 0"),
  ("workers", -1, "experiment.workers should be at least 1, is -1"),
  ("reproducible", "yes", "reproducible .* of type bool, is 'yes'"),
  ("data.sharing", "own", "same, disjoint, coordinated, is 'own'"),
  ("data.overlap", 1.5, "data.overlap .* at least 0, at most 1, is 1.5"),
  ("data.window_rows", 0, "data.window_rows should be at least 1, is 0"),
  ("model.name", "gbdt", "one of dnn, dcn, .*package.module:func.* 'gbdt'"),
  ("model.hidden", [8, 0], r"should be each at least 1, is \(8, 0\)"),
  ("model.activation", "tanh", "one of relu, smelu, swish, is 'tanh'"),
  ("model.smelu_width", 0.0, "smelu_width should be above 0, is 0.0"),
  ("model.embedding_dim", 0, "model.embedding_dim should be .*, is 0"),
  ("model.embedding_scale", 0.0, "should be above 0, is 0.0"),
  ("model.numeric", "raw", "one of log, bins, both, is 'raw'"),
  ("model.cross_layers", 0, "cross_layers should be at least 1, is 0"),
  ("model.bottom", [0], r"bottom should be each at least 1, is \(0,\)"),
  ("model.precision", "int8", "one of float32, bfloat16, is 'int8'"),
  ("optimizer.name", "lamb", "one of adagrad, adam, ftrl, sgd, is 'lamb'"),
  ("optimizer.embedding_name", "lazy", "empty or one of .*, is 'lazy'"),
  ("optimizer.learning_rate", -0.1, "should be above 0, is -0.1"),
  ("optimizer.embedding_learning_rate", 0.0, "should be above 0, is 0.0"),
  ("optimizer.decay", "root", "one of .*, cosine, step, is 'root'"),
  ("optimizer.warmup_steps", -1, "warmup_steps .* at least 0, is -1"),
  ("optimizer.decay_boundaries", [5, 5], r"each above .*, is \(5, 5\)"),
  ("optimizer.decay_factor", 1.5, "at least 0, at most 1, is 1.5"),
  ("optimizer.clip_norm", -0.1, "clip_norm should be at least 0, is -0.1"),
  ("optimizer.initial_accumulator", 0.0, "at least 1e-30, is 0.0"),
  ("optimizer.momentum", 1.0, "at least 0, at most 0.9999, is 1.0"),
  ("optimizer.beta1", 1.0, "at least 0, at most 0.9999, is 1.0"),
  ("optimizer.beta2", 1.0, "at least 0, at most 0.999999, is 1.0"),
  ("optimizer.epsilon", 0.0, "epsilon should be above 0, is 0.0"),
  ("optimizer.l1", -1e-4, "l1 should be at least 0, is -0.0001"),
  ("optimizer.l2", -1e-4, "l2 should be at least 0, is -0.0001"),
  ("optimizer.learning_rate_power", 0.5, "at least -1, at most 0, is 0.5"),
  ("training.batch_size", 0, "training.batch_size .* at least 1, is 0"),
  ("training.epochs", 0.0, "training.epochs should be above 0, is 0.0"),
  ("training.max_steps", -1, "training.max_steps .* at least 0, is -1"),
  ("training.seed", 2**31, "at most 2147483647, is 2147483648"),
  ("training.weights_seed", -2, "at least -1, .*, is -2"),
  ("training.checkpoint_every", -5, "should be at least 0, is -5"),
  ("training.evaluate_every", -6, "should be at least 0, is -6"),
  ("training.average_decay", 1.0, "at least 0, at most 0.9999, is 1.0"),
  ("training.average_every", 0, "should be at least 1, is 0"),
  ("training.summarize_every", 0, "should be at least 1, is 0"),
  ("training.checksum_every", -1, "should be at least 0, is -1"),
  ("training.collective_timeout", 0.0, "should be above 0, is 0.0"),
  ("training.storage_timeout", 0.0, "should be above 0, is 0.0"),
  ("training.start_timeout", 0.0, "should be above 0, is 0.0"),
  ("training.threads", -2, "training.threads .* at least 0, is -2"),
  ("codistill.loss", "l1", "one of .*, kl, squared_logits, is 'l1'"),
  ("codistill.divergence_to", "all", "one of mean, each, is 'all'"),
  ("codistill.temperature", 0.0, "temperature should be above 0, is 0.0"),
  ("codistill.weight", -0.5, "codistill.weight .* at least 0, is '-0.5'"),
  ("codistill.burn_in_steps", -7, "should be at least 0, is -7"),
  ("codistill.burn_in_share", 1.5, "at least 0, at most 1, is 1.5"),
  ("codistill.growth", 0.0, "growth should be above 0, is 0.0"),
  ("codistill.staleness_half_life", -1.0, "should be at least 0, is -1.0"),
  ("codistill.taught_share", 0.0, "above 0, at most 1, is 0.0"),
  ("codistill.teachers", [""], r"should be each a path, is \(''"),
  ("exchange.what", "weights", "one of snapshots, predictions, is 'weights'"),
  ("exchange.topology", "star", "should be all, ring or .*, is 'star'"),
  ("exchange.every_steps", 0, "exchange.every_steps .* at least 1, is 0"),
  ("exchange.every_seconds", -1.0, "every_seconds .* at least 0, is -1.0"),
  ("exchange.max_staleness_steps", -1, "should be at least 0, is -1"),
  ("exchange.delay_steps", -1, "should be at least 0, is -1"),
  ("exchange.keep", 1, "exchange.keep should be at least 2, is 1"),
  ("exchange.wait_timeout", 0.0, "wait_timeout should be above 0, is 0.0"),
  ("exchange.key_file", "s3://b/key", "a path of this machine, .*s3://b/key"),
  ("exchange.allowed_ops", ["ReadFile"], r"no file, .*is \('ReadFile',\)"),
  ("regularization.weight_decay", "0, 5:-1", "at least 0, is '0, 5:-1'"),
  ("regularization.embedding_l2", -1, "at least 0, is '-1'"),
  ("regularization.dropout", "0, 5:1", "at most 0.99, is '0, 5:1'"),
  ("regularization.label_smoothing", 2, "at most 1, is '2'"),
  ("regularization.label_smoothing_to", "one", "half, base_rate, is 'one'"),
  ("per_group", ["model.name=dcn"], "each GROUP:FIELD=VALUE"),
]

# Few fields have their defaults: where one excludes another.
OTHER = {
  "groups": 3,
  "workers": 2,
  "reproducible": True,
  "data": {"sharing": "same", "overlap": 0.5, "window_rows": 7},
  "model": {
    "name": "dcn",
    "hidden": [5, 6],
    "activation": "smelu",
    "smelu_width": 0.5,
    "embedding_dim": 3,
    "embedding_scale": 0.3,
    "numeric": "log",
    "cross_layers": 3,
    "bottom": [],
    "precision": "bfloat16",
  },
  "optimizer": {
    "name": "sgd",
    "embedding_name": "ftrl",
    "learning_rate": 1 / 3,
    "embedding_learning_rate": 1e-7,
    "decay": "step",
    "warmup_steps": 3,
    "decay_boundaries": [5, 8],
    "decay_factor": 0.5,
    "clip_norm": 2.5,
    "initial_accumulator": 0.1,
    "momentum": 0.9,
    "beta1": 0.8,
    "beta2": 0.99,
    "epsilon": 1e-9,
    "l1": 1e-3,
    "l2": 1e-2,
    "learning_rate_power": -0.3,
  },
  "training": {
    "batch_size": 10,
    "epochs": 0.5,
    "max_steps": 9,
    "seed": 2**31 - 1,
    "weights_seed": 5,
    "checkpoint_every": 11,
    "evaluate_every": 0,
    "average_decay": 0.95,
    "average_every": 8,
    "summarize_every": 12,
    "checksum_every": 16,
    "collective_timeout": 13.5,
    "storage_timeout": 17.5,
    "start_timeout": 14.5,
    "threads": 1,
  },
  "codistill": {
    "loss": "squared_logits",
    "divergence_to": "each",
    "temperature": 2.0,
    "weight": "0, 5-50%:0.25",
    "burn_in_steps": 200,
    "burn_in_share": 0.1,
    "growth": 1.1,
    "staleness_half_life": 7.0,
    "taught_share": 0.5,
    "teachers": ["a/1", "b/2"],
  },
  "exchange": {
    "what": "snapshots",
    "topology": "0<1,2 1<2",
    "every_steps": 14,
    "every_seconds": 0.0,
    "max_staleness_steps": 100,
    "delay_steps": 28,
    "keep": 4,
    "wait_timeout": 15.5,
    "key_file": "/run/secrets/key",
    "allowed_ops": ["Betainc"],
  },
  "regularization": {
    "weight_decay": "0.0001, 33%:1e-05, 67%:0",
    "embedding_l2": "0.001",
    "dropout": "0.1",
    "label_smoothing": "0, 5:0.1",
    "label_smoothing_to": "base_rate",
  },
  "per_group": ["1:model.name=dnn", "1:model.hidden=7"],
}


def _nested(name, value):
  section, _, field = name.rpartition(".")
  return {section: {field: value}} if section else {field: value}


def _fields(cls, prefix=""):
  for field in dataclasses.fields(cls):
    if dataclasses.is_dataclass(field.type):
      yield from _fields(field.type, f"{field.name}.")
    else:
      yield prefix + field.name


@pytest.mark.parametrize(("name", "value", "said"), WRONG)
def test_a_broken_rule_is_refused_with_its_value(name, value, said):
  with pytest.raises(InputError, match=said):
    config.from_dict(_nested(name, value))


def test_a_weight_that_outgrows_float32_is_refused():
  codistill = config.Codistill(growth=10.0)
  with pytest.raises(InputError, match="below 1e38 after 50 epochs, is 10: it"):
    config.Experiment(
      codistill=codistill, training=config.Training(epochs=50.0)
    )


def test_every_field_has_a_wrong_value_above():
  assert [name for name, _, _ in WRONG] == list(_fields(config.Experiment))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
  "name",
  [
    "model.embedding_scale",
    "optimizer.learning_rate",
    "training.epochs",
    "training.collective_timeout",
    "codistill.temperature",
  ],
)
def test_a_number_is_finite(name, value):
  with pytest.raises(InputError, match=f"{name} should be .*, is {value}"):
    config.from_dict(_nested(name, value))


@pytest.mark.parametrize(
  ("name", "value", "said"),
  [
    ("per_group", "1:model.name=dcn", "of type .*, is '1:model.name=dcn'"),
    ("per_group", [1], r"per_group should be of type .*, is \[1\]"),
    ("groups", "2", "experiment.groups should be of type int, is '2'"),
    ("groups", True, "of type int, is True"),
    ("groups", 2.0, "of type int, is 2.0"),
    ("training.epochs", "1", "training.epochs .* of type float, is '1'"),
    ("training.epochs", None, "of type float, is None"),
    ("model.hidden", 8, "model.hidden should be of type .*, is 8"),
    ("model.hidden", [8, "x"], r"is \[8, 'x'\]"),
    ("model.name", 1, "model.name should be of type str, is 1"),
    ("codistill.weight", True, "weight should be of type Course, is True"),
    ("codistill.weight", None, "of type Course, is None"),
    ("codistill.weight", "much", "weight: a course should be .*, is 'much'"),
    ("codistill.weight", math.nan, "weight: a course should be .*, is 'nan'"),
    ("data", 3, "experiment.data should be of type Data, is 3"),
  ],
)
def test_a_wrong_type_is_refused_with_its_value(name, value, said):
  with pytest.raises(InputError, match=said):
    config.from_dict(_nested(name, value))


def test_an_integer_serves_as_a_float():
  epochs = config.Training(epochs=2).epochs
  assert (epochs, type(epochs)) == (2.0, float)


def test_an_unknown_field_is_refused_with_those_there_are():
  with pytest.raises(InputError, match=r"no field 'batchsize'; .* batch_size"):
    config.from_dict({"training": {"batchsize": 3}})


def test_a_batch_is_divisible_by_the_workers():
  said = "training.batch_size should be a multiple of the 3 workers .*, is 256"
  with pytest.raises(InputError, match=said):
    config.Experiment(workers=3)
  assert config.from_dict({"workers": 3, "training": {"batch_size": 255}})


@pytest.mark.parametrize("sharing", ["disjoint", "coordinated"])
def test_an_overlap_is_a_matter_of_groups_that_share(sharing):
  said = "data.overlap should be 1 unless sharing is same, is 0.4"
  with pytest.raises(InputError, match=said):
    config.Data(sharing=sharing, overlap=0.4)
  assert config.Data(sharing=sharing).overlap == 1
  assert config.Data(overlap=0).sharing == "same"


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ({"decay": "step"}, r"is \(\) with step"),
    ({"decay": "cosine", "decay_boundaries": [7]}, r"is \(7,\) with cosine"),
    ({"decay_boundaries": [7]}, r"is \(7,\) with constant"),
  ],
)
def test_boundaries_belong_to_the_decay_by_steps(given, said):
  said = f"decay_boundaries should be given with decay step, .*, {said}"
  with pytest.raises(InputError, match=said):
    config.Optimizer(**given)


@pytest.mark.parametrize("boundaries", [[0], [-1, 3], [3, 2]])
def test_boundaries_rise_from_above_zero(boundaries):
  said = "decay_boundaries should be each above the one before it"
  with pytest.raises(InputError, match=said):
    config.Optimizer(decay="step", decay_boundaries=boundaries)


@pytest.mark.parametrize(
  "name", ["gbm", "dnn:f", "my.models:make", "_a.b_2:_c", "modèles:réseau"]
)
def test_a_network_is_named_or_a_function_of_a_module(name):
  if ":" in name:
    assert config.Model(name=name).name == name
  else:
    with pytest.raises(InputError, match=r"your own package\.module:function"):
      config.Model(name=name)


@pytest.mark.parametrize(
  "name", ["a:", ":f", "a:b:c", "a..b:f", "a b:f", "1:f"]
)
def test_what_can_be_no_function_is_refused(name):
  with pytest.raises(InputError, match=f"model.name should be .*, is '{name}'"):
    config.Model(name=name)


def test_json_gives_an_equal_experiment():
  experiment = config.from_dict(OTHER)
  usual = fields.flat(config.Experiment())
  defaults = {
    name
    for name, value in fields.flat(experiment).items()
    if value == usual[name]
  }
  # An overlap is of data that are shared, a delay of snapshots, by steps.
  assert defaults == {
    "data.sharing",
    "codistill.burn_in_steps",  # there is a share
    "exchange.what",
    "exchange.every_seconds",
  }
  again = config.from_json(config.to_json(experiment))
  assert again == experiment
  assert again.model.hidden == (5, 6)
  assert hash(again) == hash(experiment)
  assert json.loads(config.to_json(experiment)) == OTHER


def test_what_is_not_said_is_the_default():
  assert config.from_json("{}") == config.Experiment()


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("{", "should be JSON: Expecting"),
    ("[1]", r"experiment should be an object, is \[1\]"),
    ('{"grups": 1}', "experiment has no field 'grups'"),
  ],
)
def test_what_is_no_experiment_is_refused(text, said):
  with pytest.raises(InputError, match=said):
    config.from_json(text)


def test_differences_name_the_fields_and_both_values():
  one = config.Experiment()
  other = config.from_dict({"groups": 4, "codistill": {"weight": 0.5}})
  assert config.differences(one, other) == [
    "groups: 2 against 4",
    "codistill.weight: '1' against '0.5'",
  ]
  assert config.differences(one, one) == []


def test_experiments_that_give_up_at_other_times_do_not_differ():
  flat = {}
  for name in config.PATIENCE:
    section, _, field = name.partition(".")
    flat.setdefault(section, {})[field] = 7.0
  other = config.from_dict(flat)
  assert other != config.Experiment()
  assert config.differences(config.Experiment(), other) == []


def test_an_experiment_cannot_be_changed():
  with pytest.raises(dataclasses.FrozenInstanceError):
    config.Experiment().groups = 5


@pytest.mark.parametrize(
  "data",
  [{"sharing": "disjoint"}, {"sharing": "coordinated"}, {"overlap": 0.5}],
)
def test_predictions_go_around_where_all_groups_have_the_same_rows(data):
  rest = {"exchange": {"what": "predictions"}}
  with pytest.raises(InputError, match=r"predictions needs data\.sharing=same"):
    config.from_dict({"data": data, **rest})
