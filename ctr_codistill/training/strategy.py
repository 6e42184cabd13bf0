"""The cluster of one group: MultiWorkerMirroredStrategy, and agreement.

Workers of a group must call every collective in the same order. So the chief
chooses, the others are told by a collective, and no worker acts on what it
alone has seen.
"""

import contextlib
import dataclasses
import faulthandler
import json
import logging
import socket
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ctr_codistill import tensors
from ctr_codistill.errors import InputError
from ctr_codistill.errors import PassingError
from ctr_codistill.training import collectives

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Cluster:
  """The workers of a group, each "host:port", and which of them this is."""

  workers: tuple[str, ...] = ("localhost:0",)
  index: int = 0

  def __post_init__(self) -> None:
    if not 0 <= self.index < len(self.workers):
      raise InputError(
        f"TF_CONFIG: task.index should be in [0, {len(self.workers)}), "
        f"is {self.index}"
      )

  @property
  def is_chief(self) -> bool:
    """Whether this worker writes for its group."""
    return self.index == 0


def from_tf_config(text: str | None) -> Cluster:
  """Returns the cluster that a TF_CONFIG describes; a lone worker without one.

  A "chief" counts as the first worker.

  Raises:
    InputError: no JSON, no task, or a task that is neither chief nor worker.
  """
  if not text:
    return Cluster()
  try:
    value = json.loads(text)
    cluster, task = value["cluster"], value["task"]
    kind, index = task["type"], int(task["index"])
    jobs = {name: _addresses(cluster, name) for name in ("chief", "worker")}
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise InputError(
      'TF_CONFIG should be {"cluster": {"worker": ["host:port", ...]}, "task": '
      f'{{"type": "worker", "index": 0}}}}, is {text!r} ({error!r})'
    ) from None
  if kind not in jobs:
    raise InputError(
      f"TF_CONFIG: task.type should be chief or worker, is {kind!r}"
    )
  before = len(jobs["chief"]) if kind == "worker" else 0
  # A cluster of the task's kind alone knows which indices there are.
  return Cluster(
    (*jobs["chief"], *jobs["worker"]), before + Cluster(jobs[kind], index).index
  )


def _addresses(cluster: Mapping[str, Any], job: str) -> tuple[str, ...]:
  found = cluster.get(job, [])
  if not isinstance(found, list) or not all(type(a) is str for a in found):
    raise TypeError(f"{job} should be a list of host:port, is {found!r}")
  return tuple(found)


def start(
  cluster: Cluster,
  *,
  start_timeout: float = 300.0,
  threads: int = 0,
  deterministic: bool = False,
) -> tf.distribute.MultiWorkerMirroredStrategy:
  """Joins the cluster; returns when all its workers have. First use of TF.

  Args:
    cluster: the group's workers.
    start_timeout: seconds until this process ends, with status 1 and the place
      where it waits, because a worker never came.
    threads: of this worker; 0 means all cores.
    deterministic: whether every operation gives the same bits each time.

  Raises:
    InputError: the worker's port is taken, or it sees more than one GPU.
  """
  if deterministic:
    tf.config.experimental.enable_op_determinism()
  if len(cluster.workers) > 1:
    _check_port(cluster.workers[cluster.index])
  tf.config.threading.set_intra_op_parallelism_threads(threads)
  tf.config.threading.set_inter_op_parallelism_threads(threads)
  collectives.use_again()
  # Without a deadline: TensorFlow would start a thread with every collective
  # that sleeps until then, at 120 s thousands of them. See `Watch`.
  options = tf.distribute.experimental.CommunicationOptions(
    implementation=tf.distribute.experimental.CommunicationImplementation.RING,
  )
  resolver = None
  if len(cluster.workers) > 1:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
      tf.train.ClusterSpec({"worker": list(cluster.workers)}),
      task_type="worker",
      task_id=cluster.index,
      rpc_layer="grpc",
    )
  _LOG.info(
    "waiting up to %g s (training.start_timeout) for workers %s",
    start_timeout,
    ", ".join(cluster.workers),
  )
  # TensorFlow waits for ever for a worker that never comes, holding Python's
  # lock; this watch is a thread of C and needs none.
  faulthandler.dump_traceback_later(start_timeout, exit=True)
  strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver, options)
  faulthandler.cancel_dump_traceback_later()
  if deterministic:
    _assert_deterministic()
  replicas = len(strategy.extended.worker_devices)
  if replicas != 1:
    raise InputError(
      f"a worker should see at most 1 GPU, sees {replicas}: start one worker a "
      "GPU, each with its own CUDA_VISIBLE_DEVICES"
    )
  return strategy


def _assert_deterministic() -> None:
  """Raises RuntimeError unless operations are deterministic.

  TensorFlow has no public question for it, but refuses then to draw numbers
  without a seed.
  """
  try:
    tf.random.uniform([])
  except RuntimeError:
    return
  raise RuntimeError("determinism of operations should be on, is off")


def _check_port(address: str) -> None:
  """Raises InputError if `address` cannot be bound; gRPC says it dimly."""
  host, _, port = address.rpartition(":")
  try:
    with contextlib.closing(socket.socket()) as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind(("", int(port)))
  except (OSError, ValueError, OverflowError) as error:
    kind = PassingError if isinstance(error, OSError) else InputError
    raise kind(
      f"the address {address} of this worker should be a free port of host "
      f"{host!r}: {error}"
    ) from None


class Agreement:
  """What the workers of a group know in common; each call is a collective."""

  def __init__(self, strategy: tf.distribute.Strategy):
    """`strategy` is the group's."""
    self._sum = tf.function(
      lambda value: strategy.run(_all_reduce, [value]), autograph=False
    )
    self.workers = strategy.num_replicas_in_sync
    self._alone = self.workers == 1
    self.worker = 0 if self._alone else strategy.cluster_resolver.task_id
    self._chief = self.worker == 0

  def sum(self, values: np.ndarray) -> np.ndarray:
    """Returns the sum over workers of float64 `[n]`; all must call it."""
    if self._alone:
      return values
    return self._sum(tensors.of(values, np.float64)).numpy()

  def chosen(
    self, count: int, choose: Callable[[], Sequence[int]]
  ) -> list[int]:
    """Returns on every worker what `choose()` gives the chief.

    Args:
      count: how many integers `choose` returns.
      choose: called by the chief alone; each |value| below 2^53.
    """
    values = choose() if self._chief else [0] * count
    return [int(v) for v in self.sum(np.array(values, np.float64))]

  def wait(self) -> None:
    """Returns when every worker has called it."""
    self.sum(np.zeros(1))


def _all_reduce(value: tf.Tensor) -> tf.Tensor:
  context = tf.distribute.get_replica_context()
  # The identity lies on the replica's device, which the reduction asks for.
  return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))
