"""How good predicted probabilities are: sums that merge, ratios as properties.

Log loss, AUC, normalized entropy and calibration are functions of a few sums,
so shards, streams and workers each keep their own `Quality` and add them up;
the result is that of one pass over everything, whatever the cut.
"""

import dataclasses
import math

import numpy as np

from ctr_codistill.errors import InputError

# Probabilities are clipped to [EPSILON, 1 - EPSILON] before a logarithm: wrong
# certainty costs 16.1, not infinity. It is the bound Keras uses.
EPSILON = 1e-7

# Bins of the score, for the AUC: 1/1024 of a logit each, over logits -16 to 16.
BINS = 1 << 15
_BINS_PER_LOGIT = 1024


def refuse(
  wrong: np.ndarray,
  values: np.ndarray,
  name: str,
  rule: str,
  *,
  where: str = "",
  row: int = 0,
) -> None:
  """Raises InputError for the first of `[rows]` values that is marked wrong.

  Args:
    wrong: `[rows]` bool.
    values: `[rows]`, of which one may be told.
    name: what the values are.
    rule: what they should be.
    where: what the message begins with.
    row: number of the first row.
  """
  if wrong.any():
    at = int(np.argmax(wrong))
    raise InputError(
      f"{where}row {row + at}: {name} should be {rule}, is {values[at]}"
    )


def logit(probability: np.ndarray) -> np.ndarray:
  """Returns ln(p / (1 - p)) of each p, clipped by `EPSILON`; any shape."""
  clipped = np.clip(probability, EPSILON, 1 - EPSILON)
  return np.log(clipped) - np.log1p(-clipped)


def places(logits: np.ndarray) -> np.ndarray:
  """Returns the bin of a `Quality` that each logit falls in: int64."""
  place = np.floor(logits * _BINS_PER_LOGIT) + BINS // 2
  return np.clip(place, 0, BINS - 1).astype(np.int64)


def log_losses(probability: np.ndarray, label: np.ndarray) -> np.ndarray:
  """Returns -ln of the probability given to what happened, in nats: `[rows]`.

  Args:
    probability: `[rows]`, of a click, in [0, 1]; clipped by `EPSILON`.
    label: `[rows]`, 1 for a click, else 0.
  """
  clipped = np.clip(probability, EPSILON, 1 - EPSILON)
  return np.where(label, -np.log(clipped), -np.log1p(-clipped))


def entropy(rate: float) -> float:
  """Returns the log loss, in nats, of always predicting the true `rate`."""
  if not 0 < rate < 1:
    return 0.0
  return -rate * math.log(rate) - (1 - rate) * math.log1p(-rate)


def auc(probability: np.ndarray, label: np.ndarray) -> float:
  """Returns the exact AUC of `[rows]` probabilities; it holds and sorts all.

  The share of pairs of a click and another example in which the click has the
  higher probability, equal ones counting one half; nan where all labels are
  equal.

  Raises:
    InputError: a probability outside [0, 1], a label that is not 0 or 1.
  """
  probability, label = _checked(probability, label)
  _, place = np.unique(probability, return_inverse=True)
  return of_scores(np.bincount(place, label), np.bincount(place, 1 - label))


def of_scores(positives: np.ndarray, negatives: np.ndarray) -> float:
  """Returns the AUC from counts at ascending scores, both `[scores]`."""
  below = np.cumsum(negatives) - negatives
  won = np.dot(positives, below + negatives / 2)
  return _ratio(won, positives.sum() * negatives.sum())


