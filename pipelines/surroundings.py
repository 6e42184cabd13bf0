"""The software and the machine that a worker finds itself on."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
from typing import Any

import ctr_codistill

_PACKAGES = (
  "tensorflow",
  "tf-keras",
  "tensorflow-recommenders",
  "numpy",
  "xxhash",
)
_CPU_INFO = "/proc/cpuinfo"


def read() -> dict[str, Any]:
  """Returns what bits may depend on beside flags and data; JSON values."""
  return {
    "software": {
      "python": platform.python_version(),
      "ctr_codistill": _code(),
      **{name: _version(name) for name in _PACKAGES},
    },
    "processor": _processor(),
    # Unset is TensorFlow's own choice, which goes by the processor.
    "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "unset"),
  }


def _version(package: str) -> str:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return "none"


def _code() -> str:
  """Returns a hash of the library's source: its version tells too little."""
  root, digest = pathlib.Path(ctr_codistill.__file__).parent, hashlib.sha256()
  for path in sorted(root.rglob("*.py")):
    digest.update(str(path.relative_to(root)).encode() + b"\0")
    digest.update(path.read_bytes())
  return digest.hexdigest()[:16]


def _processor() -> str:
  """Returns the model of the processor, as the system names it."""
  try:
    lines = pathlib.Path(_CPU_INFO).read_text(encoding="utf-8").splitlines()
  except OSError:
    lines = []
  found = [line for line in lines if line.startswith("model name")]
  if not found:
    return platform.processor() or platform.machine()
  return found[0].partition(":")[2].strip()
