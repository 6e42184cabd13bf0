"""What is learned from peers, how it goes around, what else regularises.

Three sections of `config`; docs/codistillation.md has the formulas.
"""

import dataclasses
import math

from ctr_codistill import fields
from ctr_codistill import graph_ops
from ctr_codistill import topology
from ctr_codistill.course import Course
from ctr_codistill.errors import InputError
from ctr_codistill.fields import Checked

_BURN_IN = 200  # steps


@dataclasses.dataclass(frozen=True)
class Codistill(Checked):
  """How much the peers' predictions count, and in what sense."""

  loss: str = fields.choice(
    "cross_entropy",
    "between peers and student: cross entropy (Anil et al. 2018), KL(peers ||"
    " student), or squared error between logits (Sodhani et al. 2021)",
    "cross_entropy",
    "kl",
    "squared_logits",
  )
  divergence_to: str = fields.choice(
    "mean",
    "the loss is one to the mean prediction of the peers, or the mean of the"
    " losses to each",
    "mean",
    "each",
  )
  temperature: float = fields.positive(
    1.0,
    "what logits are divided by in the loss, which is multiplied by its square",
  )
  weight: Course = fields.course(
    1.0, "weight of the teacher term after the burn-in", low=0
  )
  burn_in_steps: int = fields.number(
    _BURN_IN, "steps before the teacher counts", low=0
  )
  burn_in_share: float = fields.number(
    0.0,
    "burn-in as a share of all steps; above 0 it replaces burn_in_steps",
    low=0,
    high=1,
  )
  growth: float = fields.positive(
    1.0, "what the weight is multiplied with after each epoch"
  )
  staleness_half_life: float = fields.number(
    0.0,
    "steps of staleness at which a peer counts half; 0: it always counts whole",
    low=0,
  )
  taught_share: float = fields.ruled(
    0.25,
    "share of each batch that the teacher is asked about, to save its time; it"
    " counts there as much more",
    "above 0, at most 1",
    lambda share: 0 < share <= 1,
  )
  teachers: tuple[str, ...] = fields.ruled(
    [],
    "directory of a snapshot that teaches beside the peers and never changes;"
    " several are an ensemble",
    "each a path",
    all,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    # One may come from a preset and the other from a flag, which would not
    # count.
    if self.burn_in_share and self.burn_in_steps != _BURN_IN:
      raise InputError(
        "codistill.burn_in_steps should be left out unless burn_in_share is 0, "
        f"is {self.burn_in_steps} with {self.burn_in_share:g}"
      )


@dataclasses.dataclass(frozen=True)
class Exchange(Checked):
  """What goes around between whom, how often, and how much stays."""

  what: str = fields.choice(
    "snapshots",
    "what groups leave for one another: copies of the model, which a peer asks;"
    " or the predictions of what they train on, which cost a peer nothing, at"
    " examples that it comes to later",
    "snapshots",
    "predictions",
  )
  topology: str = fields.ruled(
    "all",
    "who learns from whom: all from all, each from the one before it (ring), or"
    " as said, such as '0<1,2 1<2'; scripts take a TOML file's path as well",
    "all, ring or GROUP<PEER,PEER for each group that learns",
    topology.is_one,
  )
  every_steps: int = fields.number(
    50,
    "steps between publications, and between looks for newer teachers",
    low=1,
  )
  every_seconds: float = fields.number(
    0.0,
    "seconds between publications, about; 0: every_steps counts",
    low=0,
  )
  max_staleness_steps: int = fields.number(
    0, "steps of staleness beyond which a peer is not heard; 0: any", low=0
  )
  delay_steps: int = fields.number(
    0,
    "steps that a peer's snapshot must be behind at least, for experiments;"
    " 0: the newest is taken",
    low=0,
  )
  keep: int = fields.number(3, "newest snapshots of a group that stay", low=2)
  wait_timeout: float = fields.positive(
    600.0,
    "seconds, in a reproducible run, until a peer's snapshot that never comes"
    " ends the group",
  )
  key_file: str = fields.ruled(
    "",
    "file of 32 bytes or more, readable by its owner: what is left for others"
    " is signed with them, and nothing else is taken; empty: sums alone",
    "a path of this machine, or empty",
    lambda path: "://" not in path,
  )
  allowed_ops: tuple[str, ...] = fields.ruled(
    [],
    "ops that a snapshot's graph may have beside those that are known to"
    " compute only, by the names that a refusal says, such as Conv3D; for"
    " fixed teachers, and peers whose code is not here",
    "each the name of an op that reaches no file, socket, process or Python",
    lambda ops: all(map(graph_ops.may_be_added, ops)),
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if not self.delay_steps:
      return
    if self.every_seconds:
      raise InputError(
        "exchange.delay_steps should be 0 with exchange.every_seconds, is "
        f"{self.delay_steps}"
      )
    # One more than there are on the way: a peer may be a publication ahead.
    least = math.ceil(self.delay_steps / self.every_steps) + 2
    if self.keep < least:
      raise InputError(
        f"exchange.keep should be at least {least} for a delay of "
        f"{self.delay_steps} steps, published every {self.every_steps}, is "
        f"{self.keep}"
      )

  def due(self, step: int) -> int:
    """Returns the step of the teacher after `step` steps, below 1 for none.

    That of a reproducible run, where it is a function of the student's step: a
    period behind, so that groups of one speed hardly wait for one another.
    """
    periods = max(math.ceil(self.delay_steps / self.every_steps), 1)
    return (step // self.every_steps - periods) * self.every_steps


@dataclasses.dataclass(frozen=True)
class Regularization(Checked):
  """What regularises beside the peers; all may yield to them as time goes.

  Codistillation regularises by itself (Sodhani et al. 2021), so that what is
  right without it is too much with it.
  """

  weight_decay: Course = fields.course(
    0.0,
    "share of each layer's kernel that a step takes away, times the learning"
    " rate",
    low=0,
  )
  embedding_l2: Course = fields.course(
    0.0,
    "weight of half the squares of the embeddings that a batch touches",
    low=0,
  )
  dropout: Course = fields.course(
    0.0, "share of hidden units dropped in training", low=0, high=0.99
  )
  label_smoothing: Course = fields.course(
    0.0, "share of the label that is replaced", low=0, high=1
  )
  label_smoothing_to: str = fields.choice(
    "half",
    "what takes the share of the label that label_smoothing says: half is 1/2"
    " (uniform), base_rate the share of clicks in the training rows (unigram);"
    " a click smoothed by 0.1 towards half is learned as 0.95",
    "half",
    "base_rate",
  )
