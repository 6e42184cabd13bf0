"""The C++ program that answers requests as TF Serving does, built and run.

TensorFlow's own wheel brings headers and library, so a compiler is all it
needs; it takes some ten seconds once, and is kept.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from ctr_codistill.errors import InputError
from ctr_codistill.exporting import warmup
from pipelines import command

_SOURCE = pathlib.Path(__file__).parent / "cpp" / "load.cc"
_COMPILER = "g++"
_FAILED_REQUESTS = 3


def compiler() -> str | None:
  """Returns the compiler of this machine, None if it has none."""
  return shutil.which(_COMPILER)


def build(folder: str | None = None) -> str:
  """Returns the program, built unless it was before.

  Args:
    folder: to keep it in; by default one in the system's temporary directory.

  Raises:
    InputError: there is no compiler, or it fails.
  """
  folder = folder or command.temporary("loader")
  source = _SOURCE.read_bytes() + tf.__version__.encode() + tf.__file__.encode()
  name = f"load-{hashlib.sha256(source).hexdigest()[:16]}"
  program = os.path.join(folder, name)
  if os.path.isfile(program):
    return program
  if not compiler():
    raise InputError(f"the C++ loader needs {_COMPILER}, which is not there")
  os.makedirs(folder, exist_ok=True)
  aside = f"{program}.{os.getpid()}"
  done = subprocess.run(
    _line(aside), capture_output=True, text=True, check=False
  )
  if done.returncode:
    raise InputError(f"the C++ loader does not compile: {done.stderr[-2000:]}")
  os.replace(aside, program)
  return program


def answers(
  program: str,
  model: str | os.PathLike,
  requests: Sequence[predict_pb2.PredictRequest],
  folder: str | os.PathLike,
) -> list[dict[str, np.ndarray] | str]:
  """Returns what `model` answers to each request: its outputs, or why not.

  Args:
    program: of `build`.
    model: directory of a SavedModel.
    requests: at least one.
    folder: for files of requests and answers.

  Raises:
    InputError: the model does not load.
  """
  sent, found = (os.path.join(folder, name) for name in ("sent", "answers"))
  warmup.write(sent, requests)
  done = _run([program, str(model), sent, found], _FAILED_REQUESTS)
  errors = {}
  for line in done.stderr.splitlines():
    if line.startswith("request "):
      number, _, why = line.removeprefix("request ").partition(": ")
      errors[int(number)] = why
  return [
    errors.get(i) or _outputs(record.numpy())
    for i, record in enumerate(tf.data.TFRecordDataset(found))
  ]


def timed(
  program: str,
  model: str | os.PathLike,
  requests: str | os.PathLike,
  *,
  seconds: float,
  rate: float = 0.0,
) -> dict[str, Any]:
  """Returns {"requests", "per_second", "p50_ms", "p99_ms"} of a model.

  Args:
    program: of `build`.
    model: directory of a SavedModel.
    requests: file of `warmup.write`, sent in turn.
    seconds: how long.
    rate: requests a second that come, answered or not; 0: each when the last
      one is answered.

  Raises:
    InputError: a request fails.
  """
  line = [program, str(model), str(requests)]
  done = _run([*line, f"--seconds={seconds}", f"--rate={rate}"])
  return json.loads(done.stdout.splitlines()[-1])


def _run(line: Sequence[str], *allowed: int) -> subprocess.CompletedProcess:
  quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
  done = subprocess.run(
    line, capture_output=True, text=True, check=False, env=quiet
  )
  if done.returncode not in (0, *allowed):
    raise InputError(f"the C++ loader failed: {done.stderr.strip()[-2000:]}")
  return done


def _outputs(record: bytes) -> dict[str, np.ndarray]:
  response = predict_pb2.PredictResponse.FromString(record)
  return {k: tf.make_ndarray(value) for k, value in response.outputs.items()}


def _line(output: str) -> list[str]:
  folder = tf.sysconfig.get_lib()
  return [
    _COMPILER,
    *("-std=c++17", "-O0", "-w", f"-I{tf.sysconfig.get_include()}"),
    *("-D_GLIBCXX_USE_CXX11_ABI=1", "-DEIGEN_MAX_ALIGN_BYTES=64"),
    *(str(_SOURCE), "-o", output, f"-L{folder}", "-Wl,--no-as-needed"),
    *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
    *(f"-Wl,-rpath,{folder}", "-Wl,--allow-shlib-undefined"),
  ]
