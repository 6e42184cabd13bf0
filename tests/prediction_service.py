"""A server of one exported version: PredictionService over gRPC, and REST.

As small as it can be. Its checks, and the forms of JSON, are those of TF
Serving (predict_util.cc, json_tensor.cc); what talks to it are its own clients.
"""

import base64
import contextlib
import http.server
import json
import threading
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc

from ctr_codistill.snapshots import Snapshot


class BadRequest(Exception):
  """What a server answers with INVALID_ARGUMENT, or status 400."""


class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
  def __init__(self, name, version):
    self._name, self._version = name, int(version.name)
    self._snapshot = Snapshot(version)
    content = (version / "saved_model.pb").read_bytes()
    (meta,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    self.signatures = meta.signature_def

  def Predict(self, request, context):
    try:
      return self.predict(request)
    except (BadRequest, tf.errors.InvalidArgumentError) as error:
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

  def GetModelMetadata(self, request, context):
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = self._name
    response.model_spec.version.value = self._version
    found = get_model_metadata_pb2.SignatureDefMap()
    for name, one in self.signatures.items():
      found.signature_def[name].CopyFrom(one)
    response.metadata["signature_def"].Pack(found)
    return response

  def predict(self, request):
    name = request.model_spec.signature_name or "serving_default"
    wanted = self.signatures[name]
    extra = set(request.inputs) - set(wanted.inputs)
    missing = set(wanted.inputs) - set(request.inputs) - set(wanted.defaults)
    if extra or missing:
      raise BadRequest(
        "input size does not match signature: Sent extra: "
        f"{sorted(extra)}. Missing but required: {sorted(missing)}."
      )
    inputs = {}
    for key, info in wanted.inputs.items():
      sent = request.inputs[key] if key in request.inputs else None
      value = wanted.defaults[key] if sent is None else sent
      if value.dtype != info.dtype:
        raise BadRequest(
          f"{key} should be {tf.as_dtype(info.dtype).name}, is "
          f"{tf.as_dtype(value.dtype).name}"
        )
      inputs[key] = tf.convert_to_tensor(tf.make_ndarray(value))
    response = predict_pb2.PredictResponse()
    response.model_spec.name = self._name
    response.model_spec.version.value = self._version
    for key, value in self._snapshot.signature(name)(**inputs).items():
      response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
    return response


@contextlib.contextmanager
def serving(servicer):
  """Serves at two free ports of loopback; gives (of gRPC, of REST)."""
  grpc_server = grpc.server(futures.ThreadPoolExecutor(2))
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
    servicer, grpc_server
  )
  port = grpc_server.add_insecure_port("127.0.0.1:0")
  grpc_server.start()
  rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(servicer))
  thread = threading.Thread(target=rest.serve_forever, daemon=True)
  thread.start()
  try:
    yield port, rest.server_port
  finally:
    grpc_server.stop(None)
    rest.shutdown()
    rest.server_close()


def _handler(servicer):
  class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
      body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
      try:
        status, answer = 200, _answer(servicer, body)
      except (BadRequest, tf.errors.InvalidArgumentError) as error:
        status, answer = 400, {"error": str(error)}
      content = json.dumps(answer).encode()
      self.send_response(status)
      self.send_header("Content-Length", str(len(content)))
      self.end_headers()
      self.wfile.write(content)

    def log_message(self, *_):
      pass

  return Handler


def _answer(servicer, body):
  request = predict_pb2.PredictRequest()
  name = body.get("signature_name", "serving_default")
  request.model_spec.signature_name = name
  wanted = servicer.signatures[name].inputs
  if "instances" in body:
    rows = body["instances"]
    for row in rows:
      if set(row) != set(wanted):
        raise BadRequest(f"keys must be equal to: {','.join(sorted(wanted))}")
    columns = {key: [row[key] for row in rows] for key in wanted}
  else:
    columns = body["inputs"]
    missing = set(wanted) - set(columns)
    if missing:
      raise BadRequest(f"Missing named input: {min(missing)}")
  for key, values in columns.items():
    request.inputs[key].CopyFrom(_tensor(values, wanted[key].dtype))
  outputs = {
    key: tf.make_ndarray(value).tolist()
    for key, value in servicer.predict(request).outputs.items()
  }
  if "inputs" in body:
    return {"outputs": outputs}
  return {
    "predictions": [dict(zip(outputs, row)) for row in zip(*outputs.values())]
  }


def _tensor(values, dtype):
  kind = tf.as_dtype(dtype)
  if kind == tf.string:
    values = [
      base64.b64decode(v["b64"]) if isinstance(v, dict) else v for v in values
    ]
    if not all(isinstance(v, str | bytes) for v in values):
      raise BadRequest(f"JSON Value: {values} is not of expected type: string")
  elif not all(isinstance(v, int | list) for v in values):
    raise BadRequest(f"JSON Value: {values} is not of expected type: int64")
  return tf.make_tensor_proto(
    np.array(values, object) if kind == tf.string else values, kind
  )
