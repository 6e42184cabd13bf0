"""Makes one model of the groups of a run: the mean of their weights.

For runs whose groups all began at the same weights (--training.weights_seed):
groups that taught one another then lie close enough that their mean predicts as
well as any of them, and moves less from one training to the next. It serves at
the price of one. Score it like any snapshot (predict) before you export it.

  python -m pipelines.merge --workdir=RUN --output=RUN/merged
"""

from absl import flags

from ctr_codistill import merging
from ctr_codistill.codistill import exchange
from pipelines import command
from pipelines import demanded

_WORKDIR = flags.DEFINE_string(
  "workdir", None, "directory of a run that came to its end"
)
_OUTPUT = flags.DEFINE_string("output", None, "directory of the new snapshot")
flags.adopt_module_key_flags(demanded)
command.require("workdir", "output")
command.local("workdir", "output")


def main() -> int:
  """Writes the merged snapshot and prints where it is."""
  paths = exchange.newest(_WORKDIR.value)
  print(merging.merge(paths, _OUTPUT.value, demands=demanded.demands()))
  return 0


if __name__ == "__main__":
  command.run(main)
