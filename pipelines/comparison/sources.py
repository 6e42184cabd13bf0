"""Sources of churn: what makes two trainings of one model differ.

A source changes one thing of a training and holds all others. What it adds is
the churn between a training and the same with this change, so that it needs
trainings that repeat to the bit: without, each figure would have a part of all.
"""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Sequence

from ctr_codistill import config
from ctr_codistill.errors import InputError

SINGLE, PAIR = "single", "pair"
"""What is served: a model trained alone, or one of a codistilled pair."""
NOTHING, ALL = "nothing", "all"
VARIED = (
  "groups",
  "workers",
  "reproducible",
  "per_group",
  "training.threads",
  "training.weights_seed",
  "exchange.delay_steps",
)
"""The fields of an experiment that are ours to set."""

_DELAY_PERIODS = 2  # of a teacher of the other timing; one is the usual


@dataclasses.dataclass(frozen=True)
class Setting:
  """All that the bits of a training depend on, but data and software.

  Attributes:
    experiment: its flags.
    onednn: whether the workers' TensorFlow uses oneDNN.
    is_shortened: whether it goes without the last training rows.
  """

  experiment: config.Experiment
  onednn: bool = True
  is_shortened: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
  """One source of churn of one kind of served model.

  Attributes:
    name: in reports.
    of: `SINGLE` or `PAIR`.
    change: returns the changed setting of a base one.
    varied: what differs between the two trainings, and what comes with it.
  """

  name: str
  of: str
  change: Callable[[Setting], Setting]
  varied: str

  @property
  def label(self) -> str:
    """What tells it from all others."""
    return self.name if self.of == SINGLE else f"{self.name} ({self.of})"

  def run_name(self, repeat: int) -> str:
    """Returns the name of its training of a repeat, fit for a file."""
    return f"{self.of}-{self.name.replace(' ', '-')}-{repeat}"


def chosen(labels: Sequence[str]) -> tuple[Source, ...]:
  """Returns the sources of these labels, and nothing, the control of each.

  Args:
    labels: of sources; none means all.

  Raises:
    InputError: there is no source of a label.
  """
  known = {source.label: source for source in SOURCES}
  for label in labels:
    if label not in known:
      raise InputError(
        f"a source should be one of {', '.join(known)}, is {label!r}"
      )
  kinds = {known[label].of for label in labels}
  return tuple(
    source
    for label, source in known.items()
    if not labels
    or label in labels
    or (source.name == NOTHING and source.of in kinds)
  )


def base_name(of: str, repeat: int) -> str:
  """Returns the name of the training that sources are measured against."""
  return f"{of}-base-{repeat}"


def base(experiment: config.Experiment, of: str, repeat: int) -> Setting:
  """Returns what a repeat's trainings have, but for the change of a source.

  No two repeats have a seed in common, those of changed ones included, so that
  repeats are independent.

  Raises:
    InputError: the experiment cannot be that of a single model, or of a pair.
  """
  training, exchange = experiment.training, experiment.exchange
  seed = training.seed + 2 * repeat
  return Setting(
    dataclasses.replace(
      experiment,
      groups=2 if of == PAIR else 1,
      workers=1,
      reproducible=True,
      training=dataclasses.replace(
        training,
        threads=1,
        seed=seed,
        # The groups of a pair begin at weights of their own, from the seed.
        weights_seed=-1 if of == PAIR else seed,
      ),
      exchange=dataclasses.replace(
        exchange,
        delay_steps=0,
        # All that the longest delay needs, in all trainings alike.
        keep=max(exchange.keep, _DELAY_PERIODS + 2),
      ),
    )
  )


def _nothing(setting: Setting) -> Setting:
  return setting


def _threads(setting: Setting) -> Setting:
  return _with(setting, "training", threads=2)


def _onednn(setting: Setting) -> Setting:
  return dataclasses.replace(setting, onednn=False)


def _workers(setting: Setting) -> Setting:
  experiment = dataclasses.replace(setting.experiment, workers=2)
  return dataclasses.replace(setting, experiment=experiment)


def _weights(setting: Setting) -> Setting:
  seed = setting.experiment.training.weights_seed
  return _with(setting, "training", weights_seed=seed + 1)


def _order(setting: Setting) -> Setting:
  seed = setting.experiment.training.seed
  return _with(setting, "training", seed=seed + 1)


def _refresh(setting: Setting) -> Setting:
  return dataclasses.replace(setting, is_shortened=True)


def _timing(setting: Setting) -> Setting:
  steps = _DELAY_PERIODS * setting.experiment.exchange.every_steps
  return _with(setting, "exchange", delay_steps=steps)


def _together(*changes: Callable[[Setting], Setting]) -> Callable:
  return lambda setting: functools.reduce(lambda s, f: f(s), changes, setting)


def _with(setting: Setting, section: str, **values: int) -> Setting:
  """Returns a setting with other values in a section of its experiment."""
  own = dataclasses.replace(getattr(setting.experiment, section), **values)
  experiment = dataclasses.replace(setting.experiment, **{section: own})
  return dataclasses.replace(setting, experiment=experiment)


SOURCES = (
  Source(
    NOTHING,
    SINGLE,
    _nothing,
    "Nothing: the same training twice. Must be 0, or no other figure means"
    " anything.",
  ),
  Source(
    "threads",
    SINGLE,
    _threads,
    "2 threads of a worker instead of 1. Rows, their order, first weights"
    " held.",
  ),
  Source(
    "oneDNN",
    SINGLE,
    _onednn,
    "TF_ENABLE_ONEDNN_OPTS=0 instead of 1, which stands for another kind of"
    " processor. All else held.",
  ),
  Source(
    "workers",
    SINGLE,
    _workers,
    "2 workers that share each batch instead of 1. First weights held, and"
    " which rows there are; each worker shuffles its own half, so"
    " batches hold other rows: the order of data comes with it.",
  ),
  Source(
    "initial weights",
    SINGLE,
    _weights,
    "Another seed of the first weights (training.weights_seed). Rows and their"
    " order held.",
  ),
  Source(
    "order of data",
    SINGLE,
    _order,
    "Another seed of the order of rows, and of what dropout drops"
    " (training.seed). Rows and first weights held.",
  ),
  Source(
    "data refresh",
    SINGLE,
    _refresh,
    "The last {refresh:.4g} of the training rows are missing from one of the"
    " two. Seeds and first weights held; other rows are shuffled otherwise, so"
    " the order of data comes with it.",
  ),
  Source(
    ALL,
    SINGLE,
    _together(_threads, _onednn, _workers, _weights, _order, _refresh),
    "All of the above at once: what an ordinary retrain of a single model"
    " differs in.",
  ),
  Source(
    NOTHING,
    PAIR,
    _nothing,
    "Nothing: the same codistilled pair twice. Must be 0.",
  ),
  Source(
    "teacher timing",
    PAIR,
    _timing,
    "Teachers of a codistilled pair are two exchanges old instead of one, at"
    " each step (exchange.delay_steps). Rows, their order, first weights held.",
  ),
  Source(
    ALL,
    PAIR,
    _together(_threads, _onednn, _workers, _order, _refresh, _timing),
    "All of the above at once for a codistilled pair; the seed gives its groups"
    " their first weights too.",
  ),
)
"""What is measured, in the order of the report."""
