"""What a model is, and how gradients move it: two sections of `config`."""

import dataclasses
import hashlib
import json
import re

from ctr_codistill import fields
from ctr_codistill.errors import InputError
from ctr_codistill.fields import Checked

NETWORKS = ("dnn", "dcn", "dlrm", "deepfm", "wide_deep")
"""The networks that have a name of their own."""
_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_RULES = ("adagrad", "adam", "ftrl", "sgd")


@dataclasses.dataclass(frozen=True)
class Model(Checked):
  """The network of each group."""

  name: str = fields.ruled(
    "dnn",
    "the network; docs/models.md has their equations",
    f"one of {', '.join(NETWORKS)} or your own package.module:function",
    lambda name: name in NETWORKS or bool(_FUNCTION.fullmatch(name)),
  )
  hidden: tuple[int, ...] = fields.ruled(
    [256, 128],
    "widths of the hidden layers; 2560,1024,256 is the one of Anil et al. 2018",
    "each at least 1",
    lambda widths: all(width >= 1 for width in widths),
  )
  activation: str = fields.choice(
    "relu", "of the hidden layers", "relu", "smelu", "swish"
  )
  smelu_width: float = fields.positive(
    1.0, "SmeLU bends within [-width, width] of its input"
  )
  embedding_dim: int = fields.number(16, "width of the embeddings", low=1)
  embedding_scale: float = fields.positive(
    0.01, "embeddings start uniform in [-scale, scale]"
  )
  numeric: str = fields.choice(
    "both",
    "how integers enter: log(1 + x), ln(x)^2 bins with embeddings, or both",
    "log",
    "bins",
    "both",
  )
  cross_layers: int = fields.number(2, "layers of crosses in dcn", low=1)
  bottom: tuple[int, ...] = fields.ruled(
    [64],
    "dlrm: widths of the layers between integers and their vector",
    "each at least 1",
    lambda widths: all(width >= 1 for width in widths),
  )
  precision: str = fields.choice(
    "float32",
    "of activations and products; weights, tables and logits are float32",
    "float32",
    "bfloat16",
  )

  @property
  def fingerprint(self) -> str:
    """A hash of all fields: equal for models of one architecture."""
    text = json.dumps(dataclasses.asdict(self), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class Optimizer(Checked):
  """How gradients move the weights; docs/optimizers.md has the equations."""

  name: str = fields.choice("adagrad", "the rule of the layers", *_RULES)
  embedding_name: str = fields.ruled(
    "",
    "the rule of the embeddings; empty: that of the layers. Adam and momentum"
    " are lazy there: a row that no example has keeps its value",
    "empty or one of " + ", ".join(_RULES),
    lambda name: name in ("", *_RULES),
  )
  learning_rate: float = fields.positive(
    0.005, "highest step size of the layers; about 0.001 with adam"
  )
  embedding_learning_rate: float = fields.positive(
    0.1, "highest step size of the embeddings; about 0.001 with adam"
  )
  decay: str = fields.choice(
    "constant",
    "course of the learning rates: to 0 at the last step (linear, cosine), down"
    " at given steps (step), or neither",
    "constant",
    "linear",
    "cosine",
    "step",
  )
  warmup_steps: int = fields.number(
    0, "steps in which the learning rates rise from 0 to the highest", low=0
  )
  decay_boundaries: tuple[int, ...] = fields.ruled(
    [],
    "steps after which decay step lowers the learning rates",
    "each above the one before it, the first above 0",
    lambda steps: all(a < b for a, b in zip((0, *steps), steps)),
  )
  decay_factor: float = fields.number(
    0.1,
    "what decay step multiplies the learning rates with at each boundary; 0.1:"
    " a tenth of them is left each time",
    low=0,
    high=1,
  )
  clip_norm: float = fields.number(
    0.0,
    "largest norm of all gradients together, larger ones are scaled to it;"
    " 0: any",
    low=0,
  )
  initial_accumulator: float = fields.number(
    1e-6,
    "adagrad, ftrl: first value of the sum of squares; large ones (0.1) hardly"
    " move embeddings, whose gradients are small",
    low=1e-30,
  )
  momentum: float = fields.number(
    0.0, "sgd: share of the last step that the next repeats", low=0, high=0.9999
  )
  beta1: float = fields.number(
    0.9, "adam: weight of the past in the mean gradient", low=0, high=0.9999
  )
  beta2: float = fields.number(
    0.999, "adam: weight of the past in the mean square", low=0, high=0.999999
  )
  epsilon: float = fields.positive(
    1e-7,
    "adam: added to the root of the mean square; small gradients need less",
  )
  l1: float = fields.number(
    0.0, "ftrl: weight of |w| in the loss; makes weights exactly 0", low=0
  )
  l2: float = fields.number(0.0, "ftrl: weight of w^2 in the loss", low=0)
  learning_rate_power: float = fields.number(
    -0.5,
    "ftrl: the step size falls with the sum of squares to this power; 0: it"
    " does not",
    low=-1,
    high=0,
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if bool(self.decay_boundaries) != (self.decay == "step"):
      raise InputError(
        "optimizer.decay_boundaries should be given with decay step, and with "
        f"it alone, is {self.decay_boundaries} with {self.decay}"
      )