@dataclasses.dataclass(frozen=True, eq=False)
class Quality:
  """Sums over examples that say how good their predictions were.

  Attributes:
    probability: sum of the predicted probabilities.
    loss: sum of the log losses, in nats.
    positives: `[BINS]` float64, number of clicks by bin of the score.
    negatives: `[BINS]` float64, number of other examples by bin of the score.
  """

  probability: float
  loss: float
  positives: np.ndarray
  negatives: np.ndarray

  @classmethod
  def empty(cls) -> "Quality":
    """Returns the sums over no example; merging them changes nothing."""
    return cls(0.0, 0.0, np.zeros(BINS), np.zeros(BINS))

  @classmethod
  def of(cls, probability: np.ndarray, label: np.ndarray) -> "Quality":
    """Returns the sums over `[rows]` probabilities and 0/1 labels.

    Raises:
      InputError: a probability outside [0, 1], a label that is not 0 or 1, or
        different numbers of both.
    """
    probability, label = _checked(probability, label)
    place = places(logit(probability))
    counts = np.bincount(place + BINS * label, minlength=2 * BINS)
    return cls(
      probability=float(probability.sum()),
      loss=float(log_losses(probability, label).sum()),
      positives=counts[BINS:].astype(np.float64),
      negatives=counts[:BINS].astype(np.float64),
    )

  @classmethod
  def from_vector(cls, vector: np.ndarray) -> "Quality":
    """Returns the sums that `to_vector` laid out; vectors may be added before.

    Raises:
      ValueError: the shape is not `[2 + 2 * BINS]`.
    """
    if np.shape(vector) != (2 + 2 * BINS,):
      raise ValueError(
        f"vector should be of shape {(2 + 2 * BINS,)}, is {np.shape(vector)}"
      )
    vector = np.asarray(vector, np.float64)
    return cls(
      probability=float(vector[0]),
      loss=float(vector[1]),
      positives=vector[2 : 2 + BINS],
      negatives=vector[2 + BINS :],
    )

  def to_vector(self) -> np.ndarray:
    """Returns all sums as float64 `[2 + 2 * BINS]`, for a collective's sum."""
    head = np.array([self.probability, self.loss])
    return np.concatenate([head, self.positives, self.negatives])

  def merge(self, other: "Quality") -> "Quality":
    """Returns the sums over the examples of both."""
    return Quality.from_vector(self.to_vector() + other.to_vector())

  def __eq__(self, other: object) -> bool:
    if not isinstance(other, Quality):
      return NotImplemented
    return np.array_equal(self.to_vector(), other.to_vector())

  @property
  def clicks(self) -> int:
    """Number of examples whose label is 1."""
    return int(self.positives.sum())

  @property
  def examples(self) -> int:
    """Number of examples."""
    return self.clicks + int(self.negatives.sum())

  @property
  def base_rate(self) -> float:
    """Share of clicks, in [0, 1]; nan without examples."""
    return _ratio(self.clicks, self.examples)

  @property
  def log_loss(self) -> float:
    """Mean log loss in nats, lower is better; nan without examples."""
    return _ratio(self.loss, self.examples)

  @property
  def normalized_entropy(self) -> float:
    """Log loss / `entropy` of the base rate (He et al. 2014, section 3).

    Below 1: better than predicting the base rate for every example. nan where
    all labels are equal.
    """
    return _ratio(self.log_loss, entropy(self.base_rate))

  @property
  def calibration(self) -> float:
    """Clicks predicted / clicks that came; 1 is right, nan without a click.

    Above 1 the model predicts too many clicks (He et al. 2014, section 3).
    """
    return _ratio(self.probability, self.clicks)

  @property
  def auc(self) -> float:
    """AUC from the bins: scores of one bin count as ties; see `auc_error`.

    nan where all labels are equal.
    """
    return of_scores(self.positives, self.negatives)

  @property
  def auc_error(self) -> float:
    """How far `auc` can be from the exact AUC: half the share of tied pairs.

    It holds for any order inside the bins (for clicks in 4 about 1e-4); as the
    order there is no better than chance, the true distance is far smaller.
    """
    tied = np.dot(self.positives, self.negatives)
    return _ratio(tied / 2, self.positives.sum() * self.negatives.sum())

  def to_dict(self) -> dict[str, float]:
    """Returns the ratios and counts by name; nan where one is undefined."""
    return {
      "examples": self.examples,
      "log_loss": self.log_loss,
      "auc": self.auc,
      "auc_error": self.auc_error,
      "normalized_entropy": self.normalized_entropy,
      "calibration": self.calibration,
      "base_rate": self.base_rate,
    }


def _ratio(part: float, whole: float) -> float:
  return float(part / whole) if whole else math.nan


def _checked(
  probability: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Returns both as float64 and int64 `[rows]`, or raises InputError."""
  probability = np.asarray(probability, np.float64)
  label = np.asarray(label)
  if probability.ndim != 1 or probability.shape != label.shape:
    raise InputError(
      "probability and label should both be [rows], are "
      f"{probability.shape} and {label.shape}"
    )
  inside = (probability >= 0) & (probability <= 1)
  refuse(~inside, probability, "probability", "in [0, 1]")
  refuse((label != 0) & (label != 1), label, "label", "0 or 1")
  return probability, label.astype(np.int64)
