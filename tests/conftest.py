"""A tiny prepared directory and a tiny servable model that tests share.

Two integers and three strings, each string with a vocabulary of five values and
two rows for others, so that sizes and ids can be worked out by hand. TensorFlow
is imported where it is needed, since many tests do without; ctr_codistill comes
before it (it chooses the Keras), here for all tests.
"""

import contextlib
import resource
import socket
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from ctr_codistill import config
from ctr_codistill.criteo import schema as schemas
from ctr_codistill.criteo import vocabularies
from ctr_codistill.criteo.preparing.shard_writer import ShardWriter
from ctr_codistill.criteo.schema import Categorical
from ctr_codistill.criteo.schema import Numeric
from ctr_codistill.criteo.schema import Schema

TRAIN_ROWS = 230
VALIDATION_ROWS = 40


def _rows(count, seed):
  """Returns rows whose label is 1 mostly where C1's id is odd."""
  random = np.random.RandomState(seed)
  ids = random.randint(0, 8, [count, 3])
  numeric = random.randint(-20, 20, [count, 2])
  numeric[random.rand(count, 2) < 0.2] = schemas.MISSING
  label = random.rand(count, 1) < np.where(ids[:, :1] % 2, 0.8, 0.2)
  return np.concatenate([label, numeric, ids], axis=1).astype(np.int32)


@pytest.fixture(scope="session")
def rows():
  """The training rows, int32 `[230, 6]`."""
  return _rows(TRAIN_ROWS, seed=1)


@pytest.fixture(scope="session")
def schema(prepared):
  """Its ids: 0 missing, 1 and 2 hashed, 3 ... 7 the values a ... e."""
  return schemas.read(prepared)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, rows):
  """The prepared directory; nobody may write there."""
  folder = tmp_path_factory.mktemp("prepared")
  values = pa.array([b"a", b"b", b"c", b"d", b"e"], pa.binary())
  categorical = tuple(
    Categorical(name, 5, 2, vocabularies.write(values, folder, name))
    for name in ("C1", "C2", "C3")
  )
  numeric = (Numeric("I1", 0.0, 1.0, (0, 10)), Numeric("I2", 1.0, 2.0, (-5, 0)))
  schema = Schema(numeric, categorical)
  schemas.write(schema, folder)
  parts = {"train": rows, "validation": _rows(VALIDATION_ROWS, seed=2)}
  for name, part in parts.items():
    with ShardWriter(
      folder / name, schema, block_rows=8, shard_rows=80
    ) as writer:
      writer.write(part)
  return folder


@pytest.fixture(scope="session")
def own_log(tmp_path_factory):
  """40 raw rows of the tiny model, and their layout: not Criteo's form."""
  folder = tmp_path_factory.mktemp("own_log")
  lines = ["I2;C1;id;click;C2;C3;I1"]
  for i in range(VALIDATION_ROWS):
    lines.append(f"{i};{'abcx'[i % 4]};u{i};{'ny'[i % 2]};b;;{-i}")
  (folder / "rows.csv").write_text("\n".join(lines) + "\n")
  (folder / "layout.toml").write_text("""
label = "click"
label_values = ["n", "y"]
header = true
delimiter = ";"
numeric = ["I1", "I2"]
categorical = ["C1", "C2", "C3"]
ignored = ["id"]
""")
  return folder / "rows.csv", folder / "layout.toml"


@pytest.fixture(scope="session")
def tiny():
  """The configuration of the tiny model."""
  return config.Model(hidden=(4,), embedding_dim=2, embedding_scale=0.5)


@pytest.fixture(scope="session")
def features(rows):
  """What `predict_ids` takes, of the first 16 rows."""
  import tensorflow as tf

  return {
    "numeric": tf.constant(rows[:16, 1:3]),
    "categorical": tf.constant(rows[:16, 3:]),
  }


@pytest.fixture(scope="session")
def servable(prepared, schema, tiny):
  """The tiny model as it is published; tests assign other weights to it."""
  from ctr_codistill.criteo.lookup import Lookup
  from ctr_codistill.models import networks
  from ctr_codistill.serving import Servable

  model = networks.build(tiny, schema, seed=1)
  return Servable(model, schema, Lookup(schema, prepared))


@pytest.fixture(scope="session")
def writer(servable, prepared, tmp_path_factory):
  """Writes `servable` as snapshots."""
  from ctr_codistill.snapshots import Writer

  return Writer(
    servable,
    servable.signatures(),
    {schemas.FILE: prepared / schemas.FILE},
    tmp_path_factory.mktemp("writer") / "template",
  )


@pytest.fixture(scope="session")
def publish(servable, writer):
  """A function: writes snapshot `step` whose weights are drawn from `seed`."""

  def write(root, step, seed, **facts):
    random = np.random.RandomState(seed)
    for weight in servable.weights:
      weight.assign(random.uniform(-1, 1, weight.shape).astype(np.float32))
    return writer.write(root, step, servable.weights, facts)

  return write


@pytest.fixture(scope="session")
def flip():
  """A function: alters the middle byte of a file."""

  def alter(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

  return alter


@pytest.fixture(scope="session")
def full_disk():
  """A context: the system refuses to write more than `size` bytes a file."""

  @contextlib.contextmanager
  def limit(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
      yield
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

  return limit


@pytest.fixture(scope="session")
def job_server():
  """The address of a job server of Beam that is a process of its own."""
  import grpc

  with socket.socket() as found:
    found.bind(("127.0.0.1", 0))
    port = found.getsockname()[1]
  module = "apache_beam.runners.portability.local_job_service_main"
  server = subprocess.Popen(
    [sys.executable, "-m", module, f"--port={port}"],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  address = f"localhost:{port}"
  with grpc.insecure_channel(address) as channel:
    grpc.channel_ready_future(channel).result(timeout=120)
  yield address
  server.kill()
  server.wait()
