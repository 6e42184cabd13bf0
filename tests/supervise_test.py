"""A group on two hosts, each with a supervisor, and what befalls them.

They are two processes here, with addresses that stay, as in a cluster.
"""

import contextlib
import json
import os
import signal
import socket

import launching
import pytest

from ctr_codistill import stamped
from pipelines.supervising import ports

FLAGS = (
  *launching.TINY,
  "--groups=1",
  "--workers=2",
  "--training.epochs=100",
  "--training.max_steps=400",
  "--training.checkpoint_every=25",
  "--training.evaluate_every=0",
  "--exchange.every_steps=500",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return launching.data(tmp_path_factory.mktemp("data"))


def _start(data, workdir, addresses, index):
  task = {"type": "worker", "index": index}
  tf_config = {"cluster": {"worker": addresses}, "task": task}
  return launching.start(
    "supervise",
    f"--data={data}",
    f"--workdir={workdir}",
    *FLAGS,
    env={"TF_CONFIG": json.dumps(tf_config)},
  )


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
  """A run whose one worker finds its port taken, and whose other one dies."""
  workdir = tmp_path_factory.mktemp("runs") / "run"
  addresses = list(ports.free(2))
  port = int(addresses[1].partition(":")[2])
  with contextlib.closing(socket.create_server(("", port))):
    hosts = [_start(data, workdir, addresses, index) for index in (0, 1)]
    launching.wait_for(
      lambda: launching.happened(workdir, "failed", worker=1), hosts[1]
    )
  checkpoints = workdir / "group-0" / "checkpoints"
  launching.wait_for(lambda: stamped.numbers(checkpoints), hosts[0])
  os.kill(launching.workers(workdir)[0][1], signal.SIGKILL)
  said = [launching.ended(host) for host in hosts]
  return workdir, said


def test_a_port_that_is_taken_is_tried_again(run):
  first = launching.happened(run[0], "failed", worker=1)[0]
  assert "should be a free port" in first["cause"]


def test_both_hosts_start_again_when_one_s_worker_dies(run):
  killed = launching.happened(run[0], "failed", worker=0)
  assert any("was ended by SIGKILL" in event["cause"] for event in killed) or (
    any("SIGKILL" in e["cause"] for e in launching.happened(run[0], "failed"))
  )
  for said in run[1]:
    assert "group 0: recovered" in said


def test_it_comes_to_its_end(run):
  assert stamped.numbers(run[0] / "exchange" / "group-0")[-1] == 400
  assert len(launching.happened(run[0], "done")) == 2
