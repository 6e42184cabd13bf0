"""What runs the passes of a preparation: this process, or something else.

Whatever it is, it leaves the same bytes; so it is an argument, and nothing of
it stands in what is prepared.
"""

from typing import Protocol

from ctr_codistill.criteo.preparing import count_pass
from ctr_codistill.criteo.preparing import encode_pass
from ctr_codistill.criteo.preparing.job import Job
from ctr_codistill.criteo.preparing.job import Progress
from ctr_codistill.criteo.preparing.ledger import Ledger
from ctr_codistill.criteo.raw import lines
from ctr_codistill.criteo.schema import Schema


class Engine(Protocol):
  """The three passes, called one after the other, again if a job goes on."""

  name: str
  """Only the same engine goes on with what one left."""

  def lines(self, job: Job, progress: Progress) -> int:
    """Returns the lines of the input; those of `job` are not known yet."""
    ...

  def count(self, job: Job, ledger: Ledger, progress: Progress) -> Schema:
    """As `count_pass.run`."""
    ...

  def encode(
    self, job: Job, ledger: Ledger, schema: Schema, progress: Progress
  ) -> dict[str, int]:
    """As `encode_pass.run`."""
    ...


class Local:
  """This process and its threads."""

  name = "local"

  def lines(self, job: Job, progress: Progress) -> int:
    """Counts all lines."""
    done = progress("lines", None)
    return lines.count(job.paths, done, header=job.layout.header)

  def count(self, job: Job, ledger: Ledger, progress: Progress) -> Schema:
    """Counts in bounded memory, and goes on at a block."""
    return count_pass.run(job, ledger, progress)

  def encode(
    self, job: Job, ledger: Ledger, schema: Schema, progress: Progress
  ) -> dict[str, int]:
    """Writes shard after shard, and goes on at one."""
    return encode_pass.run(job, ledger, schema, progress)
