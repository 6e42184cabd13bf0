"""An export before what is not ours: C++, clients of TF Serving, its CLI."""

import base64
import http.client
import json
import subprocess
import sys

import grpc
import numpy as np
import prediction_service
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from ctr_codistill.criteo.schema import MISSING_INT64
from ctr_codistill.exporting import exports
from ctr_codistill.exporting import narrow
from ctr_codistill.exporting import raw_rows
from ctr_codistill.exporting import warmup
from ctr_codistill.snapshots import Snapshot
from pipelines import cpp_loader

SIGNATURES = ("serving_default", "predict", "predict_ids")
ROWS = 40


@pytest.fixture(scope="module")
def version(publish, tmp_path_factory):
  """Version 7 of "clicks"."""
  folder = tmp_path_factory.mktemp("served")
  published = publish(folder / "exchange", 50, seed=3)
  return exports.export(published, folder / "clicks", version=7)


@pytest.fixture(scope="module")
def asked(version, prepared):
  """40 rows to validate on, raw."""
  return raw_rows.read(str(prepared / "validation"), version, ROWS)


@pytest.fixture(scope="module")
def wanted(version, asked):
  """What Python answers: (logits, probabilities), each `[40]`."""
  found = Snapshot(version).predict_ids(
    **{k: tf.constant(v) for k, v in asked.inputs("predict_ids").items()}
  )
  return found["logit"].numpy(), found["probability"].numpy()


@pytest.fixture(scope="module")
def program(tmp_path_factory):
  if not cpp_loader.compiler():
    pytest.skip("no g++ here: the C++ loader is not built")
  return cpp_loader.build(str(tmp_path_factory.mktemp("loader")))


@pytest.fixture(scope="module")
def ports(version):
  servicer = prediction_service.Servicer("clicks", version)
  with prediction_service.serving(servicer) as ports:
    yield ports


@pytest.fixture(scope="module")
def stub(ports):
  with grpc.insecure_channel(f"127.0.0.1:{ports[0]}") as channel:
    yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def _equal(found, wanted):
  logit, probability = wanted
  assert np.array_equal(found["logit"], logit)
  assert np.array_equal(found["probability"], probability)


def _requests(asked):
  return [
    warmup.request("clicks", name, asked.inputs(name)) for name in SIGNATURES
  ]


def _sent(asked, **other):
  """Returns a request of `predict` in which some features are others."""
  inputs = asked.inputs("predict") | other
  inputs = {name: v for name, v in inputs.items() if v is not None}
  return warmup.request("clicks", "predict", inputs)


def test_cpp_answers_all_signatures_to_the_bit(
  program, version, asked, wanted, tmp_path
):
  found = cpp_loader.answers(program, version, _requests(asked), tmp_path)
  assert len(found) == 3
  for answer in found:
    _equal(answer, wanted)


def test_cpp_answers_weights_in_bfloat16(program, version, asked, tmp_path):
  path = narrow.write(version, tmp_path / "narrow")
  inputs = asked.inputs("predict_ids")
  own = Snapshot(path).predict_ids(
    **{k: tf.constant(v) for k, v in inputs.items()}
  )
  found = cpp_loader.answers(program, path, _requests(asked), tmp_path)
  for answer in found:
    _equal(answer, (own["logit"].numpy(), own["probability"].numpy()))


def test_cpp_answers_the_warm_up_requests(program, version, tmp_path):
  """The file itself, as a server reads it."""
  requests = version / "assets.extra" / warmup.FILE
  found = cpp_loader.timed(program, version, requests, seconds=0.01)
  assert found["requests"] > 0
  assert 0 < found["p50_ms"] <= found["p99_ms"]
  steady = cpp_loader.timed(program, version, requests, seconds=0.1, rate=100.0)
  assert steady["requests"] == 10


