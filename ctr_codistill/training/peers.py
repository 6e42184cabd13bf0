"""What a group knows of its peers before it has read anything of them.

The run says which network each of them trains, and the code of all is here. So
a peer's snapshot is read for its weights alone: they go into a graph that is
made here, and whatever graph lies beside them is never loaded. Only where a
peer's own function cannot be found on this machine its graph is, once its
operations were checked.
"""

import logging

from ctr_codistill.errors import InputError
from ctr_codistill.models import networks
from ctr_codistill.serving import Servable
from ctr_codistill.snapshots import Graph
from ctr_codistill.training import publishing
from ctr_codistill.training.workdir import Claim
from ctr_codistill.trust.demands import Demands

_LOG = logging.getLogger(__name__)


def demands(claim: Claim, peer: int) -> Demands:
  """Returns what a snapshot of `peer` must show to be used in a run."""
  return Demands(
    claim.key,
    claim.experiment.exchange.allowed_ops,
    facts={
      "group": peer,
      "schema": claim.schema.fingerprint,
      "model": claim.models[peer].fingerprint,
    },
    numbers=("published",),
  )


def graph(claim: Claim, peer: int) -> Graph | None:
  """Returns the graph of a peer's network, whose weights have no memory yet.

  None where its code is not here.
  """
  model = claim.models[peer]
  try:
    hollow = publishing.hollow(
      lambda: networks.build(model, claim.schema, seed=0)
    )
  except InputError as error:
    _LOG.warning(
      "group %d: its snapshots' own graph is loaded, since %s", peer, error
    )
    return None
  servable = Servable(hollow, claim.schema)
  return Graph(servable.ids(), servable.weights)
