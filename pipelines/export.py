"""Exports a snapshot as a numbered version that TF Serving loads.

A server that polls OUTPUT finds the version complete or not at all, and takes
the highest number.

  python -m pipelines.export --snapshot=RUN/exchange/group-0/460 --output=clicks
"""

from absl import flags

from ctr_codistill import serving
from pipelines import command
from pipelines import demanded

_SNAPSHOT = flags.DEFINE_string("snapshot", None, "directory of a snapshot")
_OUTPUT = flags.DEFINE_string(
  "output", None, "directory of the served model; its versions lie in it"
)
_VERSION = flags.DEFINE_integer(
  "version",
  None,
  "number of the version; default: one above the highest",
  lower_bound=1,
)
flags.adopt_module_key_flags(demanded)
command.require("snapshot", "output")
command.local("snapshot", "output")


def main() -> int:
  """Writes the version and prints where it is."""
  path = serving.export(
    _SNAPSHOT.value,
    _OUTPUT.value,
    version=_VERSION.value,
    demands=demanded.demands(),
  )
  print(path)
  return 0


if __name__ == "__main__":
  command.run(main)
