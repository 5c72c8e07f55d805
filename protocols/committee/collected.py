"""What the server has collected at each point of a session."""

from dataclasses import dataclass, field

from protocols.committee.messages import AdvertiseKey, Receipt, Round
from protocols.errors import DropReason, PartyId
from protocols.evidence import Dispute, Evidence
from protocols.wire import PartySet

NOBODY: PartySet = frozenset()


@dataclass(frozen=True, slots=True)
class Loss:
    """A party is out: `round` is the one whose answer of it never came, DONE where none was due."""

    round: Round
    reason: DropReason


@dataclass(slots=True)
class ServerState:
    """All that the server knows, in types that travel. A contribution is sent on and leaves its digest.

    committee, candidates: fixed by the receipts. included: U, by the check values. values, sums: packed. left: what the
    session showed of itself, once it is over.
    """

    round: Round = Round.ADVERTISE
    lost: dict[PartyId, Loss] = field(default_factory=dict)
    keys: dict[PartyId, AdvertiseKey] = field(default_factory=dict)
    session: bytes = b""  # D, once the card is fixed
    envelopes: dict[PartyId, bytes] = field(default_factory=dict)
    offered: bytes = b""
    receipts: dict[PartyId, Receipt] = field(default_factory=dict)
    committee: PartySet = NOBODY
    candidates: PartySet = NOBODY
    agreed: bytes = b""
    vows: dict[PartyId, bytes] = field(default_factory=dict)
    signatures: dict[PartyId, bytes] = field(default_factory=dict)  # of the check values
    values: dict[PartyId, bytes] = field(default_factory=dict, repr=False)
    included: PartySet = NOBODY
    certificate: dict[PartyId, bytes] = field(default_factory=dict)
    sums: dict[PartyId, bytes] = field(default_factory=dict, repr=False)
    disputes: tuple[Dispute, ...] = ()
    named: PartySet = NOBODY
    left: Evidence | None = None
