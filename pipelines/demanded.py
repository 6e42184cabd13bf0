"""What a snapshot must show to be used by a script: two flags."""

from typing import Any

from absl import flags

from ctr_codistill import graph_ops
from ctr_codistill import keys
from ctr_codistill.trust.demands import Demands

_KEY_FILE = flags.DEFINE_string(
  "key_file",
  "",
  "file with the key that must have signed the snapshot, as "
  "--exchange.key_file; empty: its sums alone must hold",
)
_ALLOWED_OPS = flags.DEFINE_list(
  "allowed_ops",
  [],
  "ops that its graph may have beside those that are known to compute only, by "
  "the names that a refusal says, such as Conv3D,Betainc; as "
  "--exchange.allowed_ops",
)
flags.register_validator(
  "allowed_ops",
  lambda ops: all(map(graph_ops.may_be_added, ops)),
  "should be names of ops that reach no file, socket, process or Python",
)


def demands() -> Demands:
  """Returns what the flags say.

  Raises:
    InputError: the key cannot be used.
  """
  return Demands(keys.read(_KEY_FILE.value), tuple(_ALLOWED_OPS.value))


def asked() -> dict[str, Any]:
  """Returns the flags by name, for what reads the key elsewhere."""
  return {
    "key_file": _KEY_FILE.value,
    "allowed_ops": tuple(_ALLOWED_OPS.value),
  }