def test_cpp_takes_a_feature_that_is_not_sent_as_missing(
  program, version, asked, tmp_path
):
  nothing = np.full(ROWS, MISSING_INT64)
  empty = np.array([b""] * ROWS, object)
  said = _sent(asked, I1=nothing, C2=empty)
  left_out = _sent(asked, I1=None, C2=None)
  first, second = cpp_loader.answers(
    program, version, [said, left_out], tmp_path
  )
  _equal(second, (first["logit"], first["probability"]))


def test_cpp_refuses_bad_requests_one_by_one(program, version, asked, tmp_path):
  ids = asked.inputs("predict_ids")
  bad = {
    "INVALID_ARGUMENT.*int64.*string|string.*int64": _sent(
      asked, I1=asked.raw["C1"]
    ),
    "one number of rows": _sent(asked, I1=asked.raw["I1"][:3]),
    r"\[40,1\] is not compatible": _sent(asked, I1=asked.raw["I1"][:, None]),
    "no input X9": _sent(asked, X9=asked.raw["I1"]),
    "no signature train": warmup.request("clicks", "train", ids),
    r"\[\?,2\]|\[-1,2\]|incompatible|shape": warmup.request(
      "clicks", "predict_ids", ids | {"numeric": ids["numeric"][:, :1]}
    ),
    "numeric": warmup.request(
      "clicks", "predict_ids", {"categorical": ids["categorical"]}
    ),
    r"= 1073741824 is not in \[0": warmup.request(
      "clicks",
      "predict_ids",
      ids | {"categorical": np.full_like(ids["categorical"], 2**30)},
    ),
    "parse": warmup.request(
      "clicks", "serving_default", {"examples": np.array([b"?"], object)}
    ),
  }
  good = _sent(asked)
  *errors, last = cpp_loader.answers(
    program, version, [*bad.values(), good], tmp_path
  )
  for pattern, error in zip(bad, errors):
    assert isinstance(error, str), pattern
    with pytest.raises(ValueError, match=f"(?i){pattern}"):
      raise ValueError(error)
  assert len(last["logit"]) == ROWS


def test_cpp_calls_an_input_of_a_wrong_dtype_by_the_number_in_the_report(
  program, version, asked, tmp_path
):
  report = json.loads(exports.report(version).read_text())
  inputs = report["signatures"]["predict"]["inputs"]
  wrong = [
    _sent(asked, **{name: asked.raw["C1" if name[0] == "I" else "I1"]})
    for name in inputs
  ]
  errors = cpp_loader.answers(program, version, wrong, tmp_path)
  for one, error in zip(inputs.values(), errors, strict=True):
    assert f"Expects arg[{one['arg']}] to be {one['dtype']} but" in error


def test_extreme_integers_and_unknown_strings_are_answered(
  program, version, tmp_path
):
  ends = np.array([2**63 - 1, -(2**63) + 1, -(2**63), 2**31, -(2**31)])
  odd = np.array([b"\xff\xfe", b"x" * 5000, b"\t", b"\n", b"a\x00"], object)
  request = warmup.request(
    "clicks", "predict", {"I1": ends, "I2": ends[::-1], "C1": odd, "C2": odd}
  )
  (found,) = cpp_loader.answers(program, version, [request], tmp_path)
  assert np.isfinite(found["logit"]).all()
  assert ((found["probability"] >= 0) & (found["probability"] <= 1)).all()


def test_clients_over_grpc_get_the_bits_of_python(stub, asked, wanted):
  for request in _requests(asked):
    response = stub.Predict(request, timeout=60)
    assert response.model_spec.version.value == 7
    _equal({k: tf.make_ndarray(v) for k, v in response.outputs.items()}, wanted)


def test_clients_over_grpc_are_told_the_signatures(stub):
  request = get_model_metadata_pb2.GetModelMetadataRequest()
  request.model_spec.name = "clicks"
  request.metadata_field.append("signature_def")
  packed = stub.GetModelMetadata(request, timeout=60).metadata["signature_def"]
  found = get_model_metadata_pb2.SignatureDefMap()
  assert packed.Unpack(found)
  assert set(SIGNATURES) <= set(found.signature_def)
  assert set(found.signature_def["predict"].defaults) == {
    *("C1", "C2", "C3", "I1", "I2")
  }


