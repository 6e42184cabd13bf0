"""A group's peers, ready to be asked: opinions of batches, and what they need.

Whether peers leave snapshots or predictions, there is an opinion of each batch
and there are actions between steps; a worker knows no more of them.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable

import tensorflow as tf

from ctr_codistill import config
from ctr_codistill import topology
from ctr_codistill.codistill import column
from ctr_codistill.codistill import exchange
from ctr_codistill.codistill import prediction_exchange
from ctr_codistill.codistill.column import Reduction
from ctr_codistill.codistill.listening import Listening
from ctr_codistill.codistill.prediction_exchange import PredictionExchange
from ctr_codistill.codistill.teacher import Teacher
from ctr_codistill.snapshots import Snapshot
from ctr_codistill.training import actions
from ctr_codistill.training import following
from ctr_codistill.training import peers
from ctr_codistill.training import workdir
from ctr_codistill.training.loop import Action
from ctr_codistill.training.opinions import FromPredictions
from ctr_codistill.training.opinions import FromSnapshots
from ctr_codistill.training.strategy import Agreement
from ctr_codistill.training.workdir import Claim
from ctr_codistill.training.workdir import Place
from ctr_codistill.trust.demands import Demands

_LOOKS = 10  # for newer snapshots, in the time between two agreements on them
_CLOCK_STEPS = 10  # between two questions to the chief's clock

Opinions = FromSnapshots | FromPredictions


@dataclasses.dataclass(frozen=True)
class Setting:
  """What both ways of learning need of the worker around them.

  `clock` gives seconds since 1970, `ticks` those of a clock that is never set.
  """

  claim: Claim
  place: Place
  features: Callable[[tf.Tensor], dict[str, tf.Tensor]]
  agreement: Agreement
  clock: Callable[[], float]
  ticks: Callable[[], float]
  sleep: Callable[[float], None]

  @property
  def is_reproducible(self) -> bool:
    """Whether the teacher's step is a function of the student's."""
    return self.claim.experiment.reproducible

  @property
  def codistill(self) -> config.Codistill:
    """How much the peers count."""
    return self.claim.experiment.codistill

  @property
  def exchange(self) -> config.Exchange:
    """What goes around."""
    return self.claim.experiment.exchange

  @property
  def folders(self) -> dict[int, pathlib.Path]:
    """Where the peers publish; none if they count 0."""
    if self.codistill.weight.is_zero:
      return {}
    groups = self.claim.share.groups
    found = topology.peers(self.exchange.topology, groups)[self.place.group]
    return {p: exchange.folder(self.place.workdir, p) for p in found}

  @property
  def listening(self) -> Listening:
    """Who is heard, from now on."""
    bound = self.exchange.max_staleness_steps
    return Listening(self.codistill, self.claim.span, bound=bound)

  @property
  def reduction(self) -> Reduction:
    """What those that are heard come to."""
    return column.reduction(
      self.codistill.loss,
      divergence_to=self.codistill.divergence_to,
      temperature=self.codistill.temperature,
    )


class BySnapshots:
  """Learns from the peers' snapshots, and from fixed ones."""

  def __init__(self, setting: Setting):
    """Loads the fixed ones.

    Raises:
      InputError: one of them is missing, torn, or made for other features.
    """
    self._setting, self._exchange = setting, setting.exchange
    fixed = setting.codistill.teachers
    if setting.codistill.weight.is_zero:
      fixed = ()
    self._teacher = Teacher(
      setting.folders,
      fixed=[_fixed(path, setting.claim) for path in fixed],
      reduction=setting.reduction,
      demands={p: peers.demands(setting.claim, p) for p in setting.folders},
      graphs={p: peers.graph(setting.claim, p) for p in setting.folders},
    )
    self._following = following.Following(
      self._teacher, setting.exchange, setting.claim.all_steps
    )
    self._refresh = actions.refresh_teacher(self._teacher, setting.agreement)
    if setting.is_reproducible:
      self._refresh = self._following.action(setting.ticks, setting.sleep)

  def begin(self, start: int) -> Opinions:
    """Takes what peers have published; returns the opinions from a step on."""
    setting, delay = self._setting, self._exchange.delay_steps
    if not setting.is_reproducible:
      self._teacher.look(at_most=start - delay if delay else math.inf)
      self._teacher.wait()
    if start < setting.claim.steps:
      self._refresh(start)
    return FromSnapshots(
      self._teacher,
      setting.features,
      setting.listening,
      taught_share=setting.codistill.taught_share,
      clock=setting.clock,
    )

  @property
  def bytes_read(self) -> int:
    """Bytes that this worker has read of its peers so far."""
    return self._teacher.bytes_read

  @property
  def bytes_left(self) -> int:
    """Bytes that it has left for its peers beside snapshots."""
    return 0

  def actions(self, publish: Callable[[int], None]) -> list[Action]:
    """Returns the actions of a group that publishes by `publish`."""
    every, seconds = self._exchange.every_steps, self._exchange.every_seconds
    calls = [publish, *([self._refresh] if self._teacher.peers else [])]
    if seconds:
      timed = actions.by_clock(
        calls,
        self._setting.agreement,
        seconds=seconds,
        clock=self._setting.ticks,
      )
      every = _CLOCK_STEPS
      found = [Action(timed, every, at_end=False), Action(publish, 0)]
    else:
      found = [Action(call, every, at_end=call is publish) for call in calls]
    if self._teacher.peers:
      often = max(self._exchange.every_steps // _LOOKS, 1)
      found.append(Action(self._look, often, at_end=False))
    return found

  def _look(self, step: int) -> None:
    """Starts to read what may be taken over at the next look's step."""
    delay, every = self._exchange.delay_steps, self._exchange.every_steps
    if self._setting.is_reproducible:
      self._following.look((step // every + 1) * every)
      return
    if not delay:
      self._teacher.look()
      return
    self._teacher.look(at_most=(step // every + 1) * every - delay)


class ByPredictions:
  """Learns from what the peers predicted, and leaves what it predicts."""

  def __init__(self, setting: Setting):
    """Has read nothing yet."""
    self._setting = setting
    self._predictions: PredictionExchange | None = None

  def begin(self, start: int) -> Opinions:
    """Returns the opinions from a step on."""
    setting, share = self._setting, self._setting.claim.share
    own = exchange.folder(setting.place.workdir, setting.place.group)
    batch_size = setting.claim.experiment.training.batch_size
    self._predictions = PredictionExchange(
      prediction_exchange.folder(own, share.worker),
      {
        peer: prediction_exchange.folder(root, share.worker)
        for peer, root in setting.folders.items()
      },
      setting.claim.shards,
      share,
      batch_rows=batch_size // share.workers,
      start_step=start,
      key=setting.claim.key,
    )
    return FromPredictions(
      self._predictions, setting.listening, setting.reduction
    )

  @property
  def bytes_read(self) -> int:
    """Bytes that this worker has read of its peers so far."""
    return self._predictions.bytes_taken

  @property
  def bytes_left(self) -> int:
    """Bytes that it has left for its peers beside snapshots."""
    return self._predictions.bytes_left

  def actions(self, publish: Callable[[int], None]) -> list[Action]:
    """Returns the actions: nobody asks a snapshot before the last."""
    return [Action(publish, 0)]


def build(setting: Setting) -> BySnapshots | ByPredictions:
  """Returns the way of learning that the experiment names."""
  by_predictions = setting.exchange.what == "predictions"
  if by_predictions and setting.claim.share.groups > 1:
    return ByPredictions(setting)
  return BySnapshots(setting)


def _fixed(path: str, claim: Claim) -> Snapshot:
  demands = Demands(claim.key, claim.experiment.exchange.allowed_ops)
  found = Snapshot(path, demands, ids_only=True)
  workdir.check_teacher(found.facts, path, claim.schema)
  return found
