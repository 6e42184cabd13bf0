"""Whole workers of tiny groups, in a process of their own."""

import json
import os
import subprocess
import sys

import pytest

# TensorFlow's threads can be set before its first use alone.
SCRIPT = """
import hashlib, json, pathlib, sys, time
from ctr_codistill import config
from ctr_codistill.training.outside import Outside
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.workdir import Place
from ctr_codistill.training.worker import Worker

prepared, runs = map(pathlib.Path, sys.argv[1:])
found = []
for number, (group, training) in enumerate(json.load(sys.stdin)):
  experiment = config.from_dict({
    "model": {"hidden": [4], "embedding_dim": 2},
    "training": {"batch_size": 16, **training},
  })
  place = Place(prepared, runs / str(number), group=group, cluster=Cluster())
  outside = Outside(time.time, time.monotonic, time.sleep)
  model = Worker(experiment, place, outside)._parts.trainer.model
  weights = b"".join(w.numpy().tobytes() for w in model.weights)
  found.append(hashlib.sha256(weights).hexdigest())
print(json.dumps(found))
"""
CASES = {
  "fixed": (0, {"weights_seed": 3}),
  "fixed, other group": (1, {"weights_seed": 3}),
  "fixed, other repeat": (0, {"weights_seed": 3, "seed": 5}),
  "fixed otherwise": (0, {"weights_seed": 4}),
  "own": (0, {}),
  "own, other group": (1, {}),
  "own, other repeat": (0, {"seed": 5}),
}


@pytest.fixture(scope="module")
def weights(prepared, tmp_path_factory):
  """The sum of the first weights in each case."""
  runs = tmp_path_factory.mktemp("runs")
  done = subprocess.run(
    [sys.executable, "-c", SCRIPT, str(prepared), str(runs)],
    input=json.dumps(list(CASES.values())),
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    timeout=200,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  return dict(zip(CASES, json.loads(done.stdout.splitlines()[-1])))


def test_groups_and_repeats_begin_with_the_same_weights_if_wanted(weights):
  assert weights["fixed"] == weights["fixed, other group"]
  assert weights["fixed"] == weights["fixed, other repeat"]
  assert weights["fixed"] != weights["fixed otherwise"]


def test_else_each_has_its_own(weights):
  own = [weights[n] for n in ("own", "own, other group", "own, other repeat")]
  assert len({weights["fixed"], *own}) == 4