def test_clients_over_grpc_are_told_what_is_wrong(stub, asked):
  for request, said in (
    (_sent(asked, I1=asked.raw["C1"]), "I1 should be int64, is string"),
    (_sent(asked, I1=asked.raw["I1"][:3]), "one number of rows"),
    (_sent(asked, X9=asked.raw["I1"]), "X9"),
  ):
    with pytest.raises(grpc.RpcError) as raised:
      stub.Predict(request, timeout=60)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert said in raised.value.details()


def _post(ports, body):
  connection = http.client.HTTPConnection("127.0.0.1", ports[1], timeout=60)
  connection.request("POST", "/v1/models/clicks:predict", json.dumps(body))
  response = connection.getresponse()
  answer = json.loads(response.read())
  connection.close()
  return response.status, answer


def _columns(asked):
  return {
    name: [v.decode() if isinstance(v, bytes) else v for v in values.tolist()]
    for name, values in asked.raw.items()
  }


def test_rest_answers_columns_rows_and_examples(ports, asked, wanted):
  columns = _columns(asked)
  body = {"signature_name": "predict", "inputs": columns}
  status, answer = _post(ports, body)
  assert status == 200
  float32 = {k: np.float32(v) for k, v in answer["outputs"].items()}
  _equal(float32, wanted)
  instances = [dict(zip(columns, values)) for values in zip(*columns.values())]
  body = {"signature_name": "predict", "instances": instances}
  _, answer = _post(ports, body)
  found = [row["probability"] for row in answer["predictions"]]
  assert np.array_equal(np.float32(found), wanted[1])
  examples = [
    {"b64": base64.b64encode(example).decode()}
    for example in asked.inputs("serving_default")["examples"]
  ]
  _, answer = _post(ports, {"inputs": {"examples": examples}})
  assert np.array_equal(np.float32(answer["outputs"]["logit"]), wanted[0])


def test_rest_takes_an_empty_column_as_missing(ports, asked):
  columns = _columns(asked)
  said = columns | {"I2": [MISSING_INT64] * ROWS, "C3": [""] * ROWS}
  empty = columns | {"I2": [], "C3": []}
  first, second = (
    _post(ports, {"signature_name": "predict", "inputs": inputs})
    for inputs in (said, empty)
  )
  assert first[0] == 200
  assert first == second


def test_rest_refuses_a_string_for_an_integer(ports, asked):
  inputs = _columns(asked) | {"I1": ["7"] * ROWS}
  status, answer = _post(ports, {"signature_name": "predict", "inputs": inputs})
  assert status == 400
  assert "not of expected type: int64" in answer["error"]


def test_saved_model_cli_runs_it(version, asked, wanted, tmp_path):
  given = [f"{k}={v.tolist()!r}" for k, v in asked.raw.items()]
  line = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli"]
  line += ["run", "--dir", str(version), "--tag_set", "serve"]
  line += ["--signature_def", "predict", "--outdir", str(tmp_path)]
  line += ["--input_exprs", ";".join(given)]
  subprocess.run(line, check=True, capture_output=True)
  found = {
    name: np.load(tmp_path / f"{name}.npy") for name in ("logit", "probability")
  }
  _equal(found, wanted)


def test_parity_of_all_ways_is_to_the_bit(program, version, prepared, tmp_path):
  output = tmp_path / "parity.json"
  line = [sys.executable, "-m", "pipelines.parity", f"--snapshot={version}"]
  line += [f"--input={prepared / 'train'}", f"--output={output}"]
  subprocess.run([*line, f"--loader={program}"], check=True)
  found = json.loads(output.read_text())
  assert found["rows"] == 230
  assert found["ways"] == [
    *("records", "predict", "example"),
    *("cpp records", "cpp predict", "cpp example", "batch"),
  ]
  assert found["max_difference"] == 0
  assert set(found["batch_sizes"]) == {"1", "32", "1024"}
  assert max(found["batch_sizes"].values()) <= found["bound"]
  assert found["left_out"] == {}
