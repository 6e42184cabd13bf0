"""Facts about a real group of two workers, each a process of its own."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("two_workers.py")
SECONDS = 120
RULES = [
  *("adagrad", "sgd", "momentum", "adam", "ftrl", "clipped"),
  "regularized",
]


def _addresses(count):
  """Returns free addresses of this machine."""
  with contextlib.ExitStack() as held:
    ports = []
    for _ in range(count):
      probe = held.enter_context(socket.socket())
      probe.bind(("localhost", 0))
      ports.append(probe.getsockname()[1])
    return [f"localhost:{port}" for port in ports]


def _start(index, addresses, *arguments):
  task = {"type": "worker", "index": index}
  cluster = {"cluster": {"worker": addresses}, "task": task}
  return subprocess.Popen(
    [sys.executable, str(SCRIPT), *map(str, arguments)],
    env={
      **os.environ,
      "PYTHONPATH": os.pathsep.join(sys.path),
      "TF_CONFIG": json.dumps(cluster),
      "TF_CPP_MIN_LOG_LEVEL": "2",
      "PYTHONMALLOC": "malloc",  # or it would not be counted
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


@pytest.fixture(scope="module")
def found(prepared, tmp_path_factory):
  """What each of the two workers wrote."""
  folder = tmp_path_factory.mktemp("group")
  outputs = [folder / f"{index}.npz" for index in range(2)]
  addresses = _addresses(2)
  workers = [
    _start(index, addresses, prepared, folder / "checkpoints", output)
    for index, output in enumerate(outputs)
  ]
  try:
    for worker in workers:
      said, _ = worker.communicate(timeout=SECONDS)
      assert worker.returncode == 0, said
  finally:
    for worker in workers:
      worker.kill()
      worker.wait()
  return [dict(np.load(output)) for output in outputs]


def test_workers_agree_on_sums_and_on_what_the_chief_chose(found):
  for worker in found:
    # 1 + 1, 10^0 + 10^1, 0.1 + 0.1.
    assert worker["agreement/sum"].tolist() == [2.0, 11.0, 0.2]
    assert worker["agreement/chosen"].tolist() == [2**52 + 1, -1]


@pytest.mark.parametrize("name", RULES)
def test_both_workers_hold_the_same_bits(found, name):
  one, other = (worker[f"{name}/group"] for worker in found)
  assert np.array_equal(one, other)


@pytest.mark.parametrize("name", RULES)
def test_two_halves_of_a_batch_train_as_the_whole_does(found, name):
  # The ids of a batch repeat within its halves and across them.
  wanted = found[0][f"{name}/alone"]
  np.testing.assert_allclose(found[0][f"{name}/group"], wanted, atol=1e-6)
  assert np.ptp(wanted) > 0.1


@pytest.mark.parametrize("name", RULES)
def test_the_terms_of_the_halves_add_up(found, name):
  total = found[0][f"{name}/terms"] + found[1][f"{name}/terms"]
  np.testing.assert_allclose(total, found[0][f"{name}/alone/terms"], rtol=1e-5)


def test_a_snapshot_is_taken_when_all_have_read_it_and_by_all(found):
  # Read by the chief alone; by both; 20: torn at one of them, twice asked.
  for worker in found:
    assert worker["teacher/steps"].tolist() == [-1, 10, 10, 10]
    assert worker["teacher/left"].tolist() == [-1]


@pytest.mark.parametrize("name", RULES)
def test_two_messages_a_step_go_around_whatever_the_rule(found, name):
  # The ids of the table; then all gradients.
  for worker in found:
    assert worker[f"{name}/collectives"].tolist() == ["CollectiveReduceV2"] * 2


@pytest.mark.parametrize("name", ["adagrad", "momentum", "adam"])
def test_a_group_goes_on_from_its_checkpoint_with_the_same_bits(found, name):
  for worker in found:
    assert worker[f"{name}/resumed/step"] == 4
    assert np.array_equal(worker[f"{name}/resumed"], worker[f"{name}/group"])


def test_a_group_keeps_no_memory_and_no_thread_of_what_went_around(found):
  for worker in found:
    # It was 4,500 bytes and two sleeping threads a collective.
    assert (worker["kept/bytes"] < 300).all()
    assert worker["kept/threads"] < 20


def test_a_worker_whose_weights_are_others_stops_all(found):
  for worker in found:
    said, name = str(worker["alarm/said"]), str(worker["alarm/name"])
    assert said.startswith(
      f"variable {name} should be the same on all workers after step 5, is "
      "another on worker 1 than on worker 0"
    )
