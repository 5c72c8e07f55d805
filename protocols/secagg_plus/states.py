"""The state that a client of secagg+ passes through beyond those of secagg.

advertised -> chosen -> shared
"""

from dataclasses import dataclass
from typing import ClassVar

from protocols.secagg import states
from protocols.secagg.states import AwaitingRoster, Digest
from protocols.secagg_plus.messages import Parties, Round
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class AwaitingNeighbours(AwaitingRoster):
    """Chosen: we know U1 and the root over its keys, and whose keys we need. Empty holders: the ring will say."""

    round: ClassVar[Round] = Round.CHOOSE_HOLDERS  # type: ignore[assignment]  # one that secagg has not
    u1: PartySet
    root: Digest
    session: Digest  # D
    degree: int
    threshold: int
    holders: Parties


Running = states.Running | AwaitingNeighbours
