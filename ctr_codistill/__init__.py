"""Codistillation of click models, and an evaluator of their churn.

Groups of workers each train a copy of a model and pull one another towards the
predictions of slightly stale copies (Anil et al. 2018, arXiv 1804.03235). Names
are loaded when they are first used, so that a tool that needs no TensorFlow
does not wait for it.
"""

import importlib
import os
from typing import Any

# TFRS raises at its import under Keras 3, and MultiWorkerMirroredStrategy does
# not work with it (keras #20585); TensorFlow reads this at its first import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

_HOMES = {
  "Churn": "evaluation.churn",
  "Course": "course",
  "Experiment": "config",
  "InputError": "errors",
  "Lookup": "criteo.lookup",
  "Outside": "training.outside",
  "Place": "training.workdir",
  "Predictor": "evaluation.predict",
  "Quality": "evaluation.metrics",
  "Schema": "criteo.schema",
  "Servable": "serving",
  "Share": "criteo.dataset",
  "Snapshot": "snapshots",
  "Teacher": "codistill.teacher",
  "Trainer": "training.trainer",
  "Worker": "training.worker",
  "batches": "criteo.dataset",
  "compare": "evaluation.comparison",
  "compare_columns": "evaluation.churn.columns",
  "divergence": "codistill.loss",
  "export": "exporting.exports",
  "open_shards": "criteo.records",
  "prepare": "criteo.preparing.preparation",
  "terms": "codistill.loss",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
  if name not in _HOMES:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
  return sorted([*globals(), *_HOMES])
