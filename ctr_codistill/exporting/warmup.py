"""Requests as TF Serving logs them: what a server is warmed up with.

It answers those of `assets.extra/tf_serving_warmup_requests` before it takes
others, so that the first of its clients does not wait for what is done once.
"""

import errno
import os
from collections.abc import Iterable
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

from ctr_codistill.exporting.raw_rows import RawRows

FILE = "tf_serving_warmup_requests"
SIGNATURES = ("serving_default", "predict", "predict_ids")
BATCHES = (1, 32)
"""Rows of the requests; a batch of one takes other kernels than many."""
ROWS = max(BATCHES)
"""Rows that the requests are made of."""


def request(
  model: str, signature: str, inputs: Mapping[str, np.ndarray]
) -> predict_pb2.PredictRequest:
  """Returns the request that sends `inputs` to a signature of a model."""
  found = predict_pb2.PredictRequest()
  found.model_spec.name = model
  found.model_spec.signature_name = signature
  for name, values in inputs.items():
    found.inputs[name].CopyFrom(tf.make_tensor_proto(values))
  return found


def requests(
  model: str,
  rows: RawRows,
  batches: Iterable[int] = BATCHES,
  signatures: Iterable[str] = SIGNATURES,
) -> list[predict_pb2.PredictRequest]:
  """Returns a request of each signature and number of rows."""
  return [
    request(model, signature, rows[:batch].inputs(signature))
    for signature in signatures
    for batch in batches
  ]


def write(
  path: str | os.PathLike, found: Iterable[predict_pb2.PredictRequest]
) -> None:
  """Writes a TFRecord of PredictionLog, as TF Serving reads it.

  Raises:
    OSError: it cannot be written.
  """
  try:
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
      for one in found:
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(one)
        writer.write(log.SerializeToString())
  except tf.errors.OpError as error:
    full = isinstance(error, tf.errors.ResourceExhaustedError)
    number = errno.ENOSPC if full else errno.EIO
    why = os.strerror(number) if full else error.message
    raise OSError(number, why, os.fspath(path)) from None
