import contextlib
import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ctr_codistill.errors import InputError
from ctr_codistill.training import strategy
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.strategy import Cluster


def _config(kind, index, **cluster):
  return json.dumps(
    {"cluster": cluster, "task": {"type": kind, "index": index}}
  )


@pytest.mark.parametrize("text", [None, ""])
def test_without_tf_config_a_worker_is_alone(text):
  cluster = strategy.from_tf_config(text)
  assert len(cluster.workers) == 1
  assert (cluster.index, cluster.is_chief) == (0, True)


def test_workers_are_those_of_tf_config():
  cluster = strategy.from_tf_config(_config("worker", 1, worker=["a:1", "b:2"]))
  assert cluster == Cluster(("a:1", "b:2"), 1)
  assert not cluster.is_chief


def test_an_index_may_be_written_as_text():
  text = _config("worker", "1", worker=["a:1", "b:2"])
  assert strategy.from_tf_config(text).index == 1


def test_a_chief_is_the_first_worker():
  parts = {"chief": ["c:0"], "worker": ["a:1", "b:2"]}
  chief = strategy.from_tf_config(_config("chief", 0, **parts))
  assert chief == Cluster(("c:0", "a:1", "b:2"), 0)
  assert chief.is_chief
  worker = strategy.from_tf_config(_config("worker", 1, **parts))
  assert worker == Cluster(("c:0", "a:1", "b:2"), 2)


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("{", r"is '{' \(JSONDecodeError"),
    ("[]", r"is '\[\]' \(TypeError"),
    ('{"cluster": {"worker": ["a:1"]}}', r"KeyError\('task'\)"),
    (_config("worker", "x", worker=["a:1"]), "invalid literal .* 'x'"),
    (_config("worker", 0, worker="a:1"), "worker.*'a:1'"),
    (_config("worker", 0, worker=[1]), r"worker.*\[1\]"),
  ],
)
def test_a_tf_config_that_is_none_is_shown_with_what_it_should_be(text, said):
  with pytest.raises(InputError, match=f"TF_CONFIG should be .*{said}"):
    strategy.from_tf_config(text)


@pytest.mark.parametrize("kind", ["evaluator", "ps", None])
def test_another_task_is_refused(kind):
  said = f"task.type should be chief or worker, is {kind!r}"
  with pytest.raises(InputError, match=said):
    strategy.from_tf_config(_config(kind, 0, worker=["a:1"]))


@pytest.mark.parametrize(
  ("kind", "index", "count"),
  [("worker", 2, 2), ("worker", -1, 2), ("chief", 1, 1)],
)
def test_an_index_beyond_its_kind_is_refused(kind, index, count):
  text = _config(kind, index, chief=["c:0"], worker=["a:1", "b:2"])
  said = rf"task.index should be in \[0, {count}\), is {index}"
  with pytest.raises(InputError, match=said):
    strategy.from_tf_config(text)


def test_a_cluster_without_workers_is_refused():
  with pytest.raises(InputError, match=r"task.index .* in \[0, 0\), is 0"):
    strategy.from_tf_config(_config("worker", 0))


@contextlib.contextmanager
def _taken():
  """Yields a port that somebody listens on."""
  with contextlib.closing(socket.create_server(("", 0))) as server:
    yield server.getsockname()[1]


def test_a_taken_port_is_named_with_its_address():
  with _taken() as port:
    address = f"localhost:{port}"
    said = f"{address} of this worker should be a free port .* in use"
    with pytest.raises(InputError, match=said):
      strategy.start(Cluster((address, "localhost:1")))


@pytest.mark.parametrize("address", ["localhost", "localhost:x", "host:99999"])
def test_an_address_without_a_port_is_named(address):
  said = f"address {address} of this worker should be a free port"
  with pytest.raises(InputError, match=said):
    strategy.start(Cluster((address, "localhost:1")))


def test_a_worker_that_never_came_ends_the_wait():
  """In a process of its own, which ends."""
  with contextlib.ExitStack() as held:
    ports = []
    for _ in range(2):
      probe = held.enter_context(socket.socket())
      probe.bind(("localhost", 0))
      ports.append(probe.getsockname()[1])
  addresses = tuple(f"localhost:{port}" for port in ports)
  code = (
    "from ctr_codistill.training import strategy as s\n"
    f"s.start(s.Cluster({addresses}), start_timeout=0.5)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    env={**os.environ, "PYTHONPATH": os.pathsep.join(["", *sys.path])},
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == 1
  assert "Timeout (0:00:00.5" in done.stderr
  assert "in start" in done.stderr


def test_a_lone_worker_agrees_with_itself():
  agreement = Agreement(tf.distribute.get_strategy())
  values = np.array([0.1, 2.0**60])
  assert np.array_equal(agreement.sum(values), values)
  assert agreement.chosen(2, lambda: [7, -1]) == [7, -1]
  agreement.wait()
