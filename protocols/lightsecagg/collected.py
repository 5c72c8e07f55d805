"""What a server has collected at each point of a session."""

from dataclasses import dataclass, field

from mpc.field import FieldVector
from protocols.errors import DropReason, PartyId
from protocols.evidence import Dispute
from protocols.lightsecagg.messages import AdvertiseKey, Round
from protocols.machine import Outcome
from protocols.wire import PartySet

NOBODY: PartySet = frozenset()


@dataclass(frozen=True, slots=True)
class Loss:
    """A party is out: `round` is the one whose answer of it never came."""

    round: Round
    reason: DropReason


@dataclass(slots=True)
class ServerState:
    """All that a server knows. The sets are written once, when their round closes.

    A piece is passed on and only its hash kept, until its dealer has signed for it; a masked vector goes straight into
    `total`. answers: aggregated pieces, packed, by holder.
    """

    round: Round = Round.ADVERTISE
    session: bytes = b""  # D, once U1 is fixed
    shared: bytes = b""  # D2, once U2 is
    u1: PartySet = NOBODY
    u2: PartySet = NOBODY
    u3: PartySet = NOBODY
    u4: PartySet = NOBODY
    u5: PartySet = NOBODY
    lost: dict[PartyId, Loss] = field(default_factory=dict)
    keys: dict[PartyId, AdvertiseKey] = field(default_factory=dict)
    relayed: dict[PartyId, dict[PartyId, bytes]] = field(default_factory=dict)  # dealer -> recipient -> hash
    dealt: set[PartyId] = field(default_factory=set)
    masked: set[PartyId] = field(default_factory=set)
    total: FieldVector | None = field(default=None, repr=False)
    confirmations: dict[PartyId, bytes] = field(default_factory=dict)
    answers: dict[PartyId, bytes] = field(default_factory=dict, repr=False)
    disputes: set[Dispute] = field(default_factory=set)
    unfitting: PartySet = NOBODY
    outcome: Outcome | None = None
