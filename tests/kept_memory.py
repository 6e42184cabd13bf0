"""Prints, as JSON, the bytes that a worker keeps of each thing it does.

A program of its own: TensorFlow's threads are set before its first use alone,
and the memory of Python's objects is counted if PYTHONMALLOC is malloc.

  PYTHONMALLOC=malloc python tests/kept_memory.py PREPARED RUN
"""

import itertools
import json
import pathlib
import sys
import time

import memory

from ctr_codistill import config
from ctr_codistill.training.outside import Outside
from ctr_codistill.training.strategy import Cluster
from ctr_codistill.training.workdir import Place
from ctr_codistill.training.worker import Worker

_EXPERIMENT = {
  "groups": 2,
  "model": {"hidden": [4], "embedding_dim": 2},
  "regularization": {"dropout": "0.1"},
  "training": {"batch_size": 16, "epochs": 1000.0, "average_every": 1},
  "exchange": {"every_steps": 10},
  "codistill": {"burn_in_steps": 0},
}


def _worker(prepared, run, group):
  experiment = config.from_dict(_EXPERIMENT)
  place = Place(prepared, run, group=group, cluster=Cluster())
  return Worker(experiment, place, Outside(time.time, time.monotonic, None))


def main(prepared, run):
  """Meters a worker whose one peer publishes when it is told to."""
  peer, worker = (_worker(prepared, run, group) for group in (1, 0))
  peer_publishes = peer._new_publication()
  steps = itertools.count(1)

  def publish():
    peer_publishes(next(steps))
    peer_publishes.wait()

  publish()
  worker._begin()
  worker._opinions = worker._parts.teaching.begin(0)
  rows, teacher = next(worker._rows(0)), worker._parts.teaching._teacher

  def step():
    number = next(steps)
    worker._step(number, rows)
    worker._parts.served.update(number)
    worker._parts.journal.write(number)

  def take_over():
    publish()
    teacher.look()
    teacher.wait()
    worker._parts.teaching._refresh(0)

  evaluation = worker._evaluation()
  calls = {
    "step": step,
    "take over": take_over,
    "checkpoint": lambda: worker._save(next(steps)),
    "validation": lambda: evaluation(next(steps)),
  }
  found = {n: memory.kept(c) for n, c in calls.items()}
  newest = teacher.snapshots[1].step
  print(json.dumps({"kept": found, "newest": newest}))


if __name__ == "__main__":
  main(*map(pathlib.Path, sys.argv[1:]))
