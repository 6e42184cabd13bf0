"""Who is listened to at a step, and how much: stale peers less, or not at all.

A peer that died would otherwise hold the others at what it last knew.
"""

import dataclasses
import logging
from collections.abc import Mapping

from ctr_codistill import config
from ctr_codistill.codistill import schedule
from ctr_codistill.codistill.schedule import Span

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Attention:
  """Weight of the teacher term, and the share of each peer that is heard.

  Shares are above 0 and of no certain sum; the weight has them in it. A peer
  that is too stale has none, and without anybody to hear the weight is 0.
  """

  weight: float
  shares: dict[int, float]


class Listening:
  """Follows the peers' staleness; says in the log who is left out, once."""

  def __init__(
    self, codistill: config.Codistill, span: Span, *, bound: int = 0
  ):
    """Leaves out who is more than `bound` steps stale; 0: nobody."""
    self._codistill, self._span, self._bound = codistill, span, bound
    self._left_out: set[int] = set()

  def __call__(
    self, step: int, staleness: Mapping[int, float], *, fixed: int = 0
  ) -> Attention:
    """Returns what counts at `step`.

    Args:
      step: the student's.
      staleness: of each peer that has something to say, in steps.
      fixed: teachers beside the peers, which have no staleness.
    """
    half_life = self._codistill.staleness_half_life
    shares = {
      peer: schedule.freshness(stale, half_life=half_life)
      for peer, stale in staleness.items()
      if self._is_heard(peer, stale)
    }
    # So stale that its share is 0 in floating point: as good as nobody.
    shares = {peer: share for peer, share in shares.items() if share > 1e-30}
    heard = len(shares) + fixed
    if not heard:
      return Attention(0.0, {})
    whole = schedule.weight(self._codistill, step=step, span=self._span)
    mean = (sum(shares.values()) + fixed) / heard
    return Attention(whole * mean, shares)

  def _is_heard(self, peer: int, stale: float) -> bool:
    within = not self._bound or stale <= self._bound
    if not within and peer not in self._left_out:
      self._left_out.add(peer)
      _LOG.warning(
        "group %d is left out: it is %d steps stale, of at most %d "
        "(exchange.max_staleness_steps)",
        peer,
        stale,
        self._bound,
      )
    if within and peer in self._left_out:
      self._left_out.remove(peer)
      _LOG.info("group %d is heard again, %d steps stale", peer, stale)
    return within
